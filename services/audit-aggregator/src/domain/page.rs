//! Pages of entries: how much fits on one, and the token with which the next one
//! goes on, bound to the list it came from.

use sha2::{Digest as _, Sha256};

/// Which entries a list shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    /// Those of this tenant,
    pub tenant: String,
    /// of this case (`cases/…`) unless empty,
    pub case: String,
    /// and with this action unless empty.
    pub action: String,
}

impl Filter {
    /// The token of the page that begins at `index`.
    #[must_use]
    pub fn token(&self, index: u64) -> String {
        format!("{index}-{}", self.tag())
    }

    /// The index at which the page of a token begins; the first page has none.
    /// `None` when the token is not one of this list.
    #[must_use]
    pub fn start(&self, token: &str) -> Option<u64> {
        if token.is_empty() {
            return Some(0);
        }
        let (index, tag) = token.split_once('-')?;
        let index = index.parse().ok().filter(|index| i64::try_from(*index).is_ok())?;
        (tag == self.tag()).then_some(index)
    }

    /// Not a secret: it only catches tokens that were mixed up.
    fn tag(&self) -> String {
        let mut hash = Sha256::new();
        for part in [&self.tenant, &self.case, &self.action] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        hex::encode(&hash.finalize()[..4])
    }
}

/// An entry as the store has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logged {
    /// Where it stands.
    pub index: u64,
    /// Its bytes.
    pub leaf: Vec<u8>,
}

/// Cuts what was read to a page of at most `limit` entries and about `bytes`
/// bytes; the first entry always fits. `end` is where the reading stopped, and
/// `size` where the log ends. Also answers where the next page begins.
#[must_use]
pub fn cut(
    mut rows: Vec<Logged>,
    limit: usize,
    bytes: usize,
    end: u64,
    size: u64,
) -> (Vec<Logged>, Option<u64>) {
    let sums = rows.iter().scan(0_usize, |sum, row| {
        *sum = sum.saturating_add(row.leaf.len());
        Some(*sum)
    });
    let count = sums.take(limit).take_while(|sum| *sum <= bytes).count().max(1);
    let next = rows.get(count).map(|row| row.index).or((end < size).then_some(end));
    rows.truncate(count);
    (rows, next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_ends_at_the_first_limit() {
        let check = |limit: usize, bytes: usize, end: u64, count: usize, next: Option<u64>| {
            let rows = [2, 4, 6, 8].map(|index| Logged { index, leaf: vec![0; 10] }).to_vec();
            let (rows, got) = cut(rows, limit, bytes, end, 20);
            assert_eq!((rows.len(), got), (count, next), "{limit} {bytes} {end}");
        };
        check(9, 99, 20, 4, None);
        check(9, 99, 12, 4, Some(12));
        check(3, 99, 12, 3, Some(8));
        check(3, 99, 20, 3, Some(8));
        check(9, 25, 20, 2, Some(6));
        check(9, 5, 20, 1, Some(4));
        assert_eq!(cut(Vec::new(), 3, 3, 20, 20), (Vec::new(), None));
        assert_eq!(cut(Vec::new(), 3, 3, 10, 20), (Vec::new(), Some(10)));
    }

    #[test]
    fn a_token_goes_on_in_its_own_list_only() {
        let filter = |tenant: &str, case: &str, action: &str| Filter {
            tenant: tenant.into(),
            case: case.into(),
            action: action.into(),
        };
        let list = filter("acme", "cases/1", "a");
        let token = list.token(17);
        assert_eq!(list.start(&token), Some(17));
        assert_eq!(list.start(""), Some(0));
        for other in [filter("umbra", "cases/1", "a"), filter("acme", "", "a"), filter("acme", "cases/1", "")]
        {
            assert_eq!(other.start(&token), None);
        }
        assert_ne!(filter("ab", "c", "").token(1), filter("a", "bc", "").token(1));
        for bad in ["17", "-", "x-y", "-1-00000000", &token.replace("17", "99999999999999999999")] {
            assert_eq!(list.start(bad), None, "{bad}");
        }
    }
}
