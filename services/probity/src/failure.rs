//! How a command fails, in words for a person and with the exit code of the
//! command: 0 done, 1 failed or refused, 2 wrong usage.

use probity_runtime::fault_of;
use probity_types::{Fault, FaultKind};
use std::fmt::Write as _;
use std::process::ExitCode;
use tonic::Status;

/// Why a command did not do what it was asked to.
#[derive(Debug)]
pub enum Failure {
    /// What was typed cannot work.
    Usage(String),
    /// Something was refused; what and why has been printed already.
    Refused,
    /// The reader of the output went away, as `head` does.
    PipeClosed,
    /// The platform refused a call.
    Call(Box<CallFailure>),
    /// Anything else.
    Other(anyhow::Error),
}

/// A call that the platform refused or did not answer.
#[derive(Debug)]
pub struct CallFailure {
    /// What was tried, such as `open the case`.
    pub what: &'static str,
    /// Where.
    pub server: String,
    /// The request id, which leads to the log of the platform.
    pub request_id: String,
    /// The answer.
    pub status: Status,
}

impl Failure {
    /// The exit code of the command.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::PipeClosed => 0,
            Self::Usage(_) => 2,
            Self::Refused | Self::Call(_) | Self::Other(_) => 1,
        })
    }

    /// What to print to standard error; empty when it has been said already.
    #[must_use]
    pub fn message(&self) -> String {
        match self {
            Self::Refused | Self::PipeClosed => String::new(),
            Self::Usage(text) => format!("error: {text}\n"),
            Self::Other(error) => format!("error: {error:#}\n"),
            Self::Call(call) => call.message(),
        }
    }
}

impl CallFailure {
    /// The answer as a fault, with the platform's code and fields.
    #[must_use]
    pub fn fault(&self) -> Fault {
        fault_of(&self.status)
    }

    fn message(&self) -> String {
        let fault = self.fault();
        let mut text = format!("error: could not {}: {}\n", self.what, self.reason());
        for violation in &fault.violations {
            let _ = writeln!(text, "  field    {}: {}", violation.field, violation.description);
        }
        let _ = writeln!(text, "  status   {}", self.code_name());
        if let Some(after) = fault.retry_after.filter(|_| fault.code != OUR_OWN) {
            let _ = writeln!(text, "  wait     {} s before trying again", after.as_secs().max(1));
        }
        let _ = writeln!(text, "  request  {}", self.request_id);
        if let Some(advice) = advice(fault.kind, &self.server) {
            let _ = writeln!(text, "  what now {advice}");
        }
        text
    }

    /// The sentence of the platform, or what the silence means.
    #[must_use]
    pub fn reason(&self) -> String {
        let said = self.status.message();
        let said = if said.is_empty() { "no reason was given" } else { said };
        crate::output::plain(said)
    }

    /// The stable code with the name of the gRPC status, such as
    /// `ORC-0003 NOT_FOUND`.
    #[must_use]
    pub fn code_name(&self) -> String {
        let fault = self.fault();
        let name = grpc_name(self.status.code());
        // A failure that our own client met carries no code of the platform.
        if fault.code == OUR_OWN {
            name
        } else {
            format!("{} {name} (docs/errors/{}.md)", fault.code, fault.code)
        }
    }

    /// True when going on with other items makes no sense: nobody answers, or
    /// nobody believes who is calling.
    #[must_use]
    pub fn is_about_the_caller(&self) -> bool {
        matches!(
            self.fault().kind,
            FaultKind::Unauthenticated
                | FaultKind::Denied
                | FaultKind::Unavailable
                | FaultKind::Overloaded
                | FaultKind::Timeout
        )
    }
}

/// The code of what our own client met: no platform said it.
const OUR_OWN: &str = "RUN-0001";

/// The name of a gRPC status as the specification writes it: `NOT_FOUND`.
pub(crate) fn grpc_name(code: tonic::Code) -> String {
    let mut name = String::new();
    for letter in format!("{code:?}").chars() {
        if letter.is_ascii_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(letter.to_ascii_uppercase());
    }
    name
}

fn advice(kind: FaultKind, server: &str) -> Option<String> {
    Some(match kind {
        FaultKind::Unauthenticated => {
            "log in with `probity login`, or give a valid token with --token-file; `probity dev` writes one to DIR/token".to_owned()
        }
        FaultKind::Denied => {
            "ask for a token with a role that may do this (`probity token issue`)".to_owned()
        }
        FaultKind::NotFound => {
            "check the id; `list` of the same group of commands shows what there is".to_owned()
        }
        FaultKind::Unavailable => {
            format!("is the platform running at {server}? `probity dev` starts one; --server names another")
        }
        FaultKind::Overloaded => "wait, or lower --jobs".to_owned(),
        FaultKind::KeyReused => "choose another --key, or repeat the first request unchanged".to_owned(),
        FaultKind::Stale => "look at it again and repeat the command".to_owned(),
        FaultKind::Internal | FaultKind::Corrupt => {
            "give the request id to whoever runs the platform; it leads to the log".to_owned()
        }
        FaultKind::Timeout => "try again; what was sent with a key is not done twice".to_owned(),
        FaultKind::Invalid | FaultKind::Exists | FaultKind::WrongState => return None,
    })
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Other(error)
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::BrokenPipe {
            return Self::PipeClosed;
        }
        Self::Other(error.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(status: Status) -> String {
        let failure = CallFailure {
            what: "get the case",
            server: "http://h:1".to_owned(),
            request_id: "req-1".to_owned(),
            status,
        };
        Failure::Call(Box::new(failure)).message()
    }

    #[test]
    fn a_refusal_says_what_where_and_what_now() {
        let fault = Fault::invalid("ORC-0042", "documents[2]", "is missing");
        let text = call(probity_runtime::status(fault));
        for part in ["could not get the case", "documents[2]: is missing", "ORC-0042", "req-1"] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }

    #[test]
    fn every_kind_has_words() {
        for kind in FaultKind::ALL {
            let text = call(probity_runtime::status(Fault::new(kind, "TST-0001", "why")));
            assert!(text.starts_with("error: could not get the case: "), "{text}");
        }
        let silent = call(Status::unavailable(""));
        assert!(silent.contains("is the platform running at http://h:1"), "{silent}");
        assert!(silent.contains("status   UNAVAILABLE\n") && !silent.contains("wait"), "{silent}");
        assert!(call(Status::failed_precondition("")).contains("FAILED_PRECONDITION"));
    }

    #[test]
    fn control_characters_of_a_server_do_not_reach_the_terminal() {
        assert!(!call(Status::not_found("x\x1b[31m\r\ny")).contains('\x1b'));
    }

    #[test]
    fn exit_codes() {
        let check = |failure: Failure, code: u8| {
            assert_eq!(format!("{:?}", failure.exit_code()), format!("{:?}", ExitCode::from(code)));
        };
        check(Failure::Usage("x".into()), 2);
        check(Failure::Refused, 1);
        check(Failure::Other(anyhow::anyhow!("x")), 1);
        check(std::io::Error::from(std::io::ErrorKind::BrokenPipe).into(), 0);
        check(std::io::Error::from(std::io::ErrorKind::NotFound).into(), 1);
    }
}
