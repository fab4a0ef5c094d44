//! Made-up reports of people who saw something, or only a broken lamp.

use super::dice::Dice;
use super::words;
use super::{Expected, Item};
use crate::kind::Kind;
use std::fmt::Write as _;

/// What a report is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Plant {
    /// A bribe was asked for.
    Bribe,
    /// Part of the price comes back.
    Kickback,
    /// Invoices for nothing.
    FalseRecords,
    /// Somebody decides about a relative.
    Conflict,
    /// Whoever speaks is punished.
    Retaliation,
    /// A complaint about ordinary things.
    Nothing,
}

impl Plant {
    const ROTATION: [Self; 6] =
        [Self::Bribe, Self::Nothing, Self::Kickback, Self::FalseRecords, Self::Conflict, Self::Retaliation];

    /// What the report of that number is about.
    pub(super) fn of_number(number: u64) -> Self {
        let at = usize::try_from(number % 6).unwrap_or_default();
        Self::ROTATION.get((at + 5) % 6).copied().unwrap_or(Self::Nothing)
    }

    /// The rule that should speak.
    const fn rule(self) -> Option<&'static str> {
        match self {
            Self::Bribe => Some("RPT-BRIBERY"),
            Self::Kickback => Some("RPT-KICKBACK"),
            Self::FalseRecords => Some("RPT-FALSE-RECORDS"),
            Self::Conflict => Some("RPT-CONFLICT"),
            Self::Retaliation => Some("RPT-RETALIATION"),
            Self::Nothing => None,
        }
    }

    /// What is reported; each text stands for the whole of the report.
    const fn stories(self) -> &'static [&'static str] {
        match self {
            Self::Bribe => &[
                "The inspector told our foreman that the permit would be signed only after a bribe of {sum} EUR. \
                 He said the bribe should be handed over in the car park behind the office. My colleague heard it too.",
                "Before the decision the site manager paid a bribe to the head of the office. I saw the envelope on \
                 the table, and afterwards he said that the bribe of {sum} EUR had been worth it.",
            ],
            Self::Kickback => &[
                "The supplier gives a kickback for every order that goes through the purchasing desk. In March the \
                 kickback was {sum} EUR. The prices are a fifth above what other towns pay.",
                "I was told in so many words that the contract comes with a kickback for the manager who signs. The \
                 kickback is hidden in the transport costs, {sum} EUR each time.",
            ],
            Self::FalseRecords => &[
                "We receive fake invoices for repairs that never took place. I know the vehicles, they stood in the \
                 yard all month. The fake invoices add up to {sum} EUR since January.",
                "My supervisor asked me to sign for material that was never delivered, and to file the fake invoices \
                 with the others. One of the fake invoices is for {sum} EUR.",
            ],
            Self::Conflict => &[
                "There is a conflict of interest in the evaluation of the last tender: the chair of the committee \
                 owns a share of the company that won. The conflict of interest was never declared. The contract is \
                 worth {sum} EUR.",
                "The person who checks the invoices is married to the owner of the company. Everybody knows of this \
                 conflict of interest and nobody has written it down. It is about {sum} EUR a year.",
            ],
            Self::Retaliation => &[
                "After I asked about the missing {sum} EUR there was retaliation: my shifts were changed and my \
                 access card was blocked. The manager said openly that this is retaliation for my question.",
                "Two colleagues raised the matter of the {sum} EUR with the auditor. They were both moved to the \
                 archive. It is plain retaliation, and everybody else now keeps quiet for fear of retaliation.",
            ],
            Self::Nothing => &[
                "The street lamp in front of the school has been dark for three weeks. I called twice and was told \
                 that it is on the list. In the morning the crossing is hard to see.",
                "The new waiting room is cold and the heating cannot be turned up. The staff are friendly and do \
                 what they can. A second door would help.",
            ],
        }
    }
}

const BEGINNINGS: &[&str] = &[
    "I work at the {office} in {town} and would like to stay anonymous.",
    "I am writing about the {office} in {town}.",
    "This concerns the {office} in {town}. I have been there for {years} years.",
];

const ENDINGS: &[&str] = &[
    "Please look into it. I can be reached through this form.",
    "I do not know whom else to tell.",
    "I kept a note of the dates and can hand it over.",
    "Others have seen it as well, but I cannot speak for them.",
];

/// A report with that number.
pub(super) fn item(mut dice: Dice, number: u64, plant: Plant) -> Item {
    let (office, town) = (dice.pick(words::OFFICES), dice.pick(words::TOWNS));
    let years = dice.between(2, 19).to_string();
    let sum = format!("{}", dice.between(3, 180) * 100 + 50);
    let beginning = dice.pick(BEGINNINGS).replace("{office}", office).replace("{town}", town);
    let story = dice.pick(plant.stories()).replace("{sum}", &sum);
    let mut text = String::new();
    let _ = writeln!(text, "Report {number:04} of {}\n", dice.day());
    let _ = writeln!(text, "{}\n\n{story}\n\n{}", beginning.replace("{years}", &years), dice.pick(ENDINGS));
    let mut expected = Expected { spam: Some(false), ..Expected::default() };
    if let Some(rule) = plant.rule() {
        expected.plant(rule, format!("{plant:?} at the {office} in {town}"));
    }
    Item {
        kind: Kind::Report,
        filename: format!("report-{number:03}.txt"),
        subject: format!("Report about the {office} in {town}"),
        bytes: text.into_bytes(),
        expected,
    }
}
