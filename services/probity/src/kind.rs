//! The kinds of cases, as the command line names them.

use probity_proto::common::CaseKind;

/// What a case is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, clap::ValueEnum, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A procurement procedure: OCDS 1.1 releases or records.
    Tender,
    /// A file of payment rows: CSV with a header.
    Payment,
    /// A message: MIME (.eml) or plain text.
    Message,
    /// A report about possible wrongdoing, as text.
    Report,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 4] = [Self::Tender, Self::Payment, Self::Message, Self::Report];

    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tender => "tender",
            Self::Payment => "payment",
            Self::Message => "message",
            Self::Report => "report",
        }
    }

    /// The kind in the contracts.
    #[must_use]
    pub const fn proto(self) -> CaseKind {
        match self {
            Self::Tender => CaseKind::Tender,
            Self::Payment => CaseKind::Payment,
            Self::Message => CaseKind::Message,
            Self::Report => CaseKind::Report,
        }
    }

    /// Media type of a document of this kind with that file name.
    #[must_use]
    pub fn media_type(self, filename: &str) -> &'static str {
        match self {
            Self::Tender => "application/json",
            Self::Payment => "text/csv",
            Self::Message if filename.to_ascii_lowercase().ends_with(".txt") => "text/plain",
            Self::Message => "message/rfc822",
            Self::Report => "text/plain",
        }
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
