//! From what each policy said to one decision: the strictest wins, and whatever
//! went wrong asks for a person.

use super::{Action, CaseKind, Decision, Trouble, Verdict};
use std::collections::BTreeSet;

/// What one policy said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// `name@version` of the policy.
    pub policy: String,
    /// What it said.
    pub verdict: Verdict,
}

/// Why a rule spoke.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reason {
    /// `name@version`, empty when no policy spoke.
    pub policy: String,
    /// Identifier of the rule.
    pub rule: String,
    /// What it asks for.
    pub decision: Decision,
    /// A sentence for a person.
    pub message: String,
}

/// The decision of all policies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evaluation {
    /// The strictest decision.
    pub decision: Decision,
    /// Why, strictest first.
    pub reasons: Vec<Reason>,
    /// How many people must agree: 0 for ALLOW, else 1, or 2 for four eyes.
    pub required_approvals: i32,
    /// What is to be done.
    pub actions: Vec<Action>,
    /// The policies that were evaluated.
    pub policies: Vec<String>,
    /// One sentence for a person.
    pub summary: String,
}

/// Merges what the applicable policies said.
#[must_use]
pub fn decide(kind: CaseKind, outcomes: &[Outcome]) -> Evaluation {
    let mut reasons: Vec<_> = outcomes.iter().flat_map(reasons_of).collect();
    if outcomes.is_empty() {
        reasons.push(nothing_checked(kind));
    }
    reasons.sort_by(|a, b| b.decision.cmp(&a.decision).then_with(|| a.cmp(b)));
    reasons.dedup();
    let decision = reasons.iter().map(|reason| reason.decision).max().unwrap_or(Decision::Allow);
    let four_eyes = outcomes.iter().any(|outcome| outcome.verdict.four_eyes);
    Evaluation {
        decision,
        required_approvals: match (decision, four_eyes) {
            (Decision::Allow, _) => 0,
            (_, false) => 1,
            (_, true) => 2,
        },
        actions: actions(outcomes),
        policies: outcomes.iter().map(|outcome| outcome.policy.clone()).collect(),
        summary: summary(decision, &reasons, outcomes.len()),
        reasons,
    }
}

fn nothing_checked(kind: CaseKind) -> Reason {
    Reason {
        policy: String::new(),
        rule: "no-policy".to_owned(),
        decision: Decision::Review,
        message: format!("no policy applies to cases of the kind {}: nothing was checked", kind.as_str()),
    }
}

fn reasons_of(outcome: &Outcome) -> Vec<Reason> {
    let reason = |rule: &str, decision, message: String| Reason {
        policy: outcome.policy.clone(),
        rule: rule.to_owned(),
        decision,
        message,
    };
    let verdict = &outcome.verdict;
    let said = verdict.entries.iter().map(|e| reason(&e.rule, e.decision, e.message.clone()));
    let wrong = verdict
        .troubles
        .iter()
        .map(|trouble| reason(trouble.rule(), Decision::Review, named(outcome, trouble)));
    let unknown = verdict.actions.iter().filter(|name| Action::parse(name).is_none());
    let unknown =
        unknown.map(|name| reason("unknown-action", Decision::Review, unknown_action(outcome, name)));
    let mut reasons: Vec<_> = said.chain(wrong).chain(unknown).collect();
    let silent = reasons.iter().all(|reason| reason.decision == Decision::Allow);
    if verdict.four_eyes && silent {
        // Two people cannot agree on a case that nobody is asked about.
        let message = format!("the policy {} asks for two people without saying why", outcome.policy);
        reasons.push(reason("four-eyes", Decision::Review, message));
    }
    reasons
}

fn named(outcome: &Outcome, trouble: &Trouble) -> String {
    format!("the policy {} {trouble}", outcome.policy)
}

fn unknown_action(outcome: &Outcome, name: &str) -> String {
    let known = Action::ALL.map(Action::as_str).join(", ");
    format!(
        "the policy {} asks for the action {name:?}, which nobody knows; there are {known}",
        outcome.policy
    )
}

fn actions(outcomes: &[Outcome]) -> Vec<Action> {
    let asked = outcomes.iter().flat_map(|outcome| &outcome.verdict.actions);
    let known: BTreeSet<_> = asked.filter_map(|name| Action::parse(name)).collect();
    known.into_iter().rev().collect()
}

