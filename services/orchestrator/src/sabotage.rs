//! Damage on purpose, to show that the checker of the tests finds it. A product
//! build does none: without the feature `trial`, [`does`] is `false` for ever.

/// What `PROBITY_SABOTAGE` may name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Damage {
    /// `drop-outbox`: some events never reach the audit log.
    DropOutbox,
    /// `skip-fencing`: whoever was taken for dead goes on writing.
    SkipFencing,
    /// `ack-before-commit`: callers are answered before anything is stored.
    AckBeforeCommit,
    /// `double-effect`: every call to a peer is made twice, under two keys.
    DoubleEffect,
}

/// Whether this damage is to be done.
#[cfg(not(feature = "trial"))]
pub(crate) const fn does(_: Damage) -> bool {
    false
}

/// Whether this damage is to be done.
#[cfg(feature = "trial")]
pub(crate) fn does(damage: Damage) -> bool {
    static CHOSEN: std::sync::LazyLock<Option<Damage>> = std::sync::LazyLock::new(|| {
        Some(match std::env::var("PROBITY_SABOTAGE").ok()?.as_str() {
            "drop-outbox" => Damage::DropOutbox,
            "skip-fencing" => Damage::SkipFencing,
            "ack-before-commit" => Damage::AckBeforeCommit,
            "double-effect" => Damage::DoubleEffect,
            _ => return None,
        })
    });
    *CHOSEN == Some(damage)
}
