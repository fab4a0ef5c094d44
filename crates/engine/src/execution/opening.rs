//! What an execution is started with.

use crate::definition::Definition;
use crate::fact::{Fact, Parent};
use probity_types::{CaseKind, Roles};
use serde_json::{Value as Json, json};

/// What an execution is started with.
#[derive(Debug, Clone, PartialEq)]
pub struct Opening {
    /// `cases/<id>` or `executions/<id>`.
    pub name: String,
    /// Whether it is a case, and which.
    pub what: What,
    /// What the definition's `input_schema` describes; null for a case.
    pub input: Json,
    /// 1 (low) to 4 (critical).
    pub priority: u8,
    /// Who started it.
    pub owner: String,
    /// The roles the owner had.
    pub owner_roles: Roles,
    /// The step of another execution that started it. A case has none.
    pub parent: Option<Parent>,
}

/// Whether an execution is a case.
#[derive(Debug, Clone, PartialEq)]
pub enum What {
    /// A case; its definition has a `verdict`.
    Case {
        /// What it is about.
        kind: CaseKind,
        /// One line for people.
        subject: String,
        /// `documents/<sha256>` each.
        documents: Vec<String>,
    },
    /// No case; its definition has none.
    Plain,
}

impl Opening {
    /// The opening a fact tells of, if it is one.
    #[must_use]
    pub fn of(fact: &Fact) -> Option<Self> {
        match fact {
            Fact::CaseOpened { case, kind, subject, documents, priority, owner, owner_roles, .. } => {
                Some(Self {
                    name: case.clone(),
                    what: What::Case { kind: *kind, subject: subject.clone(), documents: documents.clone() },
                    input: Json::Null,
                    priority: *priority,
                    owner: owner.clone(),
                    owner_roles: owner_roles.clone(),
                    parent: None,
                })
            }
            Fact::ExecutionStarted { execution, input, priority, owner, owner_roles, parent, .. } => {
                Some(Self {
                    name: execution.clone(),
                    what: What::Plain,
                    input: Json::clone(input),
                    priority: *priority,
                    owner: owner.clone(),
                    owner_roles: owner_roles.clone(),
                    parent: parent.clone(),
                })
            }
            _ => None,
        }
    }

    /// Whether it opens a case.
    #[must_use]
    pub const fn is_case(&self) -> bool {
        matches!(self.what, What::Case { .. })
    }

    /// The fact that begins the journal.
    pub(super) fn fact(&self, definition: &Definition) -> Fact {
        let (definition, version) = (definition.name.clone(), definition.version.clone());
        let (priority, owner, owner_roles) = (self.priority, self.owner.clone(), self.owner_roles.clone());
        match &self.what {
            What::Case { kind, subject, documents } => Fact::CaseOpened {
                case: self.name.clone(),
                kind: *kind,
                subject: subject.clone(),
                documents: documents.clone(),
                priority,
                owner,
                owner_roles,
                definition,
                version,
            },
            What::Plain => Fact::ExecutionStarted {
                execution: self.name.clone(),
                definition,
                version,
                input: self.input.clone().into(),
                priority,
                owner,
                owner_roles,
                parent: self.parent.clone(),
            },
        }
    }

    /// What expressions see of it: `case` or `execution`.
    pub(super) fn itself(&self) -> Json {
        match &self.what {
            What::Case { kind, subject, documents } => json!({
                "name": self.name,
                "kind": kind.proto_name(),
                "subject": subject,
                "documents": documents,
                "priority": self.priority,
                "owner": self.owner,
            }),
            What::Plain => json!({ "name": self.name, "owner": self.owner, "priority": self.priority }),
        }
    }
}
