//! One process owns a SQLite file: a lock beside it says so.

use crate::Error;
use rustix::fs::{FlockOperation, flock};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Only the owner may read what a service keeps.
const OWNER_ONLY: u32 = 0o600;

/// The lock; it is released when this is dropped or the process ends.
#[derive(Debug)]
pub(crate) struct FileLock(File);

impl Drop for FileLock {
    /// Closing would not do: a child process that is just being forked holds a
    /// copy of the file, and the lock with it, until it runs its program.
    fn drop(&mut self) {
        let _ = flock(&self.0, FlockOperation::Unlock);
    }
}

/// Locks `path` for this process and makes the file when there is none.
pub(crate) fn claim(path: &Path) -> Result<FileLock, Error> {
    let failed = |source: io::Error| Error::File { path: path.to_owned(), source: source.into() };
    let lock = open(&lock_path(path)).map_err(failed)?;
    match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => return Err(Error::Locked { path: path.to_owned() }),
        Err(errno) => return Err(failed(errno.into())),
    }
    create(path).map_err(failed)?;
    Ok(FileLock(lock))
}

fn lock_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    name.into()
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(OWNER_ONLY).open(path)
}

/// SQLite gives its own files the mode of the database, so that is made first,
/// and its name is made durable before anything is stored in it.
fn create(path: &Path) -> io::Result<()> {
    if path.exists() {
        return Ok(());
    }
    open(path)?.sync_all()?;
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn one_owner_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.db");
        let first = claim(&path).unwrap();
        let message = claim(&path).unwrap_err().to_string();
        assert!(message.contains("x.db"), "{message}");
        drop(first);
        claim(&path).unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_missing_folder_is_named() {
        let message = claim(Path::new("/nowhere/at/all.db")).unwrap_err().to_string();
        assert!(message.contains("/nowhere/at/all.db"), "{message}");
    }
}
