//! A procedure as the rules see it: the fields they need, typed, each with the
//! place it was read from.

use super::fields::{Fields, Located, Problem};
use crate::domain::json::{Node, Place};
use crate::domain::name;
use crate::domain::when::When;
use probity_types::Money;
use rust_decimal::Decimal;

/// One procurement procedure.
#[derive(Debug)]
pub struct Procedure {
    /// Where its (latest) release stands.
    pub at: Place,
    /// Its identifier.
    pub ocid: Option<String>,
    /// Date of the latest release.
    pub date: Option<Located<When>>,
    /// Who buys.
    pub buyer: Option<Organization>,
    /// The tender.
    pub tender: Tender,
    /// The bids, all statuses.
    pub bids: Vec<Bid>,
    /// Published counts of bids.
    pub statistics: Vec<Statistic>,
    /// The awards.
    pub awards: Vec<Award>,
    /// The contracts.
    pub contracts: Vec<Contract>,
    /// Organisations with their details.
    pub parties: Vec<Party>,
    /// Fields that could not be used.
    pub problems: Vec<Problem>,
}

/// The tender section.
#[derive(Debug, Default)]
pub struct Tender {
    /// Its title.
    pub title: Option<Located<String>>,
    /// `active`, `complete`, …
    pub status: Option<Located<String>>,
    /// `open`, `selective`, `limited`, `direct`.
    pub method: Option<Located<String>>,
    /// `priceOnly`, … in lower case.
    pub award_criteria: Option<Located<String>>,
    /// Estimated value.
    pub value: Option<Located<Money>>,
    /// Start of the submission period.
    pub start: Option<Located<When>>,
    /// End of the submission period.
    pub end: Option<Located<When>>,
    /// When the tender notice was published, the earliest if several.
    pub notice: Option<Located<When>>,
    /// Published number of tenderers.
    pub number_of_tenderers: Option<Located<u64>>,
    /// Published tenderers.
    pub tenderers: Vec<Organization>,
    /// Who carries the procedure out.
    pub procuring_entity: Option<Organization>,
    /// Identifiers of the lots.
    pub lots: Vec<String>,
}

/// A reference to an organisation.
#[derive(Debug, Clone)]
pub struct Organization {
    /// Its identifier in the document.
    pub id: Option<String>,
    /// Its name.
    pub name: Option<String>,
    /// Where.
    pub at: Place,
}

impl Organization {
    /// What tells it from others: its identifier, else its normalised name.
    #[must_use]
    pub fn key(&self) -> Option<String> {
        let by_name = || self.name.as_deref().map(name::normalize).filter(|n| !n.is_empty());
        self.id.as_ref().map(|id| format!("id {id}")).or_else(|| by_name().map(|n| format!("name {n}")))
    }

    /// How it is called in a sentence.
    #[must_use]
    pub fn label(&self) -> &str {
        self.name.as_deref().or(self.id.as_deref()).unwrap_or("an unnamed organisation")
    }
}

/// What became of a bid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BidStatus {
    /// Only invited: no bid was made.
    Invited,
    /// Submitted, not yet judged; also when nothing is said.
    Pending,
    /// Qualified.
    Valid,
    /// Ruled out.
    Disqualified,
    /// Taken back.
    Withdrawn,
}

impl BidStatus {
    fn of(code: Option<&str>) -> Self {
        match code {
            Some("invited") => Self::Invited,
            Some("valid") => Self::Valid,
            Some("disqualified") => Self::Disqualified,
            Some("withdrawn") => Self::Withdrawn,
            _ => Self::Pending,
        }
    }

    /// True for a bid that was made and stands or was ruled out.
    #[must_use]
    pub const fn is_submitted(self) -> bool {
        matches!(self, Self::Pending | Self::Valid | Self::Disqualified)
    }
}

/// A bid.
#[derive(Debug)]
pub struct Bid {
    /// Where.
    pub at: Place,
    /// Its identifier.
    pub id: Option<String>,
    /// What became of it.
    pub status: BidStatus,
    /// When it was received.
    pub date: Option<Located<When>>,
    /// Its price.
    pub value: Option<Located<Money>>,
    /// Who made it; several bid together.
    pub tenderers: Vec<Organization>,
    /// The lots it is for; empty for all.
    pub lots: Vec<String>,
}

