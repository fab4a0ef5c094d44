//! An endless stream of items in the proportions of the benchmark.

use super::dice::Dice;
use super::{Item, message, payment, report, tender};

/// Bids of a tender.
const BIDS: usize = 3;
/// Rows of a payment file.
const ROWS: u32 = 20;

/// Items without end: of ten, four tenders with three bids, three messages, two
/// reports and one payment file of twenty rows. No two have the same bytes.
/// Reports and three in ten of the tenders and payment files have findings, so
/// well over a fifth of all items do.
#[derive(Debug, Clone)]
pub struct Mix {
    seed: u64,
    next: u64,
}

/// Part of the seed, so that a mix shares no item with a set of the same seed.
const PART: u64 = 17;

impl Mix {
    /// The stream of that seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self { seed, next: 0 }
    }

    /// The item at a place of the stream, for callers who share one stream.
    #[must_use]
    pub fn at(&self, number: u64) -> Item {
        let mut dice = Dice::branch(self.seed, PART, number);
        let planted = dice.chance(30);
        match number % 10 {
            0 | 3 | 6 | 9 => tender::item(dice, number, Self::tender_plant(planted, number), BIDS),
            1 | 4 | 7 => message::item(dice, number, planted),
            2 | 8 => report::item(dice, number, report::Plant::of_number(number)),
            _ => payment::item(&mut dice, number, ROWS, payment::Plant::of_number(planted, number)),
        }
    }

    const fn tender_plant(planted: bool, number: u64) -> tender::Plant {
        match (planted, number % 2) {
            (false, _) => tender::Plant::Nothing,
            (true, 0) => tender::Plant::ShortPeriod,
            (true, _) => tender::Plant::SamePrices,
        }
    }
}

impl Iterator for Mix {
    type Item = Item;

    fn next(&mut self) -> Option<Item> {
        let item = self.at(self.next);
        self.next += 1;
        Some(item)
    }
}
