//! What a schedule is made of, as it is written down.

use crate::{Error, Timing, Zone};
use probity_types::Micros;
use serde::{Deserialize, Serialize};

const SECOND_US: i64 = 1_000_000;
const DAY_US: i64 = 86_400 * SECOND_US;
/// How many gaps between runs are looked at to judge the jitter.
const GAPS: usize = 64;

/// What happens when a run is due while another still goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Overlap {
    /// It is left out.
    #[default]
    Skip,
    /// It starts when the other has ended; one waits, later ones are left out.
    BufferOne,
    /// It starts beside the other.
    AllowAll,
    /// The other is cancelled, and it starts when that has ended; of several, the last.
    CancelRunning,
}

/// A schedule as it is written down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Spec {
    /// See [`Timing::parse`].
    pub timing: String,
    /// A name of the IANA time zone database.
    pub zone: String,
    /// What happens when the run before still goes on.
    pub overlap: Overlap,
    /// How late a run may still be started, 10 s to 366 d. What is later is missed for good.
    pub catch_up_us: i64,
    /// Each run starts up to this much later, always the same for the same run, so that a
    /// thousand schedules at midnight do not start at once. 0 to 1 d, and less than the shortest
    /// time between two runs.
    pub jitter_us: i64,
    /// No run before this.
    pub starts: Option<Micros>,
    /// No run after this.
    pub ends: Option<Micros>,
    /// At most so many runs, at least 1.
    pub limit: Option<u64>,
}

impl Default for Spec {
    fn default() -> Self {
        Self {
            timing: "@daily".to_owned(),
            zone: "UTC".to_owned(),
            overlap: Overlap::default(),
            catch_up_us: 3_600 * SECOND_US,
            jitter_us: 0,
            starts: None,
            ends: None,
            limit: None,
        }
    }
}

impl Spec {
    /// Checks everything and resolves timing and zone.
    pub(crate) fn read(&self) -> Result<(Timing, Zone), Error> {
        let zone = Zone::parse(&self.zone)?;
        let timing = Timing::parse(&self.timing)?;
        if !(10 * SECOND_US..=366 * DAY_US).contains(&self.catch_up_us) {
            return Err(Error::new(
                "catch_up_us",
                format!("is {}; it is from 10 s to 366 d", self.catch_up_us),
            ));
        }
        if !(0..=DAY_US).contains(&self.jitter_us) {
            return Err(Error::new("jitter_us", format!("is {}; it is from 0 to 1 d", self.jitter_us)));
        }
        let gap = shortest_gap(&timing, &zone, self.starts.unwrap_or_default());
        if self.jitter_us >= gap {
            let seconds = gap / SECOND_US;
            let reason = format!("is {}; it must be below the {seconds} s between two runs", self.jitter_us);
            return Err(Error::new("jitter_us", reason));
        }
        if self.limit == Some(0) {
            return Err(Error::new("limit", "is 0; a schedule runs at least once, or is paused"));
        }
        if let (Some(starts), Some(ends)) = (self.starts, self.ends)
            && ends < starts
        {
            return Err(Error::new("ends", format!("is {ends}, before it starts at {starts}")));
        }
        Ok((timing, zone))
    }
}

/// The shortest of the first gaps between runs, in microseconds.
fn shortest_gap(timing: &Timing, zone: &Zone, from: Micros) -> i64 {
    let first = timing.next_after(from, zone);
    let times = std::iter::successors(first, |at| timing.next_after(*at, zone)).take(GAPS);
    let times: Vec<_> = times.collect();
    times.windows(2).map(|pair| pair[1].0 - pair[0].0).min().unwrap_or(i64::MAX)
}
