//! Made-up procurement procedures as OCDS 1.1 releases.

use super::dice::{Dice, later, workday};
use super::words::{self, COMPANIES, Company};
use super::{Expected, Item};
use crate::kind::Kind;
use jiff::civil::Date;
use rust_decimal::Decimal;
use serde_json::{Value, json};

/// What can be wrong with a tender.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Plant {
    /// Nothing.
    Nothing,
    /// One bid only (R018).
    SingleBid,
    /// Too little time to submit (R003).
    ShortPeriod,
    /// Two bids at the same price (R028).
    SamePrices,
    /// One bid, and too little time.
    SingleBidInShortPeriod,
}

impl Plant {
    /// What the samples of a set rotate through.
    pub(super) const ROTATION: [Self; 6] = [
        Self::SingleBid,
        Self::Nothing,
        Self::ShortPeriod,
        Self::SamePrices,
        Self::Nothing,
        Self::SingleBidInShortPeriod,
    ];

    const fn is_single(self) -> bool {
        matches!(self, Self::SingleBid | Self::SingleBidInShortPeriod)
    }

    const fn is_short(self) -> bool {
        matches!(self, Self::ShortPeriod | Self::SingleBidInShortPeriod)
    }
}

/// What can be bought.
struct Good {
    office: &'static str,
    category: &'static str,
    title: &'static str,
    unit: &'static str,
    cpv: &'static str,
}

const fn good(
    office: &'static str,
    category: &'static str,
    title: &'static str,
    unit: &'static str,
    cpv: &'static str,
) -> Good {
    Good { office, category, title, unit, cpv }
}

const GOODS: &[Good] = &[
    good("Roads Department", "works", "Resurfacing of {} ring road, section {n}", "km", "45233223"),
    good("Public Works Office", "works", "Repair of the {} footbridge, lot {n}", "structure", "45221113"),
    good("School Board", "works", "New roof for {} primary school {n}", "m2", "45261000"),
    good("Transit Authority", "goods", "Winter tyres for the {} bus fleet, batch {n}", "piece", "34350000"),
    good("Health Service", "goods", "Laboratory freezers for {} hospital, batch {n}", "piece", "39711120"),
    good("School Board", "goods", "Desks and chairs for {} schools, batch {n}", "set", "39160000"),
    good(
        "Public Works Office",
        "services",
        "Street lighting maintenance in {}, district {n}",
        "month",
        "50232100",
    ),
    good("Court Office", "services", "Translation services for the {} court, year {n}", "hour", "79530000"),
    good(
        "Public Works Office",
        "services",
        "Cleaning of public buildings in {}, lot {n}",
        "month",
        "90911200",
    ),
];

/// A tender with that number: the release alone, as one JSON object.
pub(super) fn item(mut dice: Dice, number: u64, plant: Plant, bids: usize) -> Item {
    let draft = Draft::new(&mut dice, number, plant, bids);
    let release = draft.release(&mut dice);
    Item {
        kind: Kind::Tender,
        filename: format!("tender-{number:03}.json"),
        subject: draft.title.clone(),
        bytes: release.to_string().into_bytes(),
        expected: draft.expected(),
    }
}

/// The release as a package, the way publishers give it out.
pub(super) fn package(release: &[u8]) -> Vec<u8> {
    let release: Value = serde_json::from_slice(release).unwrap_or_default();
    let package = json!({
        "uri": format!("https://procurement.verrania.example/releases/{}", release["id"].as_str().unwrap_or_default()),
        "version": "1.1",
        "publishedDate": release["date"],
        "publisher": { "name": "Verrania Procurement Register", "uri": "https://procurement.verrania.example" },
        "license": "https://procurement.verrania.example/licence",
        "extensions": ["https://procurement.verrania.example/extensions/bids/extension.json"],
        "releases": [release],
    });
    let mut bytes = serde_json::to_vec_pretty(&package).unwrap_or_default();
    bytes.push(b'\n');
    bytes
}

struct Draft {
    ocid: String,
    title: String,
    good: &'static Good,
    town: &'static str,
    estimate: Decimal,
    opened: Date,
    closed: Date,
    bids: Vec<Bid>,
    plant: Plant,
}

struct Bid {
    company: Company,
    price: Decimal,
    at: String,
}

impl Draft {
    fn new(dice: &mut Dice, number: u64, plant: Plant, bids: usize) -> Self {
        let town = dice.pick(words::TOWNS);
        let good = dice.one(GOODS);
        let estimate = dice.amount(40_000, 900_000);
        let opened = dice.day();
        let days = if plant.is_short() { dice.between(2, 6) } else { dice.between(28, 45) };
        let closed = if plant.is_short() { later(opened, days) } else { workday(opened, days) };
        let title = good.title.replace("{}", town).replace("{n}", &(number % 900 + 1).to_string());
        let mut draft = Self {
            ocid: format!("ocds-vr5x01-{number:08}"),
            title,
            good,
            town,
            estimate,
            opened,
            closed,
            bids: Vec::new(),
            plant,
        };
        draft.bids = draft.make_bids(dice, if plant.is_single() { 1 } else { bids });
        draft
    }

    /// Bids in the order of their prices, each a few percent above the one before.
    fn make_bids(&self, dice: &mut Dice, count: usize) -> Vec<Bid> {
        let mut price = self.estimate * Decimal::new(dice.between(880, 960), 3);
        let mut bids = Vec::with_capacity(count);
        for number in dice.distinct(COMPANIES, count) {
            // The day before the last one at the latest, so that none is late.
            let at = format!("{}T{}Z", later(self.closed, -dice.between(1, 2)), dice.time());
            bids.push(Bid { company: Company::of(number), price: price.round_dp(2), at });
            price *= Decimal::new(dice.between(1_015, 1_080), 3);
        }
        if self.plant == Plant::SamePrices
            && let [.., one, other] = bids.as_mut_slice()
        {
            other.price = one.price;
        }
        bids
    }