fn summary(decision: Decision, reasons: &[Reason], policies: usize) -> String {
    let checked = if policies == 1 { "1 policy".to_owned() } else { format!("{policies} policies") };
    let first = reasons.first().map(|reason| reason.message.as_str()).unwrap_or_default();
    let speaking = reasons.iter().filter(|reason| reason.decision == decision).count();
    let more = match speaking.saturating_sub(1) {
        0 => String::new(),
        more => format!(" (and {more} more)"),
    };
    match decision {
        Decision::Allow if reasons.is_empty() => format!("Nothing stands against it: {checked} evaluated."),
        Decision::Allow => format!("Nothing stands against it: {checked} evaluated. Note: {first}{more}"),
        Decision::Review => format!("A person must look: {first}{more}"),
        Decision::Deny => format!("It breaks a rule: {first}{more}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Entry;

    fn entry(decision: Decision, rule: &str) -> Entry {
        Entry { decision, rule: rule.into(), message: format!("about {rule}") }
    }

    fn outcome(policy: &str, verdict: Verdict) -> Outcome {
        Outcome { policy: policy.into(), verdict }
    }

    fn said(decisions: &[Decision]) -> Verdict {
        Verdict { entries: decisions.iter().map(|d| entry(*d, "r")).collect(), ..Verdict::default() }
    }

    #[test]
    fn the_strictest_wins() {
        use Decision::{Allow, Deny, Review};
        let check = |policies: &[&[Decision]], expect: Decision, approvals: i32| {
            let outcomes: Vec<_> =
                policies.iter().enumerate().map(|(i, d)| outcome(&format!("p{i}@1"), said(d))).collect();
            let got = decide(CaseKind::Tender, &outcomes);
            assert_eq!((got.decision, got.required_approvals), (expect, approvals), "{policies:?}");
        };
        check(&[&[]], Allow, 0);
        check(&[&[Allow]], Allow, 0);
        check(&[&[], &[Review]], Review, 1);
        check(&[&[Review], &[Deny], &[]], Deny, 1);
        check(&[&[Allow, Deny, Review]], Deny, 1);
        check(&[], Review, 1);
    }

    #[test]
    fn nothing_checked_asks_for_a_person() {
        let got = decide(CaseKind::Report, &[]);
        assert_eq!(got.reasons[0].rule, "no-policy");
        assert!(got.summary.contains("report") && got.policies.is_empty(), "{got:?}");
    }

    #[test]
    fn trouble_asks_for_a_person_and_names_the_policy() {
        let verdict = Verdict::of(Trouble::Timeout { limit: std::time::Duration::from_millis(100) });
        let got = decide(CaseKind::Tender, &[outcome("slow@3", verdict)]);
        assert_eq!((got.decision, got.required_approvals), (Decision::Review, 1));
        assert_eq!(got.reasons[0].message, "the policy slow@3 took longer than 100 ms and was stopped");
    }

    #[test]
    fn a_denial_stands_beside_trouble() {
        let verdict = Verdict { troubles: vec![Trouble::Quarantined], ..said(&[Decision::Deny]) };
        assert_eq!(decide(CaseKind::Tender, &[outcome("p@1", verdict)]).decision, Decision::Deny);
    }

    #[test]
    fn actions_are_merged_and_unknown_ones_never_dropped() {
        let with = |actions: &[&str]| Verdict {
            actions: actions.iter().map(|a| (*a).to_owned()).collect(),
            ..Verdict::default()
        };
        let known = decide(
            CaseKind::Payment,
            &[outcome("a@1", with(&["notify"])), outcome("b@1", with(&["hold_payment", "notify"]))],
        );
        assert_eq!(
            (known.decision, known.actions),
            (Decision::Allow, vec![Action::HoldPayment, Action::Notify])
        );
        let unknown = decide(CaseKind::Payment, &[outcome("a@1", with(&["notify", "freeze"]))]);
        assert_eq!((unknown.decision, &unknown.actions[..]), (Decision::Review, &[Action::Notify][..]));
        assert!(unknown.reasons[0].message.contains("\"freeze\""), "{unknown:?}");
    }

    #[test]
    fn four_eyes_asks_for_two_even_when_another_policy_gave_the_reason() {
        let eyes = Verdict { four_eyes: true, ..said(&[Decision::Review]) };
        let got = decide(CaseKind::Tender, &[outcome("a@1", eyes), outcome("b@1", said(&[Decision::Deny]))]);
        assert_eq!((got.decision, got.required_approvals), (Decision::Deny, 2));
        let without_reason = Verdict { four_eyes: true, ..Verdict::default() };
        let got = decide(CaseKind::Tender, &[outcome("a@1", without_reason)]);
        assert_eq!(
            (got.decision, got.required_approvals, got.reasons[0].rule.as_str()),
            (Decision::Review, 2, "four-eyes")
        );
    }

    #[test]
    fn reasons_come_strictest_first() {
        use Decision::{Allow, Deny, Review};
        let got = decide(CaseKind::Tender, &[outcome("a@1", said(&[Allow, Review, Deny]))]);
        assert_eq!(got.reasons.iter().map(|r| r.decision).collect::<Vec<_>>(), [Deny, Review, Allow]);
        assert_eq!(got.summary, "It breaks a rule: about r");
    }
}