impl Bid {
    /// The tenderers' keys, sorted, each once; empty when nobody is named.
    #[must_use]
    pub fn bidder(&self) -> Vec<String> {
        keys(&self.tenderers)
    }

    /// The tenderers in a sentence.
    #[must_use]
    pub fn label(&self) -> String {
        self.tenderers.iter().map(Organization::label).collect::<Vec<_>>().join(" with ")
    }
}

/// The keys of organisations, sorted, each once.
#[must_use]
pub fn keys(organizations: &[Organization]) -> Vec<String> {
    let mut keys: Vec<_> = organizations.iter().filter_map(Organization::key).collect();
    keys.sort_unstable();
    keys.dedup();
    keys
}

/// A published count.
#[derive(Debug)]
pub struct Statistic {
    /// What is counted, in lower case, such as `bids`.
    pub measure: String,
    /// The count.
    pub value: Located<Decimal>,
    /// The lot it is for.
    pub lot: Option<String>,
}

/// An award.
#[derive(Debug)]
pub struct Award {
    /// Where.
    pub at: Place,
    /// Its identifier.
    pub id: Option<String>,
    /// `active`, `pending`, …
    pub status: Option<String>,
    /// Its value.
    pub value: Option<Located<Money>>,
    /// Who won.
    pub suppliers: Vec<Organization>,
    /// The bids it accepts.
    pub bids: Vec<String>,
}

impl Award {
    /// True when the award stands.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.status.as_deref() == Some("active")
    }

    /// True when nobody knows yet whether it will stand.
    #[must_use]
    pub fn is_undecided(&self) -> bool {
        !matches!(self.status.as_deref(), Some("active" | "cancelled" | "unsuccessful"))
    }
}

/// A contract.
#[derive(Debug)]
pub struct Contract {
    /// Where.
    pub at: Place,
    /// The award it follows from.
    pub award: Option<String>,
    /// `active`, `terminated`, …
    pub status: Option<String>,
    /// Its value.
    pub value: Option<Located<Money>>,
    /// What was paid.
    pub transactions: Vec<Located<Money>>,
}

/// An organisation's details.
#[derive(Debug)]
pub struct Party {
    /// Its identifier, name and place.
    pub organization: Organization,
    /// Its roles in lower case.
    pub roles: Vec<String>,
    /// Telephone of its contact.
    pub telephone: Option<Located<String>>,
    /// Mail address of its contact.
    pub email: Option<Located<String>>,
    /// Who owns it.
    pub owners: Vec<Organization>,
}

impl Party {
    /// True when it has one of the roles.
    #[must_use]
    pub fn is(&self, roles: &[&str]) -> bool {
        self.roles.iter().any(|role| roles.contains(&role.as_str()))
    }
}

impl Procedure {
    /// Reads what the rules need from a merged release.
    #[must_use]
    pub fn of(release: &Node<'_>) -> Self {
        let fields = Fields::default();
        let f = &fields;
        let each = |name: &str| f.objects(release, name);
        let bids = f.object(release, "bids");
        let mut procedure = Self {
            at: release.at.clone(),
            ocid: f.id(release, "ocid"),
            date: f.when(release, "date"),
            buyer: f.object(release, "buyer").map(|node| organization(f, node)),
            tender: f.object(release, "tender").map(|node| tender(f, node)).unwrap_or_default(),
            bids: bids.map_or_else(Vec::new, |bids| {
                f.objects(bids, "details").into_iter().map(|node| bid(f, node)).collect()
            }),
            statistics: bids.map_or_else(Vec::new, |bids| {
                f.objects(bids, "statistics").into_iter().filter_map(|node| statistic(f, node)).collect()
            }),
            awards: each("awards").into_iter().map(|node| award(f, node)).collect(),
            contracts: each("contracts").into_iter().map(|node| contract(f, node)).collect(),
            parties: each("parties").into_iter().map(|node| party(f, node)).collect(),
            problems: Vec::new(),
        };
        procedure.problems = fields.into_problems();
        procedure
    }
}