    fn release(&self, dice: &mut Dice) -> Value {
        let decided = workday(self.closed, 12);
        let contact = words::person(dice);
        json!({
            "ocid": self.ocid,
            "id": format!("{}-03", self.ocid),
            "date": format!("{decided}T12:00:00Z"),
            "language": "en",
            "tag": ["tender", "award", "contract"],
            "initiationType": "tender",
            "parties": self.parties(&contact),
            "buyer": { "id": self.buyer_id(), "name": self.buyer() },
            "tender": self.tender(dice),
            "bids": { "details": self.bids.iter().enumerate().map(|(n, bid)| self.bid(n, bid)).collect::<Vec<_>>() },
            "awards": self.bids.first().map(|bid| self.award(bid, decided)).into_iter().collect::<Vec<_>>(),
            "contracts": self.bids.first().map(|bid| self.contract(bid, decided)).into_iter().collect::<Vec<_>>(),
        })
    }

    fn buyer(&self) -> String {
        format!("{} {}", self.town, self.good.office)
    }

    fn buyer_id(&self) -> String {
        let slug: String = self.buyer().chars().filter(char::is_ascii_alphanumeric).collect();
        format!("XV-GOV-{}", slug.to_ascii_uppercase())
    }

    fn parties(&self, contact: &str) -> Vec<Value> {
        let buyer = json!({
            "id": self.buyer_id(),
            "name": self.buyer(),
            "roles": ["buyer", "procuringEntity"],
            "address": { "streetAddress": "1 Town Hall Square", "locality": self.town, "countryName": "Verrania" },
            "contactPoint": { "name": contact, "email": words::address(contact, "gov.verrania.example") },
        });
        let bidders = self.bids.iter().enumerate().map(|(n, bid)| {
            let company = &bid.company;
            let roles: &[&str] = if n == 0 { &["tenderer", "supplier"] } else { &["tenderer"] };
            json!({
                "id": company.register_id(),
                "name": company.name,
                "roles": roles,
                "identifier": { "scheme": "XV-VR", "id": company.register_id(), "legalName": company.name },
                "address": { "streetAddress": company.street(), "locality": self.town, "countryName": "Verrania" },
                "contactPoint": {
                    "email": format!("office@{}", company.domain()),
                    "telephone": company.telephone(),
                },
            })
        });
        std::iter::once(buyer).chain(bidders).collect()
    }

    fn tender(&self, dice: &mut Dice) -> Value {
        json!({
            "id": format!("{}-tender", self.ocid),
            "title": self.title,
            "description": format!("{} for the {}, as specified in the documents.", self.title, self.buyer()),
            "status": "complete",
            "procuringEntity": { "id": self.buyer_id(), "name": self.buyer() },
            "procurementMethod": "open",
            "procurementMethodDetails": "Open procedure above the national threshold",
            "mainProcurementCategory": self.good.category,
            "awardCriteria": "priceOnly",
            "submissionMethod": ["electronicSubmission"],
            "value": money(self.estimate),
            "items": [{
                "id": "1",
                "description": self.title,
                "classification": { "scheme": "CPV", "id": self.good.cpv },
                "quantity": dice.between(1, 400),
                "unit": { "name": self.good.unit },
            }],
            "tenderPeriod": {
                "startDate": format!("{}T08:00:00Z", self.opened),
                "endDate": format!("{}T18:00:00Z", self.closed),
            },
            "numberOfTenderers": self.bids.len(),
            "tenderers": self.bids.iter().map(|bid| reference(&bid.company)).collect::<Vec<_>>(),
        })
    }

    fn bid(&self, number: usize, bid: &Bid) -> Value {
        json!({
            "id": format!("{}-bid-{}", self.ocid, number + 1),
            "date": bid.at,
            "status": "valid",
            "tenderers": [reference(&bid.company)],
            "value": money(bid.price),
        })
    }

    fn award(&self, bid: &Bid, decided: Date) -> Value {
        json!({
            "id": format!("{}-award-1", self.ocid),
            "title": format!("Award: {}", self.title),
            "status": "active",
            "date": format!("{decided}T12:00:00Z"),
            "value": money(bid.price),
            "suppliers": [reference(&bid.company)],
        })
    }

    fn contract(&self, bid: &Bid, decided: Date) -> Value {
        json!({
            "id": format!("{}-contract-1", self.ocid),
            "awardID": format!("{}-award-1", self.ocid),
            "title": self.title,
            "status": "active",
            "dateSigned": format!("{}T10:00:00Z", workday(decided, 11)),
            "value": money(bid.price),
        })
    }

    fn expected(&self) -> Expected {
        let mut expected = Expected::default();
        if self.plant.is_single() {
            expected.plant("R018", "one bid only in an open procedure".to_owned());
        }
        if self.plant.is_short() {
            expected.plant("R003", format!("open from {} to {} only", self.opened, self.closed));
        }
        if self.plant == Plant::SamePrices
            && let Some(bid) = self.bids.last()
        {
            expected.plant("R028", format!("two bids at exactly {} EUR", bid.price));
        }
        expected
    }
}

fn reference(company: &Company) -> Value {
    json!({ "id": company.register_id(), "name": company.name })
}

/// An amount as JSON number. It has two decimals and far fewer than 15 digits,
/// so its shortest form as a double is exact.
fn money(amount: Decimal) -> Value {
    let number: f64 = amount.to_string().parse().unwrap_or_default();
    json!({ "amount": number, "currency": "EUR" })
}
