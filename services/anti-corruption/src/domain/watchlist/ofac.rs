//! Reading `sdn.csv` and `alt.csv` (and the consolidated list, which has the
//! same layout): no header, a record a line, `-0-` for nothing, and a Ctrl-Z at
//! the end.
//!
//! A row that cannot be read is refused by itself; a list of which half cannot
//! be read is refused as a whole, because searching it would look like checking.

use super::{Entry, List};
use crate::domain::text;
use std::collections::HashMap;

const PRIMARY_COLUMNS: usize = 12;
const ALIAS_COLUMNS: usize = 5;
/// Longest field that is kept, in characters.
const MAX_FIELD: usize = 1_000;
/// Longest line that can be a record.
const MAX_LINE: usize = 16 * 1024;

/// Reads a list from its two documents; that of the aliases may be empty.
///
/// # Errors
/// Says why the list cannot be trusted.
pub fn parse(primary: &[u8], aliases: &[u8]) -> Result<List, String> {
    let mut list = List::default();
    let mut by_id = HashMap::new();
    let refused =
        each_row(primary, PRIMARY_COLUMNS, |fields| add_entry(&mut list.entries, &mut by_id, fields));
    check_half("primary document", list.entries.len(), refused)?;
    let mut read = 0;
    let refused_aliases = each_row(aliases, ALIAS_COLUMNS, |fields| {
        let added = add_alias(&mut list.entries, &by_id, fields);
        read += usize::from(added);
        added
    });
    if read + refused_aliases > 0 {
        check_half("alias document", read, refused_aliases)?;
    }
    list.rows_refused = (refused + refused_aliases) as u64;
    Ok(list)
}

fn check_half(what: &str, read: usize, refused: usize) -> Result<(), String> {
    if read == 0 && refused == 0 {
        return Err(format!("the {what} is empty"));
    }
    if read <= refused {
        return Err(format!(
            "of the {} rows of the {what} only {read} can be read: expected the OFAC layout (sdn.csv, alt.csv)",
            read + refused
        ));
    }
    Ok(())
}

/// Hands every row with enough columns to `take`; counts the others and those it
/// does not want.
fn each_row(bytes: &[u8], columns: usize, mut take: impl FnMut(&[String]) -> bool) -> usize {
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    let mut refused = 0;
    for line in bytes.split(|b| *b == b'\n') {
        let line = line.trim_ascii();
        if line.is_empty() || line == b"\x1a" {
            continue;
        }
        let taken = line.len() <= MAX_LINE
            && fields(&decode(line)).is_some_and(|fields| fields.len() == columns && take(&fields));
        refused += usize::from(!taken);
    }
    refused
}

/// UTF-8, else Latin-1: a broken letter is no reason to lose an entry.
fn decode(line: &[u8]) -> String {
    std::str::from_utf8(line).map_or_else(|_| line.iter().map(|b| char::from(*b)).collect(), str::to_owned)
}

/// The fields of a line; nothing when a quote is not closed. What follows a
/// closing quote up to the comma is padding.
fn fields(line: &str) -> Option<Vec<String>> {
    let mut fields = Vec::new();
    let mut rest = line;
    loop {
        let (field, after) = match rest.trim_start().strip_prefix('"') {
            Some(quoted) => quoted_field(quoted)?,
            None => {
                let (field, after) = rest.split_once(',').map_or((rest, None), |(f, a)| (f, Some(a)));
                (field.to_owned(), after)
            }
        };
        fields.push(null_to_empty(&field));
        match after {
            Some(after) => rest = after,
            None => return Some(fields),
        }
    }
}

fn quoted_field(text: &str) -> Option<(String, Option<&str>)> {
    let mut field = String::new();
    let mut rest = text;
    loop {
        let (part, after) = rest.split_once('"')?;
        field.push_str(part);
        match after.strip_prefix('"') {
            Some(more) => {
                field.push('"');
                rest = more;
            }
            None => return Some((field, after.split_once(',').map(|(_, next)| next))),
        }
    }
}

