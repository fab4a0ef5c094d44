//! Questions about bids that several rules ask.

use crate::domain::ocds::model::{Award, Bid, BidStatus, Procedure, keys};

impl Procedure {
    /// The bids that were submitted and not taken back.
    pub(super) fn submitted(&self) -> impl Iterator<Item = &Bid> {
        self.bids.iter().filter(|bid| bid.status.is_submitted())
    }

    /// The awards that stand.
    pub(super) fn active_awards(&self) -> impl Iterator<Item = &Award> {
        self.awards.iter().filter(|award| award.is_active())
    }

    /// What a bid's price is for: its lots, or nothing when the tender is not
    /// divided. Only bids for the same can be compared.
    pub(super) fn scope<'p>(&self, bid: &'p Bid) -> &'p [String] {
        if self.tender.lots.len() <= 1 && self.bids.iter().all(|other| other.lots.len() <= 1) {
            let mut lots = self.bids.iter().flat_map(|other| &other.lots);
            let first = lots.next();
            if lots.all(|lot| Some(lot) == first) {
                return &[];
            }
        }
        &bid.lots
    }

    /// The bids an award accepts: those it names, else the standing bids of its
    /// suppliers.
    pub(super) fn winning<'p>(&'p self, award: &'p Award) -> Vec<&'p Bid> {
        let named = |bid: &&Bid| bid.id.as_ref().is_some_and(|id| award.bids.contains(id));
        if !award.bids.is_empty() {
            return self.submitted().filter(named).collect();
        }
        let suppliers = keys(&award.suppliers);
        let standing = |bid: &&Bid| matches!(bid.status, BidStatus::Valid | BidStatus::Pending);
        let same = |bid: &&Bid| !suppliers.is_empty() && bid.bidder() == suppliers;
        self.submitted().filter(standing).filter(same).collect()
    }
}
