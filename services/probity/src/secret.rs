//! Passwords as they are typed, read from files, and made.

use crate::args::identity::PasswordArgs;
use crate::failure::Failure;
use crate::output::note;
use anyhow::Context as _;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::path::Path;
use zeroize::Zeroizing;

/// Longest line that is read.
const LONGEST: usize = 4_096;
/// Letters of a password that is made: none that look alike.
const LETTERS: &[u8] = b"abcdefghjkmnpqrstuvwxyzABCDEFGHJKMNPQRSTUVWXYZ23456789";
/// How many of them: 24 of 54 are 138 bits.
const MADE: usize = 24;

/// A password that exists.
///
/// # Errors
/// [`Failure::Usage`] when there is none.
pub(crate) fn known(args: &PasswordArgs) -> Result<Zeroizing<String>, Failure> {
    match args.password_file.as_deref() {
        Some(file) => from_file(file),
        None => asked("password: "),
    }
}

/// A new password; typed twice.
///
/// # Errors
/// [`Failure::Usage`] when there is none, or two.
pub(crate) fn new(args: &PasswordArgs) -> Result<Zeroizing<String>, Failure> {
    if let Some(file) = args.password_file.as_deref() {
        return from_file(file);
    }
    let first = asked("new password: ")?;
    if *first != *asked("the same again: ")? {
        return Err(Failure::Usage("the passwords are not the same".to_owned()));
    }
    Ok(first)
}

/// A password that nobody has thought of.
///
/// # Errors
/// When the system gives no random bytes.
pub(crate) fn made() -> Result<Zeroizing<String>, Failure> {
    let mut out = Zeroizing::new(String::new());
    while out.len() < MADE {
        let mut bytes = Zeroizing::new([0_u8; 64]);
        getrandom::fill(bytes.as_mut_slice()).map_err(|e| anyhow::anyhow!("no random bytes: {e}"))?;
        // What would make some letters likelier than others is left out.
        let fair = bytes.iter().map(|byte| usize::from(*byte)).filter(|byte| *byte < 216);
        out.extend(fair.map(|byte| char::from(LETTERS[byte % LETTERS.len()])));
    }
    out.truncate(MADE);
    Ok(out)
}

fn from_file(file: &Path) -> Result<Zeroizing<String>, Failure> {
    let text = if file == Path::new("-") {
        line()?
    } else {
        let text = std::fs::read(file).map(Zeroizing::new);
        let text = text.with_context(|| format!("the password file {} cannot be read", file.display()))?;
        Zeroizing::new(String::from_utf8_lossy(&text).into_owned())
    };
    let first = Zeroizing::new(text.lines().next().unwrap_or_default().to_owned());
    if first.is_empty() {
        return Err(Failure::Usage(format!("{}: there is no password in its first line", file.display())));
    }
    Ok(first)
}

fn asked(what: &str) -> Result<Zeroizing<String>, Failure> {
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        let hint = "there is no terminal to ask for the password: give --password-file FILE, or - for standard input";
        return Err(Failure::Usage(hint.to_owned()));
    }
    let mut err = std::io::stderr().lock();
    err.write_all(what.as_bytes())?;
    err.flush()?;
    drop(err);
    let silent = Silent::begin();
    let text = line();
    drop(silent);
    note("");
    let text = text?;
    let first = Zeroizing::new(text.trim_end_matches(['\n', '\r']).to_owned());
    if first.is_empty() {
        return Err(Failure::Usage("no password was given".to_owned()));
    }
    Ok(first)
}

fn line() -> Result<Zeroizing<String>, Failure> {
    let mut text = Zeroizing::new(String::with_capacity(LONGEST));
    let mut stdin = std::io::Read::take(std::io::stdin().lock(), LONGEST as u64);
    stdin.read_line(&mut text).context("the password cannot be read")?;
    Ok(text)
}

/// A terminal that does not show what is typed, for as long as this is kept.
struct Silent(Option<Termios>);

impl Silent {
    fn begin() -> Self {
        let stdin = std::io::stdin();
        let Ok(before) = tcgetattr(&stdin) else { return Self(None) };
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        let _ = tcsetattr(&stdin, OptionalActions::Flush, &silent);
        Self(Some(before))
    }
}

impl Drop for Silent {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            let _ = tcsetattr(std::io::stdin(), OptionalActions::Flush, before);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_passwords_differ_and_can_be_typed() {
        let (one, two) = (made().unwrap(), made().unwrap());
        assert_ne!(*one, *two);
        assert!(one.len() == MADE && one.bytes().all(|b| LETTERS.contains(&b)), "{}", *one);
    }

    #[test]
    fn the_first_line_of_a_file_is_the_password() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("p");
        std::fs::write(&file, "correct horse \nmore").unwrap();
        assert_eq!(*from_file(&file).unwrap(), "correct horse ");
        std::fs::write(&file, "\n").unwrap();
        assert!(matches!(from_file(&file), Err(Failure::Usage(_))));
    }
}
