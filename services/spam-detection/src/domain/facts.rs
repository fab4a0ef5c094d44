//! What can be said of a message's structure without quoting it.

/// Declares the facts with the names people read.
macro_rules! facts {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
        /// Something noticed about the structure of a message.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Fact {
            $($(#[$doc])* $name,)*
        }

        impl Fact {
            /// All facts.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The name in explanations.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

facts! {
    /// The message says nothing about when it was written.
    MissingDate = "header:missing-date";
    /// There is no message id: it was not made by a mail program.
    MissingMessageId = "header:missing-message-id";
    /// Nobody signs as the sender.
    MissingFrom = "header:missing-from";
    /// It is addressed to nobody.
    MissingRecipient = "header:missing-recipient";
    /// It has no subject, or an empty one.
    MissingSubject = "header:missing-subject";
    /// Answers go to another domain than the sender's.
    ReplyToDiffers = "header:reply-to-differs";
    /// The sender's display name shows an address that is not the sender's.
    NameShowsOtherAddress = "header:name-shows-other-address";
    /// More than ten recipients are named.
    ManyRecipients = "header:many-recipients";
    /// The recipients are hidden behind a group name.
    HiddenRecipients = "header:hidden-recipients";
    /// It answers an earlier message.
    InThread = "header:in-thread";
    /// The subject is in capitals.
    SubjectAllCaps = "header:subject-all-caps";
    /// The subject is padded with blanks, as to hide a serial number.
    SubjectPadded = "header:subject-padded";
    /// There is a text, and it is HTML alone.
    HtmlOnly = "mime:html-only";
    /// A file is attached.
    Attachment = "mime:attachment";
    /// A program is attached.
    Program = "mime:program-attached";
    /// There are images and next to no text.
    MostlyImages = "mime:mostly-images";
    /// Plain text is wrapped in base64 without need.
    WrappedText = "mime:wrapped-text";
    /// The structure is broken or exceeds what is read.
    Malformed = "mime:malformed";
    /// HTML holds text that a reader cannot see.
    HiddenText = "html:hidden-text";
    /// A link shows one host and leads to another.
    LinkMismatch = "html:link-mismatch";
    /// A link leads to a bare IP address.
    LinkToAddress = "html:link-to-ip-address";
    /// HTML holds a form to fill in.
    HtmlForm = "html:form";
    /// HTML holds a script.
    HtmlScript = "html:script";
    /// Words mix letters of several scripts, as in a forged brand name.
    MixedScript = "text:mixed-script";
    /// Words are interrupted by characters that cannot be seen.
    Invisible = "text:invisible-characters";
    /// Words are spelled out with blanks or dots between the letters.
    SpacedLetters = "text:spaced-letters";
}

/// A set of facts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Facts(u64);

impl Facts {
    /// Adds a fact.
    pub const fn note(&mut self, fact: Fact) {
        self.0 |= 1 << fact as u8;
    }

    /// Adds a fact when it holds.
    pub const fn note_if(&mut self, holds: bool, fact: Fact) {
        if holds {
            self.note(fact);
        }
    }

    /// True when the fact was noted.
    #[must_use]
    pub const fn has(self, fact: Fact) -> bool {
        self.0 & (1 << fact as u8) != 0
    }

    /// The facts in order.
    pub fn iter(self) -> impl Iterator<Item = Fact> {
        Fact::ALL.iter().copied().filter(move |fact| self.has(*fact))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_holds_what_was_noted_and_names_are_unique() {
        let mut facts = Facts::default();
        facts.note(Fact::SpacedLetters);
        facts.note_if(true, Fact::MissingDate);
        facts.note_if(false, Fact::HtmlForm);
        assert_eq!(facts.iter().collect::<Vec<_>>(), [Fact::MissingDate, Fact::SpacedLetters]);
        let mut names: Vec<_> = Fact::ALL.iter().map(|f| f.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Fact::ALL.len());
        assert!(Fact::ALL.len() <= 64);
    }
}
