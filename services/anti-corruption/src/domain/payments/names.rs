//! PAY-SANCTIONED: a payee has the name of somebody on a watchlist.

use super::table::Row;
use super::{Case, Flag, lines};
use crate::domain::watchlist::Hit;
use crate::domain::{Index, Severity};
use std::collections::HashSet;

/// Screens every way a supplier was written, once; of one supplier every entry
/// is reported once.
pub(super) fn sanctioned(case: &mut Case<'_>, index: &Index) {
    let table = case.table;
    let mut spellings: Vec<_> = table.spellings.iter().map(|(name, row)| (*row, &**name)).collect();
    spellings.sort_unstable();
    let mut seen = HashSet::new();
    let mut hits = Vec::new();
    for (first, name) in spellings {
        let Some(row) = table.rows.get(first as usize) else { continue };
        for hit in index.search(name) {
            if seen.insert((row.supplier, hit.watchlist, &hit.entry.id)) {
                hits.push((row.supplier, name, hit));
            }
        }
    }
    let suppliers: HashSet<_> = hits.iter().map(|(supplier, ..)| *supplier).collect();
    let rows = table.sorted(|row| suppliers.contains(&row.supplier), |row| row.supplier);
    for (supplier, name, hit) in hits {
        let start = rows.partition_point(|row| row.supplier < supplier);
        let end = rows.partition_point(|row| row.supplier <= supplier);
        flag(case, name, &hit, &rows[start..end]);
    }
}

fn flag(case: &mut Case<'_>, name: &str, hit: &Hit<'_>, rows: &[&Row]) {
    case.flag(Flag {
        rule: "PAY-SANCTIONED",
        severity: hit.is_alias.then_some(Severity::High),
        value: name.to_owned(),
        threshold: "no entry of that name".to_owned(),
        peer_group: format!("watchlist={}", hit.watchlist),
        rows,
        explanation: format!(
            "{name} was paid ({}) and has the same name as {}. Names can be shared by different people and companies: \
             compare address, date of birth or registration number with the entry, and hold further payments until \
             then.",
            lines(rows),
            hit.describe(),
        ),
    });
}

#[cfg(test)]
mod tests {
    use crate::domain::payments::testing::outcome;
    use crate::domain::watchlist::testing::index;
    use crate::domain::{Settings, Severity};

    #[test]
    fn payees_are_screened() {
        let check = |name: &str, expect: &[(Severity, usize)]| {
            let csv = format!("supplier,amount\nGood,1\n\"{name}\",2\n\"{name}\",3\n");
            let found = outcome(&csv, &index(), &Settings::default());
            let found: Vec<_> = found.findings.iter().map(|f| (f.severity, f.evidence.len())).collect();
            assert_eq!(found, expect, "{name}");
        };
        check("Evil Trading Co.", &[(Severity::Critical, 2)]);
        check("John M Doe", &[(Severity::Critical, 2)]);
        check("ETL Worldwide", &[(Severity::High, 2)]);
        check("Kind Trading Co.", &[]);
    }
}