fn organization(f: &Fields, node: &Node<'_>) -> Organization {
    Organization { id: f.id(node, "id"), name: f.text(node, "name").map(|t| t.value), at: node.at.clone() }
}

fn organizations(f: &Fields, node: &Node<'_>, name: &str) -> Vec<Organization> {
    f.objects(node, name).into_iter().map(|node| organization(f, node)).collect()
}

fn tender(f: &Fields, node: &Node<'_>) -> Tender {
    let title = f.text(node, "title");
    let (status, method) = (f.code(node, "status"), f.code(node, "procurementMethod"));
    let (criteria, number) = (f.code(node, "awardCriteria"), f.whole(node, "numberOfTenderers"));
    let value = f.money(node, "value");
    let period = f.object(node, "tenderPeriod");
    Tender {
        title,
        status,
        method,
        award_criteria: criteria,
        value,
        start: period.and_then(|period| f.when(period, "startDate")),
        end: period.and_then(|period| f.when(period, "endDate")),
        notice: notice(f, node),
        number_of_tenderers: number,
        tenderers: organizations(f, node, "tenderers"),
        procuring_entity: f.object(node, "procuringEntity").map(|node| organization(f, node)),
        lots: f.objects(node, "lots").into_iter().filter_map(|lot| f.id(lot, "id")).collect(),
    }
}

/// The earliest publication of a tender notice.
fn notice(f: &Fields, tender: &Node<'_>) -> Option<Located<When>> {
    let is_notice = |document: &&Node<'_>| {
        f.code(document, "documentType").is_some_and(|code| code.value == "tendernotice")
    };
    let documents = f.objects(tender, "documents");
    let dates =
        documents.into_iter().filter(is_notice).filter_map(|document| f.when(document, "datePublished"));
    dates.min_by_key(|date| date.value.order())
}

fn bid(f: &Fields, node: &Node<'_>) -> Bid {
    Bid {
        at: node.at.clone(),
        id: f.id(node, "id"),
        status: BidStatus::of(f.code(node, "status").as_ref().map(|code| code.value.as_str())),
        date: f.when(node, "date"),
        value: f.money(node, "value"),
        tenderers: organizations(f, node, "tenderers"),
        lots: f.ids(node, "relatedLots"),
    }
}

fn statistic(f: &Fields, node: &Node<'_>) -> Option<Statistic> {
    let measure = f.code(node, "measure")?.value;
    let value = f.decimal(node, "value")?;
    Some(Statistic { measure, value, lot: f.id(node, "relatedLot") })
}

fn award(f: &Fields, node: &Node<'_>) -> Award {
    let mut bids = f.ids(node, "relatedBids");
    bids.extend(f.id(node, "relatedBid"));
    Award {
        at: node.at.clone(),
        id: f.id(node, "id"),
        status: f.code(node, "status").map(|code| code.value),
        value: f.money(node, "value"),
        suppliers: organizations(f, node, "suppliers"),
        bids,
    }
}

fn contract(f: &Fields, node: &Node<'_>) -> Contract {
    let implementation = f.object(node, "implementation");
    let transactions = implementation.map_or_else(Vec::new, |node| f.objects(node, "transactions"));
    Contract {
        at: node.at.clone(),
        award: f.id(node, "awardID"),
        status: f.code(node, "status").map(|code| code.value),
        value: f.money(node, "value"),
        transactions: transactions.into_iter().filter_map(|node| f.money(node, "value")).collect(),
    }
}

fn party(f: &Fields, node: &Node<'_>) -> Party {
    let contact = f.object(node, "contactPoint");
    Party {
        organization: organization(f, node),
        roles: f.texts(node, "roles").into_iter().map(|role| role.to_ascii_lowercase()).collect(),
        telephone: contact.and_then(|contact| f.text(contact, "telephone")),
        email: contact.and_then(|contact| f.text(contact, "email")),
        owners: organizations(f, node, "beneficialOwners"),
    }
}
