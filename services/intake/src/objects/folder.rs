//! Objects as files: `<folder>/<first byte>/<hash>`.
//!
//! A file is written under `incoming`, synced, and renamed; then its folder is
//! synced. Whoever writes holds a lock on the file, so what a killed process left
//! there can be told from what is being written, also by other processes. A lock
//! on the whole folder is held shared while a file is renamed and alone while an
//! old one is removed: an object that was just stored again is never removed.

use super::{Incoming, Object, Objects};
use crate::Error;
use crate::domain::name::Hash;
use futures::FutureExt;
use futures::future::BoxFuture;
use rustix::fs::{FlockOperation, flock};
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, SeekFrom};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncSeekExt, AsyncWriteExt};
use uuid::Uuid;

/// Only the service reads what tenants handed in.
const FILE_MODE: u32 = 0o600;
const FOLDER_MODE: u32 = 0o700;
/// A file is only taken for abandoned when nobody has written to it for so long:
/// between its making and its lock it looks abandoned.
const ABANDONED_AFTER: Duration = Duration::from_secs(60);

/// A store in a folder.
#[derive(Debug, Clone)]
pub(crate) struct Folder(Arc<Path>);

/// A file that is removed again unless it was renamed before.
#[derive(Debug)]
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        // It is gone when it was renamed.
        let _ = std::fs::remove_file(&self.0);
    }
}

struct IncomingFile {
    folder: Folder,
    file: tokio::fs::File,
    temporary: Temporary,
}

impl Folder {
    /// Opens the folder; makes it when there is none.
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let folder = Self(path.into());
        make_folder(&folder.incoming()).map_err(|source| failed("make", path, source))?;
        writable().open(folder.0.join("lock")).map_err(|source| failed("use", path, source))?;
        Ok(folder)
    }

    fn incoming(&self) -> PathBuf {
        self.0.join("incoming")
    }

    fn shelf(&self, shelf: u8) -> PathBuf {
        self.0.join(format!("{shelf:02x}"))
    }

    fn path(&self, hash: Hash) -> PathBuf {
        self.shelf(hash.0[0]).join(hash.to_string())
    }

    /// The lock is released when the file is dropped.
    fn lock(&self, operation: FlockOperation) -> io::Result<File> {
        let file = writable().open(self.0.join("lock"))?;
        flock(&file, operation)?;
        Ok(file)
    }

    fn begin(&self) -> io::Result<(File, Temporary)> {
        let path = self.incoming().join(Uuid::now_v7().to_string());
        let file = OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(&path)?;
        let temporary = Temporary(path);
        flock(&file, FlockOperation::NonBlockingLockExclusive)?;
        Ok((file, temporary))
    }

    fn finish(&self, file: &File, temporary: &Temporary, hash: Hash) -> io::Result<()> {
        file.sync_all()?;
        let _shared = self.lock(FlockOperation::LockShared)?;
        let shelf = self.shelf(hash.0[0]);
        if !shelf.exists() {
            make_folder(&shelf)?;
            File::open(&self.0)?.sync_all()?;
        }
        std::fs::rename(&temporary.0, self.path(hash))?;
        File::open(shelf)?.sync_all()
    }

    fn clear(&self) -> io::Result<usize> {
        let mut removed = 0;
        for entry in std::fs::read_dir(self.incoming())? {
            let path = entry?.path();
            let abandoned = is_older(&path, ABANDONED_AFTER)
                && File::open(&path)
                    .is_ok_and(|file| flock(file, FlockOperation::NonBlockingLockExclusive).is_ok());
            if abandoned {
                std::fs::remove_file(&path)?;
                removed += 1;
            }
        }
        Ok(removed)
    }

    fn list(&self, shelf: u8, age: Duration) -> io::Result<Vec<Hash>> {
        let entries = match std::fs::read_dir(self.shelf(shelf)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other?,
        };
        let old = entries.flatten().filter(|entry| is_older(&entry.path(), age));
        Ok(old.filter_map(|entry| Hash::from_hex(entry.file_name().to_str()?)).collect())
    }

    fn remove(&self, hash: Hash, age: Duration) -> io::Result<bool> {
        let _alone = self.lock(FlockOperation::LockExclusive)?;
        let path = self.path(hash);
        let remove = is_older(&path, age);
        if remove {
            std::fs::remove_file(path)?;
        }
        Ok(remove)
    }

    /// Runs `work`, which waits for the disk, where waiting holds nobody up. It
    /// runs to its end even if nobody waits for it any more.
    async fn blocking<T: Send + 'static>(
        &self,
        action: &'static str,
        path: PathBuf,
        work: impl FnOnce(&Self) -> io::Result<T> + Send + 'static,
    ) -> Result<T, Error> {
        let folder = self.clone();
        let done = tokio::task::spawn_blocking(move || work(&folder)).await;
        done.unwrap_or_else(|error| Err(io::Error::other(error))).map_err(|source| Error::Objects {
            action,
            path,
            source,
        })
    }
}

fn failed(action: &'static str, path: &Path, source: io::Error) -> Error {
    Error::Objects { action, path: path.to_owned(), source }
}

fn writable() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(FILE_MODE);
    options
}

fn make_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(path)
}

fn is_older(path: &Path, age: Duration) -> bool {
    let modified = path.metadata().and_then(|metadata| metadata.modified());
    modified.is_ok_and(|time| time.elapsed().is_ok_and(|since| since >= age))
}

