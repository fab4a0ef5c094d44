//! What a worker names a task by. Opaque to it.

use crate::dispatch::OrderId;
use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use probity_types::id::ExecutionId;
use std::sync::Arc;
use uuid::Uuid;

const SIZE: usize = 16 + 4 + 4 + 4 + 1 + 8;
const NO_ITEM: u32 = u32::MAX;

/// Which attempt of which step, and under which lease.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Token {
    pub(crate) order: OrderId,
    pub(crate) lease: u64,
    /// The queue it was taken from, when that is one that replicas share.
    pub(crate) shared: Option<Arc<str>>,
}

impl Token {
    pub(crate) fn encode(&self) -> Bytes {
        let mut bytes = BytesMut::with_capacity(SIZE);
        bytes.put_slice(self.order.execution.0.as_bytes());
        bytes.put_u32(u32::try_from(self.order.step).unwrap_or(u32::MAX));
        bytes.put_u32(self.order.item.unwrap_or(NO_ITEM));
        bytes.put_u32(self.order.attempt);
        bytes.put_u8(u8::from(self.order.compensation));
        bytes.put_u64(self.lease);
        bytes.put_slice(self.shared.as_deref().unwrap_or_default().as_bytes());
        bytes.freeze()
    }

    /// `None` when it is no token of this service.
    pub(crate) fn decode(mut bytes: &[u8]) -> Option<Self> {
        let shared = std::str::from_utf8(bytes.get(SIZE..)?).ok()?;
        let fine = shared.is_empty() || probity_queue::task::check_queue_name(shared).is_ok();
        let shared = fine.then(|| Some(Arc::from(shared)).filter(|name: &Arc<str>| !name.is_empty()))?;
        let mut id = [0; 16];
        bytes.copy_to_slice(&mut id);
        let order = OrderId {
            execution: ExecutionId(Uuid::from_bytes(id)),
            step: usize::try_from(bytes.get_u32()).ok()?,
            item: Some(bytes.get_u32()).filter(|item| *item != NO_ITEM),
            attempt: bytes.get_u32(),
            compensation: bytes.get_u8() == 1,
        };
        Some(Self { order, lease: bytes.get_u64(), shared })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(id: u128, step in 0_usize..1_000, item in proptest::option::of(0_u32..9_999), attempt: u32, compensation: bool, lease: u64, shared in proptest::option::of("[a-z._-]{1,96}")) {
            let execution = ExecutionId(Uuid::from_u128(id));
            let order = OrderId { execution, step, item, attempt, compensation };
            let token = Token { order, lease, shared: shared.map(Into::into) };
            prop_assert_eq!(Token::decode(&token.encode()), Some(token));
        }

        #[test]
        fn nothing_else_panics(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = Token::decode(&bytes);
        }
    }
}
