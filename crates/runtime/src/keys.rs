//! Ed25519 keys on disk: `<name>.key` (mode 0600, the seed in hex) and
//! `<name>.pub` beside it.

use ed25519_dalek::{SigningKey, VerifyingKey};
use probity_types::{Fault, FaultKind};
use std::fs;
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// A signing key and where it is kept.
pub struct KeyFile {
    key: SigningKey,
    path: PathBuf,
}

impl KeyFile {
    /// Opens `dir/<name>.key`, or makes it together with `dir/<name>.pub`.
    ///
    /// # Errors
    /// When the folder cannot be used or the file holds no key.
    pub fn open_or_create(dir: &Path, name: &str) -> Result<Self, Fault> {
        let path = dir.join(format!("{name}.key"));
        fs::create_dir_all(dir).map_err(|e| unusable(dir, e))?;
        let key = match fs::read_to_string(&path).map(Zeroizing::new) {
            Ok(text) => parse_seed(text.trim()).ok_or_else(|| damaged(&path))?,
            Err(e) if e.kind() == ErrorKind::NotFound => create(&path)?,
            Err(e) => return Err(unusable(&path, e)),
        };
        let public = dir.join(format!("{name}.pub"));
        publish(&public, &key.verifying_key())?;
        Ok(Self { key, path })
    }

    /// The key.
    #[must_use]
    pub fn into_signing_key(self) -> SigningKey {
        self.key
    }

    /// Where it is kept.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Reads `dir/<name>.pub`.
///
/// # Errors
/// UNAUTHENTICATED when it is not there or holds no key: without it, nothing of
/// that issuer can be believed.
pub fn read_public_key(dir: &Path, name: &str) -> Result<VerifyingKey, Fault> {
    let unknown =
        || Fault::new(FaultKind::Unauthenticated, "RUN-0004", "the issuer's public key is not known here");
    let text = fs::read_to_string(dir.join(format!("{name}.pub"))).map_err(|_| unknown())?;
    let bytes: [u8; 32] =
        hex::decode(text.trim()).ok().and_then(|b| b.try_into().ok()).ok_or_else(unknown)?;
    VerifyingKey::from_bytes(&bytes).map_err(|_| unknown())
}

fn parse_seed(text: &str) -> Option<SigningKey> {
    let mut seed = Zeroizing::new([0_u8; 32]);
    hex::decode_to_slice(text, seed.as_mut_slice()).ok()?;
    Some(SigningKey::from_bytes(&seed))
}

/// Writes the new key under a temporary name and links it into place, so that
/// of two processes that start at once both end with the same key.
fn create(path: &Path) -> Result<SigningKey, Fault> {
    let mut seed = Zeroizing::new([0_u8; 32]);
    getrandom::fill(seed.as_mut_slice()).map_err(|e| unusable(path, std::io::Error::other(e.to_string())))?;
    let temporary = path.with_extension(format!("key.{}", std::process::id()));
    write_private(&temporary, Zeroizing::new(hex::encode(seed.as_slice())).as_bytes())?;
    let linked = fs::hard_link(&temporary, path);
    fs::remove_file(&temporary).map_err(|e| unusable(&temporary, e))?;
    match linked {
        Ok(()) => Ok(SigningKey::from_bytes(&seed)),
        Err(e) if e.kind() == ErrorKind::AlreadyExists => {
            let text = Zeroizing::new(fs::read_to_string(path).map_err(|e| unusable(path, e))?);
            parse_seed(text.trim()).ok_or_else(|| damaged(path))
        }
        Err(e) => Err(unusable(path, e)),
    }
}

/// Writes a file only its owner can read, and flushes it.
///
/// # Errors
/// When it cannot be written.
pub fn write_private(path: &Path, bytes: &[u8]) -> Result<(), Fault> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    options
        .open(path)
        .and_then(|mut file| {
            file.write_all(bytes)?;
            file.sync_all()
        })
        .map_err(|e| unusable(path, e))
}

fn publish(path: &Path, key: &VerifyingKey) -> Result<(), Fault> {
    let text = hex::encode(key.as_bytes());
    if fs::read_to_string(path).is_ok_and(|old| old.trim() == text) {
        return Ok(());
    }
    let temporary = path.with_extension(format!("pub.{}", std::process::id()));
    fs::write(&temporary, format!("{text}\n"))
        .and_then(|()| fs::rename(&temporary, path))
        .map_err(|e| unusable(path, e))
}

fn unusable(path: &Path, error: std::io::Error) -> Fault {
    let message = format!("{} cannot be used: {error}; check that it exists and is writable", path.display());
    Fault::new(FaultKind::Internal, "RUN-0005", message).with_source(error)
}

fn damaged(path: &Path) -> Fault {
    let message =
        format!("{} holds no Ed25519 seed of 64 hex digits; restore it from a backup", path.display());
    Fault::new(FaultKind::Corrupt, "RUN-0006", message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_key_is_made_once_and_private() {
        let dir = tempfile::tempdir().expect("folder");
        let first = KeyFile::open_or_create(dir.path(), "log").expect("made");
        let mode = fs::metadata(first.path()).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let again = KeyFile::open_or_create(dir.path(), "log").expect("opened").into_signing_key();
        let public = read_public_key(dir.path(), "log").expect("published");
        assert_eq!(again.verifying_key(), public);
        assert_eq!(first.into_signing_key().verifying_key(), public);
    }

    #[test]
    fn a_damaged_key_is_not_replaced() {
        let dir = tempfile::tempdir().expect("folder");
        fs::write(dir.path().join("log.key"), "nonsense").expect("written");
        let fault = KeyFile::open_or_create(dir.path(), "log").err().expect("refused");
        assert_eq!(fault.kind, FaultKind::Corrupt);
    }
}
