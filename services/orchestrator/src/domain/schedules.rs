//! Schedules as they are kept, and what follows from a turn of one.

use probity_schedule::{Decided, Error as Refused, Run, Schedule, Spec, State, Turn};
use probity_types::{Ctx, Micros, Roles};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

/// Stands for "never" where the next time is stored.
pub(crate) const NEVER: Micros = Micros(i64::MAX);

/// What the runs of a schedule start, and for whom.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Target {
    /// The name of a definition.
    pub(crate) definition: String,
    pub(crate) input: Json,
    /// The field of the input that is given the time of the run; none when empty.
    pub(crate) time_field: String,
    pub(crate) priority: u8,
    pub(crate) owner: String,
    pub(crate) roles: Roles,
}

impl Target {
    /// The input of the run for a time.
    pub(crate) fn input_at(&self, at: Micros) -> Json {
        let mut input = self.input.clone();
        if let (false, Json::Object(fields)) = (self.time_field.is_empty(), &mut input) {
            fields.insert(self.time_field.clone(), at.to_string().into());
        }
        input
    }

    /// In whose name a run starts.
    pub(crate) fn ctx(&self, tenant: &str, request_id: &str) -> Ctx {
        Ctx {
            tenant: tenant.to_owned(),
            actor: self.owner.clone(),
            roles: self.roles.clone(),
            request_id: request_id.to_owned(),
            trace_id: String::new(),
        }
    }
}

/// A schedule as it is kept.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Kept {
    pub(crate) tenant: String,
    pub(crate) id: String,
    /// Of this schedule alone: another one made later under its name has another.
    pub(crate) uid: Uuid,
    pub(crate) spec: Spec,
    pub(crate) target: Target,
    pub(crate) note: String,
    pub(crate) state: State,
    pub(crate) revision: i64,
    /// [`NEVER`] when nothing comes by itself.
    pub(crate) next: Micros,
    pub(crate) created: Micros,
    pub(crate) updated: Micros,
}

/// A run to keep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NewRun {
    /// The same for every attempt to start it.
    pub(crate) key: String,
    pub(crate) at: Micros,
    pub(crate) triggered: bool,
    /// Why it never runs, when times were missed.
    pub(crate) missed: Option<String>,
}

/// What a turn changes.
#[derive(Debug)]
pub(crate) struct Decision {
    /// The schedule as it is kept from now on.
    pub(crate) kept: Kept,
    pub(crate) runs: Vec<NewRun>,
    /// Keys of runs to cancel.
    pub(crate) cancel: Vec<String>,
}

impl Kept {
    /// The rules, checked.
    pub(crate) fn rules(&self) -> Result<Schedule, Refused> {
        Schedule::new(&self.uid.as_simple().to_string(), &self.spec)
    }

    /// What is due now.
    pub(crate) fn due(&self, now: Micros) -> Result<Decision, Refused> {
        Ok(self.follow(self.rules()?.due(&self.state, now)))
    }

    /// A run ended.
    pub(crate) fn ended(&self, run: Micros, now: Micros) -> Result<Decision, Refused> {
        Ok(self.follow(self.rules()?.ended(&self.state, run, now)))
    }

    /// It goes on.
    pub(crate) fn resume(&self, now: Micros) -> Result<Decision, Refused> {
        let mut decision = self.follow(self.rules()?.resume(&self.state, now));
        decision.kept.updated = now;
        Ok(decision)
    }

    /// Nothing starts until it is resumed.
    pub(crate) fn pause(&self, now: Micros) -> Result<Decision, Refused> {
        let state = self.rules()?.pause(&self.state, now);
        let kept = Self { state, next: NEVER, updated: now, ..self.clone() };
        Ok(Decision { kept, runs: Vec::new(), cancel: Vec::new() })
    }

    /// Other rules and another target. Times that have passed are decided: a timing
    /// that is new has no past.
    pub(crate) fn changed(
        &self,
        spec: Spec,
        target: Target,
        note: String,
        now: Micros,
    ) -> Result<Decision, Refused> {
        let mut kept = Self { spec, target, note, updated: now, ..self.clone() };
        if kept.spec != self.spec {
            kept.state.decided = decided_up_to(now);
        }
        kept.due(now)
    }

    fn follow(&self, turn: Turn) -> Decision {
        let mut runs: Vec<_> = turn.start.into_iter().map(NewRun::timed).collect();
        runs.extend(turn.missed.map(|(from, to)| self.missed(from, to)));
        let cancel = turn.cancel.iter().map(|at| self.key(*at)).collect();
        let next = turn.next_wake.unwrap_or(NEVER);
        Decision { kept: Self { state: turn.state, next, ..self.clone() }, runs, cancel }
    }

