//! What the promise rests on, by name. Each safeguard is asked for at the place where it stands, so that a search for
//! `Safeguard::` finds them all; and tests can switch off one at a time, to see that somebody notices
//! (`tests/simulation`). In what is deployed there is no switch: `is_on` is `true` at compile time.

/// A condition, a look or a record without which a customer could get lost or be served twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Safeguard {
    /// The record of a conversation is written only over the version that its writer saw.
    ConversationVersion,
    /// The same for a reach.
    ReachVersion,
    /// The same for a web chat.
    WebChatVersion,
    /// One reach at a time for a pair of addresses.
    PairLock,
    /// What has an owner is taken over only after the owner's lease.
    Lease,
    /// Only the holder of a claim gives it back.
    Owner,
    /// What is begun is due from the first moment on.
    DueAtOnce,
    /// Whoever takes over an unfinished claim asks Twilio whether the Interaction exists.
    LookBeforeAsking,
    /// An outcome that is not known is not taken for a refusal.
    Doubt,
    /// Agents who are in a conversation are asked for before it counts as orphaned.
    LookForAgents,
    /// Tasks that are alive are asked for before it counts as orphaned.
    LookForTasks,
    /// A step that was taken is recorded before the next.
    StepRecord,
    /// Whoever takes over looks whether the customer was told.
    LookForMessage,
    /// Whoever takes over looks whether agents were invited.
    LookForReinvite,
    /// Agents are invited again only so often.
    MostReinvites,
    /// The same idempotency key is the same reach.
    IdempotencyKey,
    /// Whoever takes a reach over looks whether its message was sent.
    LookForReachMessage,
    /// A conversation of a reach has a name by which it is found.
    UniqueName,
    /// The lock on a pair of addresses goes with its reach.
    Unlock,
    /// A web chat whose making was not answered is looked for by its guest.
    LookForGuest,
    /// What no webhook told of is discovered.
    Discovery,
}

impl Safeguard {
    /// Every safeguard.
    pub const ALL: [Self; 21] = [
        Self::ConversationVersion,
        Self::ReachVersion,
        Self::WebChatVersion,
        Self::PairLock,
        Self::Lease,
        Self::Owner,
        Self::DueAtOnce,
        Self::LookBeforeAsking,
        Self::Doubt,
        Self::LookForAgents,
        Self::LookForTasks,
        Self::StepRecord,
        Self::LookForMessage,
        Self::LookForReinvite,
        Self::MostReinvites,
        Self::IdempotencyKey,
        Self::LookForReachMessage,
        Self::UniqueName,
        Self::Unlock,
        Self::LookForGuest,
        Self::Discovery,
    ];

    /// Whether it stands: always, but where a test has switched it off.
    #[cfg(not(debug_assertions))]
    #[must_use]
    pub const fn is_on(self) -> bool {
        true
    }

    /// Whether it stands: always, but where a test has switched it off.
    #[cfg(debug_assertions)]
    #[must_use]
    pub fn is_on(self) -> bool {
        OFF.get() != Some(self)
    }

    /// Does `work` on this thread without this safeguard. There is no such thing in what is deployed.
    #[cfg(debug_assertions)]
    pub fn without<T>(self, work: impl FnOnce() -> T) -> T {
        /// Switches it on again, even where the work panics.
        struct On;
        impl Drop for On {
            fn drop(&mut self) {
                OFF.set(None);
            }
        }
        OFF.set(Some(self));
        let _on = On;
        work()
    }
}

#[cfg(debug_assertions)]
thread_local! {
    static OFF: std::cell::Cell<Option<Safeguard>> = const { std::cell::Cell::new(None) };
}
