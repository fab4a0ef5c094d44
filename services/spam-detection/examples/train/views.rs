//! Shows the same message in several ways, so that the model does not lean on
//! what a channel may lose: headers, letter case, the rest of the text.

use probity_spam_detection::domain::{Facts, Message};

/// The ways a message is shown in training.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum View {
    /// As it is.
    Whole,
    /// The text alone, in lower case, without anything known of its structure.
    Bare,
    /// A stretch of the text.
    Part,
}

/// The message in that view. `random` decides where a stretch begins.
pub(crate) fn show(message: &Message, view: View, random: u64) -> Message {
    match view {
        View::Whole => message.clone(),
        View::Bare => Message { text: message.text.to_lowercase(), facts: Facts::default(), links: 0 },
        View::Part => Message { text: stretch(&message.text, random), facts: Facts::default(), links: 0 },
    }
}

/// Between a quarter and a half of the lines, at least four hundred characters.
fn stretch(text: &str, random: u64) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let wanted = (text.len() / 4).max(400);
    let start = usize::try_from(random).unwrap_or_default() % (lines.len() / 2 + 1);
    let mut out = String::new();
    for line in lines.iter().skip(start) {
        out.push_str(line);
        out.push('\n');
        if out.len() > wanted {
            break;
        }
    }
    out
}
