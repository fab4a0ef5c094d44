//! Made-up names: a country called Verrania, its towns, companies and people.

use super::dice::Dice;

pub(super) const TOWNS: &[&str] = &[
    "Almswick",
    "Brennor",
    "Calder Quay",
    "Dunmarch",
    "Eskholt",
    "Farrowmere",
    "Glenharrow",
    "Hollinstead",
    "Ivermoor",
    "Kestrelby",
    "Lindenfjord",
    "Marrowdale",
    "Norrviken",
    "Ostervale",
    "Pellworth",
    "Quarrydown",
];

pub(super) const OFFICES: &[&str] = &[
    "Roads Department",
    "School Board",
    "Water Authority",
    "Health Service",
    "Port Administration",
    "Parks Office",
    "Public Works Office",
    "Library Trust",
    "Fire Service",
    "Transit Authority",
];

const STEMS: &[&str] = &[
    "Alderby",
    "Birkmoor",
    "Corvane",
    "Dressler & Quill",
    "Elmstroud",
    "Fennick",
    "Gorsewell",
    "Hartvane",
    "Iselin",
    "Jorvale",
    "Kettering Vale",
    "Larkspur",
    "Merrow",
    "Nethercote",
    "Oakhurst",
    "Pendry",
    "Quillon",
    "Ravensholm",
    "Stavemoor",
    "Tarnfield",
    "Ulverby",
    "Vantreight",
    "Wexcombe",
    "Yarrowgate",
];

const TRADES: &[&str] = &[
    "Construction",
    "Engineering",
    "Supplies",
    "Civil Works",
    "Medical",
    "Logistics",
    "Electrics",
    "Systems",
    "Services",
    "Paving",
    "Interiors",
    "Technics",
];

const FORMS: &[&str] = &["Ltd", "GmbH", "AS", "Cooperative"];

pub(super) const FIRST_NAMES: &[&str] = &[
    "Adela", "Bram", "Clio", "Dorian", "Edda", "Florin", "Greta", "Hanno", "Ilse", "Jorun", "Kaspar",
    "Linnea", "Milo", "Nerys", "Otis", "Petra", "Quentin", "Runa", "Sorrel", "Tibor",
];

pub(super) const LAST_NAMES: &[&str] = &[
    "Abendrot",
    "Brackwater",
    "Castellow",
    "Dunmore",
    "Eastermann",
    "Fairhollow",
    "Grimsdotter",
    "Hazelgrove",
    "Ingleby",
    "Juniper",
    "Kingsmarsh",
    "Lovelock",
    "Moorcroft",
    "Nightingale",
    "Oxenford",
    "Penhallow",
];

pub(super) const STREETS: &[&str] = &[
    "Harbour Road",
    "Mill Lane",
    "Station Street",
    "Orchard Way",
    "Tannery Row",
    "Beacon Hill",
    "Canal Side",
    "Foundry Street",
    "Chapel Walk",
    "Granary Yard",
];

/// How many companies there are.
pub(super) const COMPANIES: usize = STEMS.len() * TRADES.len() * FORMS.len();

/// A made-up company.
#[derive(Debug, Clone)]
pub(super) struct Company {
    /// Its number, below [`COMPANIES`].
    pub(super) number: usize,
    /// Its name.
    pub(super) name: String,
}

impl Company {
    /// The company of that number.
    pub(super) fn of(number: usize) -> Self {
        let text = |from: &[&'static str], at: usize| from.get(at % from.len()).copied().unwrap_or_default();
        let stem = text(STEMS, number);
        let trade = text(TRADES, number / STEMS.len());
        let form = text(FORMS, number / (STEMS.len() * TRADES.len()));
        Self { number, name: format!("{stem} {trade} {form}") }
    }

    /// Its number in the register of companies.
    pub(super) fn register_id(&self) -> String {
        format!("VR-{:06}", 100_000 + self.number * 7)
    }

    /// Its own mail domain.
    pub(super) fn domain(&self) -> String {
        let slug: String = self.name.chars().filter(char::is_ascii_alphanumeric).collect();
        format!("{}.example", slug.to_ascii_lowercase())
    }

    /// Its own telephone number.
    pub(super) fn telephone(&self) -> String {
        format!("+999 2 {:07}", 1_000_000 + self.number * 31)
    }

    /// Its own street address.
    pub(super) fn street(&self) -> String {
        let street = STREETS.get(self.number % STREETS.len()).copied().unwrap_or_default();
        format!("{} {street}", self.number + 1)
    }
}

/// A person's name.
pub(super) fn person(dice: &mut Dice) -> String {
    format!("{} {}", dice.pick(FIRST_NAMES), dice.pick(LAST_NAMES))
}

/// The mail address of a person at a domain.
pub(super) fn address(person: &str, domain: &str) -> String {
    format!("{}@{domain}", person.to_ascii_lowercase().replace(' ', "."))
}

/// A public buyer.
pub(super) fn buyer(dice: &mut Dice) -> (String, &'static str) {
    let town = dice.pick(TOWNS);
    (format!("{town} {}", dice.pick(OFFICES)), town)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn companies_differ_in_everything() {
        let all: Vec<_> = (0..COMPANIES).map(Company::of).collect();
        let distinct = |of: fn(&Company) -> String| all.iter().map(of).collect::<HashSet<_>>().len();
        for of in [|c: &Company| c.name.clone(), Company::register_id, Company::domain, Company::telephone] {
            assert_eq!(distinct(of), COMPANIES);
        }
        assert_eq!(distinct(Company::street), COMPANIES);
    }
}