fn null_to_empty(field: &str) -> String {
    let field = field.trim();
    if field == "-0-" { String::new() } else { text::clean(field, MAX_FIELD) }
}

fn add_entry(entries: &mut Vec<Entry>, by_id: &mut HashMap<String, usize>, fields: &[String]) -> bool {
    let [id, name, kind, programs, ..] = fields else { return false };
    let is_number = !id.is_empty() && id.bytes().all(|b| b.is_ascii_digit());
    if !is_number || name.is_empty() || by_id.contains_key(id) {
        return false;
    }
    by_id.insert(id.clone(), entries.len());
    let kind = if kind.is_empty() { "entity".to_owned() } else { kind.to_ascii_lowercase() };
    entries.push(Entry {
        id: id.clone(),
        name: name.clone(),
        kind,
        programs: programs.clone(),
        aliases: Vec::new(),
    });
    true
}

fn add_alias(entries: &mut [Entry], by_id: &HashMap<String, usize>, fields: &[String]) -> bool {
    let [id, _, _, name, ..] = fields else { return false };
    match by_id.get(id) {
        Some(at) if !name.is_empty() => {
            entries[*at].aliases.push(name.clone());
            true
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn row(id: &str, name: &str) -> String {
        format!("{id},\"{name}\",-0- ,\"CUBA\",-0- ,-0- ,-0- ,-0- ,-0- ,-0- ,-0- ,\"a, b\"\n")
    }

    #[test]
    fn reads_the_layout() {
        let primary = format!(
            "{}{}\x1a",
            row("36", "AERO \"\"X\"\" LTD."),
            row("7", "B").replace("-0- ,\"CUBA\"", "\"individual\",\"CUBA\"")
        );
        let list = parse(
            primary.as_bytes(),
            b"36,12,\"aka\",\"AERO-X\",-0- \n99,13,\"aka\",\"NOBODY\",-0- \n36,14,\"aka\",\"AX\",-0-\n",
        )
        .unwrap();
        assert_eq!((list.entries.len(), list.aliases(), list.rows_refused), (2, 2, 1));
        assert_eq!(list.entries[0].name, "AERO \"X\" LTD.");
        assert_eq!(list.entries[0].kind, "entity");
        assert_eq!(list.entries[0].programs, "CUBA");
        assert_eq!(list.entries[0].aliases, ["AERO-X", "AX"]);
        assert_eq!(list.entries[1].kind, "individual");
    }

    #[test]
    fn refuses_what_would_only_look_like_a_list() {
        let check = |primary: &str, aliases: &str, part: &str| {
            assert!(
                parse(primary.as_bytes(), aliases.as_bytes()).is_err_and(|e| e.contains(part)),
                "{primary}"
            );
        };
        check("", "", "empty");
        check("\x1a", "", "empty");
        check("<html>\n<body>\n", "", "only 0");
        check(&format!("{}{}", row("1", "A"), "2,\"B\n"), "", "only 1");
        check("id,name\n1,A\n", "", "only 0");
        check(&row("1", "A"), "9,1,\"aka\",\"B\",-0-\n", "alias");
        assert!(parse(row("1", "A").as_bytes(), b"").is_ok());
    }

    #[test]
    fn bad_rows_are_counted() {
        let text = [
            row("1", "A"),
            row("1", "twice"),
            row("x", "no number"),
            row("2", "-0-"),
            row("3", "C"),
            row("4", "D"),
            row("5", "E"),
        ]
        .concat();
        let list = parse(text.as_bytes(), b"").unwrap();
        assert_eq!((list.entries.len(), list.rows_refused), (4, 3));
    }

    proptest! {
        #[test]
        fn every_byte_string_is_decided(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = parse(&bytes, &bytes);
        }
    }
}
