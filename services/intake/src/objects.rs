//! Large documents: objects named by the hash of their bytes.
//!
//! An object appears whole or not at all, and never changes. The folder of
//! [`folder`] is the one implementation; object stores of clouds fit the same
//! trait.

pub(crate) mod folder;

use crate::Error;
use crate::domain::name::Hash;
use futures::future::BoxFuture;
use std::pin::Pin;
use std::time::Duration;
use tokio::io::AsyncRead;

/// The bytes of an object from some place on.
pub(crate) type Object = Pin<Box<dyn AsyncRead + Send>>;

/// How many shelves the objects are spread over: one for each first byte.
pub(crate) const SHELVES: std::ops::RangeInclusive<u8> = 0..=255;

/// A store of objects.
pub(crate) trait Objects: Send + Sync + 'static {
    /// Begins a new object.
    fn create(&self) -> BoxFuture<'_, Result<Box<dyn Incoming>, Error>>;
    /// Reads an object from `offset` on.
    fn open(&self, hash: Hash, offset: u64) -> BoxFuture<'_, Result<Object, Error>>;
    /// Removes what was begun and abandoned by a process that is gone; how many.
    fn clear_abandoned(&self) -> BoxFuture<'_, Result<usize, Error>>;
    /// The objects of a shelf that are older than `age`.
    fn older(&self, shelf: u8, age: Duration) -> BoxFuture<'_, Result<Vec<Hash>, Error>>;
    /// Removes an object, if it is still older than `age`.
    fn remove_older(&self, hash: Hash, age: Duration) -> BoxFuture<'_, Result<bool, Error>>;
}

/// An object on its way in. Nothing of it is left when this is dropped.
pub(crate) trait Incoming: Send {
    /// Adds a piece.
    fn write<'a>(&'a mut self, piece: &'a [u8]) -> BoxFuture<'a, Result<(), Error>>;
    /// Makes it durable under its name. An object that is there already becomes
    /// as young as this one.
    fn publish(self: Box<Self>, hash: Hash) -> BoxFuture<'static, Result<(), Error>>;
}
