//! The signals that ask a process to stop.

use futures::{Stream, stream};
use std::io;
use std::task::Poll;
use tokio::signal::unix::{SignalKind, signal};

/// A signal that asks to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// SIGTERM, from a supervisor.
    Terminate,
    /// SIGINT, from a person at the terminal.
    Interrupt,
}

impl Signal {
    /// The exit code a shell expects of a process ended by this signal.
    #[must_use]
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Terminate => 143,
            Self::Interrupt => 130,
        }
    }
}

/// The signals of the operating system, from now on. The default action (the
/// process ends at once) is off as long as the process lives.
pub fn signals() -> io::Result<impl Stream<Item = Signal> + Send> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(stream::poll_fn(move |cx| {
        if terminate.poll_recv(cx).is_ready() {
            return Poll::Ready(Some(Signal::Terminate));
        }
        if interrupt.poll_recv(cx).is_ready() {
            return Poll::Ready(Some(Signal::Interrupt));
        }
        Poll::Pending
    }))
}