impl Objects for Folder {
    fn create(&self) -> BoxFuture<'_, Result<Box<dyn Incoming>, Error>> {
        async move {
            let (file, temporary) = self.blocking("make a file in", self.incoming(), Self::begin).await?;
            let file = tokio::fs::File::from_std(file);
            Ok(Box::new(IncomingFile { folder: self.clone(), file, temporary }) as Box<dyn Incoming>)
        }
        .boxed()
    }

    fn open(&self, hash: Hash, offset: u64) -> BoxFuture<'_, Result<Object, Error>> {
        async move {
            let path = self.path(hash);
            let mut file = match tokio::fs::File::open(&path).await {
                Ok(file) => file,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    return Err(Error::Damaged { name: hash.name(), reason: "is missing".to_owned() });
                }
                Err(error) => return Err(failed("open", &path, error)),
            };
            file.seek(SeekFrom::Start(offset)).await.map_err(|error| failed("read", &path, error))?;
            Ok(Box::pin(file) as Object)
        }
        .boxed()
    }

    fn clear_abandoned(&self) -> BoxFuture<'_, Result<usize, Error>> {
        self.blocking("clear", self.incoming(), Self::clear).boxed()
    }

    fn older(&self, shelf: u8, age: Duration) -> BoxFuture<'_, Result<Vec<Hash>, Error>> {
        self.blocking("list", self.shelf(shelf), move |folder| folder.list(shelf, age)).boxed()
    }

    fn remove_older(&self, hash: Hash, age: Duration) -> BoxFuture<'_, Result<bool, Error>> {
        self.blocking("remove", self.path(hash), move |folder| folder.remove(hash, age)).boxed()
    }
}

impl Incoming for IncomingFile {
    fn write<'a>(&'a mut self, piece: &'a [u8]) -> BoxFuture<'a, Result<(), Error>> {
        async move {
            let written = self.file.write_all(piece).await;
            written.map_err(|error| failed("write", &self.temporary.0, error))
        }
        .boxed()
    }

    fn publish(mut self: Box<Self>, hash: Hash) -> BoxFuture<'static, Result<(), Error>> {
        async move {
            let flushed = self.file.flush().await;
            flushed.map_err(|error| failed("write", &self.temporary.0, error))?;
            let Self { folder, file, temporary } = *self;
            let file = file.into_std().await;
            let path = folder.path(hash);
            folder.blocking("store", path, move |folder| folder.finish(&file, &temporary, hash)).await
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt;

    const HASH: Hash = Hash([7; 32]);

    async fn store(folder: &Folder, pieces: &[&[u8]]) {
        let mut incoming = folder.create().await.unwrap();
        for piece in pieces {
            incoming.write(piece).await.unwrap();
        }
        incoming.publish(HASH).await.unwrap();
    }

    fn age(path: &Path) {
        let past = std::time::SystemTime::now() - Duration::from_secs(3_600);
        File::options().write(true).open(path).unwrap().set_modified(past).unwrap();
    }

    fn files(folder: &Folder) -> usize {
        std::fs::read_dir(folder.incoming()).unwrap().count()
    }

    #[tokio::test]
    async fn stores_and_reads() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(&dir.path().join("a/b")).unwrap();
        store(&folder, &[b"hello ", b"world"]).await;
        store(&folder, &[b"hello ", b"world"]).await;
        let mut text = String::new();
        folder.open(HASH, 6).await.unwrap().read_to_string(&mut text).await.unwrap();
        assert_eq!((text.as_str(), files(&folder)), ("world", 0));
        let missing = folder.open(Hash([8; 32]), 0).await.map(drop);
        assert!(matches!(missing, Err(Error::Damaged { .. })), "{missing:?}");
    }

    #[tokio::test]
    async fn what_is_dropped_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(dir.path()).unwrap();
        let mut incoming = folder.create().await.unwrap();
        incoming.write(b"half").await.unwrap();
        assert_eq!(files(&folder), 1);
        drop(incoming);
        assert_eq!(files(&folder), 0);
        assert!(folder.open(HASH, 0).await.is_err());
    }

    #[tokio::test]
    async fn only_what_is_abandoned_is_cleared() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(dir.path()).unwrap();
        let incoming = folder.create().await.unwrap();
        let written = std::fs::read_dir(folder.incoming()).unwrap().next().unwrap().unwrap().path();
        age(&written);
        let (old, fresh) = (folder.incoming().join("old"), folder.incoming().join("fresh"));
        std::fs::write(&old, b"x").unwrap();
        std::fs::write(&fresh, b"x").unwrap();
        age(&old);
        assert_eq!(folder.clear_abandoned().await.unwrap(), 1);
        assert!(!old.exists() && fresh.exists() && written.exists());
        incoming.publish(HASH).await.unwrap();
    }

    #[tokio::test]
    async fn only_what_is_old_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(dir.path()).unwrap();
        let minute = Duration::from_secs(60);
        store(&folder, &[b"x"]).await;
        assert!(folder.older(7, minute).await.unwrap().is_empty());
        assert!(!folder.remove_older(HASH, minute).await.unwrap());
        age(&folder.path(HASH));
        assert_eq!(folder.older(7, minute).await.unwrap(), [HASH]);
        // Stored again, it is young again, whatever was listed before.
        store(&folder, &[b"x"]).await;
        assert!(!folder.remove_older(HASH, minute).await.unwrap());
        age(&folder.path(HASH));
        assert!(folder.remove_older(HASH, minute).await.unwrap());
        assert!(!folder.remove_older(HASH, minute).await.unwrap());
    }
}
