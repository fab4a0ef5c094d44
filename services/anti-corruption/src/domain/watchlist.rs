//! Watchlists: reading the OFAC layouts and searching names in them.
//!
//! Deliberately absent: the network. A list comes as a document, is checked as a
//! whole ([`parse`]), and is searched in memory ([`Index`]).

mod index;
mod ofac;

pub use index::{Hit, Index};
pub use ofac::parse;

/// A watchlist as it was read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct List {
    /// The entries in order.
    pub entries: Vec<Entry>,
    /// Rows of the documents that could not be read.
    pub rows_refused: u64,
}

impl List {
    /// How many aliases there are.
    #[must_use]
    pub fn aliases(&self) -> usize {
        self.entries.iter().map(|entry| entry.aliases.len()).sum()
    }
}

/// Somebody or something that is listed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Entry {
    /// Its number in the list.
    pub id: String,
    /// Its name as published.
    pub name: String,
    /// `individual`, `entity`, `vessel` or `aircraft`.
    pub kind: String,
    /// The programmes it is listed under.
    pub programs: String,
    /// Its other names.
    pub aliases: Vec<String>,
}

#[cfg(test)]
pub(in crate::domain) mod testing {
    //! A small list that is nobody's.

    use super::*;

    /// An index of one list with an entity, an individual and a vessel.
    pub(in crate::domain) fn index() -> Index {
        let primary =
            b"1,\"EVIL TRADING CO., LTD.\",-0- ,\"TEST\",-0- ,-0- ,-0- ,-0- ,-0- ,-0- ,-0- ,-0- \r\n\
            2,\"DOE, John M.\",\"individual\",\"TEST\",-0- ,-0- ,-0- ,-0- ,-0- ,-0- ,-0- ,-0- \r\n\
            3,\"OCEAN STAR\",\"vessel\",\"TEST\",-0- ,-0- ,-0- ,-0- ,-0- ,-0- ,-0- ,-0- \r\n\x1a";
        let aliases = b"1,10,\"aka\",\"ETL WORLDWIDE\",-0- \r\n2,11,\"fka\",\"JOHNNY DOE\",-0- \r\n";
        Index::new([("test".to_owned(), parse(primary, aliases).unwrap())])
    }
}
