//! How important a call is: the four levels of Google's SRE book (*Site
//! Reliability Engineering*, 2016, chapter 21).

use http::HeaderMap;
use serde::{Deserialize, Serialize};

/// The header that carries the importance of a call from service to service.
pub const CRITICALITY_HEADER: &str = "x-criticality";

/// How important a call is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Criticality {
    /// Background work that can wait for hours: reindexing, reports at night.
    Sheddable,
    /// Work that is tried again by itself: relays, polling.
    SheddablePlus,
    /// Somebody waits for it. What says nothing is this.
    #[default]
    Critical,
    /// Without it nobody could help: health, operators, ending a case.
    CriticalPlus,
}

impl Criticality {
    /// All levels, the least important first.
    pub const ALL: [Self; 4] = [Self::Sheddable, Self::SheddablePlus, Self::Critical, Self::CriticalPlus];

    /// Its name in a header and as a label.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sheddable => "sheddable",
            Self::SheddablePlus => "sheddable_plus",
            Self::Critical => "critical",
            Self::CriticalPlus => "critical_plus",
        }
    }

    /// The share of the limit that calls of this importance may fill, in percent.
    #[must_use]
    pub const fn percent(self) -> usize {
        match self {
            Self::Sheddable => 60,
            Self::SheddablePlus => 75,
            Self::Critical => 90,
            Self::CriticalPlus => 100,
        }
    }

    /// Seats of `limit` that calls of this importance may fill; at least one.
    #[must_use]
    pub const fn seats(self, limit: usize) -> usize {
        let seats = limit.saturating_mul(self.percent()) / 100;
        if seats == 0 { 1 } else { seats }
    }

    /// What the headers of a call say; [`Criticality::Critical`] when they say
    /// nothing that is known.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Self {
        let said = headers.get(CRITICALITY_HEADER).and_then(|value| value.to_str().ok());
        said.and_then(|said| Self::ALL.into_iter().find(|level| level.name() == said)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_is_read_and_nonsense_is_critical() {
        let check = |value: &str, expect| {
            let headers =
                HeaderMap::from_iter([(CRITICALITY_HEADER.parse().unwrap(), value.parse().unwrap())]);
            assert_eq!(Criticality::of(&headers), expect, "{value}");
        };
        for level in Criticality::ALL {
            check(level.name(), level);
        }
        check("URGENT", Criticality::Critical);
        assert_eq!(Criticality::of(&HeaderMap::new()), Criticality::Critical);
    }

    #[test]
    fn what_matters_more_has_more_room_and_everybody_has_some() {
        for limit in 1..500 {
            let seats = Criticality::ALL.map(|level| level.seats(limit));
            assert!(seats.is_sorted() && seats[0] >= 1 && seats[3] == limit, "{limit}: {seats:?}");
        }
        assert_eq!(Criticality::ALL.map(|level| level.seats(100)), [60, 75, 90, 100]);
    }
}
