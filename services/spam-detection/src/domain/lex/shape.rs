//! The kinds of things in a text that are not words.

/// Declares the shapes with their names.
macro_rules! shapes {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
        /// Kinds of things that are not words.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Shape { $($(#[$doc])* $name,)* }

        impl Shape {
            /// All shapes.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The name in explanations.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
            /// The name in a short text, where the same shape says something
            /// else: a number in a line is not a number in a report.
            #[must_use]
            pub const fn name_in_short_text(self) -> &'static str {
                match self { $(Self::$name => concat!($text, "-in-a-short-text"),)* }
            }
        }
    };
}

shapes! {
    /// A web address.
    Link = "link";
    /// A mail address.
    Mail = "mail-address";
    /// An amount of money.
    Money = "money";
    /// A percentage.
    Percent = "percent";
    /// A time or date: weekday, month, clock time, year.
    When = "time";
    /// A number of one or two digits.
    Small = "number";
    /// Three or four digits.
    Medium = "number:3-4-digits";
    /// Five or six digits, as the short numbers that paid messages use.
    Code = "number:5-6-digits";
    /// Seven digits or more, as telephone numbers have.
    Phone = "number:phone-length";
    /// Letters and digits mixed, as in codes.
    Mixed = "letters-and-digits";
    /// An exclamation mark.
    Exclaim = "exclamation";
    /// Several exclamation marks in a row.
    ExclaimRun = "exclamation-run";
    /// A question mark.
    Question = "question";
    /// A line of ornaments.
    Ornament = "ornament";
    /// A very long run of letters.
    LongRun = "very-long-word";
    /// A line that quotes an earlier message.
    Quote = "quoted-line";
    /// A smiley.
    Smiley = "smiley";
}