    /// The key of the run for a time, as the schedule itself makes it.
    fn key(&self, at: Micros) -> String {
        format!("{}/{}", self.uid.as_simple(), at.0)
    }

    fn missed(&self, from: Micros, to: Micros) -> NewRun {
        let why = format!(
            "nothing ran that could have looked after this schedule between {from} and {to}, for longer than \
             catch_up; the times between are left out"
        );
        let key = format!("{}/missed/{}", self.uid.as_simple(), from.0);
        NewRun { key, at: from, triggered: false, missed: Some(why) }
    }

    /// A run that somebody asks for.
    pub(crate) fn triggered(&self, key: &str, now: Micros) -> NewRun {
        let key = format!("{}/triggered/{key}", self.uid.as_simple());
        NewRun { key, at: now, triggered: true, missed: None }
    }
}

impl NewRun {
    fn timed(run: Run) -> Self {
        Self { key: run.key, at: run.at, triggered: false, missed: None }
    }

    pub(crate) fn id(&self) -> Vec<u8> {
        run_id(&self.key)
    }
}

/// The id of a run follows from its key.
pub(crate) fn run_id(key: &str) -> Vec<u8> {
    Sha256::digest(key.as_bytes()).iter().copied().take(16).collect()
}

fn decided_up_to(now: Micros) -> Decided {
    State::new(now).decided
}

#[cfg(test)]
mod tests {
    use super::*;
    use probity_schedule::Overlap;
    use serde_json::json;

    const MINUTE: i64 = 60_000_000;

    fn kept(overlap: Overlap) -> Kept {
        let target = Target {
            definition: "feed".into(),
            input: json!({"a": 1}),
            time_field: "at".into(),
            priority: 2,
            owner: "users/o".into(),
            roles: Roles::default(),
        };
        Kept {
            tenant: "t".into(),
            id: "feed".into(),
            uid: Uuid::from_u128(7),
            spec: Spec { timing: "@every 1m".into(), overlap, ..Spec::default() },
            target,
            note: String::new(),
            state: State::new(Micros(0)),
            revision: 1,
            next: Micros(MINUTE),
            created: Micros(0),
            updated: Micros(0),
        }
    }

    #[test]
    fn keys_of_runs_to_cancel_are_those_they_started_under() {
        let first = kept(Overlap::CancelRunning).due(Micros(MINUTE)).unwrap();
        let key = first.runs[0].key.clone();
        let second = first.kept.due(Micros(2 * MINUTE)).unwrap();
        assert_eq!((second.runs.len(), second.cancel), (0, vec![key]));
        let third = second.kept.ended(Micros(MINUTE), Micros(2 * MINUTE + 5)).unwrap();
        assert_eq!(third.runs[0].at, Micros(2 * MINUTE));
    }

    #[test]
    fn a_new_timing_has_no_past() {
        let now = Micros(90 * MINUTE);
        let kept = kept(Overlap::AllowAll);
        let spec = Spec { timing: "@every 1s".into(), ..kept.spec.clone() };
        let changed = kept.changed(spec, kept.target.clone(), "quicker".into(), now).unwrap();
        assert_eq!((changed.runs.len(), changed.kept.next), (0, Micros(now.0 + 1_000_000)));
        // Another note alone changes nothing about what is due.
        let noted = kept.changed(kept.spec.clone(), kept.target.clone(), "n".into(), now).unwrap();
        assert!(noted.runs.len() > 50);
    }

    #[test]
    fn what_was_missed_is_told_once() {
        let late = kept(Overlap::Skip).due(Micros(600 * MINUTE)).unwrap();
        let missed: Vec<_> = late.runs.iter().filter(|run| run.missed.is_some()).collect();
        assert_eq!((missed.len(), missed[0].at), (1, Micros(0)));
        let again = late.kept.due(Micros(600 * MINUTE + 1)).unwrap();
        assert!(again.runs.iter().all(|run| run.missed.is_none()));
    }

    #[test]
    fn a_pause_has_no_next_time_and_the_input_its_own() {
        let kept = kept(Overlap::Skip);
        let paused = kept.pause(Micros(5)).unwrap().kept;
        assert_eq!((paused.next, paused.due(Micros(9 * MINUTE)).unwrap().kept.next), (NEVER, NEVER));
        let resumed = paused.resume(Micros(9 * MINUTE + 1)).unwrap();
        assert_eq!((resumed.runs.len(), resumed.kept.next), (0, Micros(10 * MINUTE)));
        let input = kept.target.input_at(Micros(MINUTE));
        assert_eq!(input, json!({"a": 1, "at": "1970-01-01T00:01:00.000000Z"}));
    }
}
