//! The changes that a conversation may go through. Each is a function of the record as it is and the time,
//! and gives the record as it is to be, with what happened; the ledger writes both, or neither.
//!
//! A change that finds the record elsewhere than it must be gives a [`Standing`] (who asks learns where the
//! conversation stands) or `None` (nothing to write).

use std::time::Duration;

use super::{
    ClosingReason, Contact, Conversation, FirstMessage, Happening, Interaction, Routing, Sender, Stage, What,
    contact, pace,
};
use crate::{clock::Timestamp, sid::ConversationSid};

/// A change: what to write.
#[derive(Clone, Debug, PartialEq)]
pub struct Transition {
    /// The record as it is to be.
    pub next: Conversation,
    /// What happened.
    pub happening: Happening,
}

/// Where a conversation stands for somebody who wanted to open it and may not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It has its Interaction.
    AlreadyOpen,
    /// Somebody is asking for it right now.
    InProgress,
    /// The sweeper will ask for it.
    Deferred,
    /// Twilio has just refused it for good.
    Refused {
        /// HTTP status.
        status: u16,
        /// Twilio's error code.
        code: Option<u32>,
    },
    /// The conversation is over or about to be.
    Over,
    /// The message is an agent's, a bot's or a back end's.
    NotACustomer,
}

impl Conversation {
    fn new(sid: ConversationSid, now: Timestamp) -> Self {
        Self {
            sid,
            version: 0,
            stage: Stage::Seen,
            contact: None,
            message: None,
            routing: None,
            interaction: None,
            attempts: 0,
            set_up_failures: 0,
            reinvites: 0,
            refused_since: None,
            created_at: now,
            updated_at: now,
            due_at: None,
            forget_at: Some(now + pace::REMEMBER_SEEN),
        }
    }

    /// The record's next version, with `change` made to it. What is due and what may be forgotten follow
    /// from the stage, unless `change` says when.
    fn next(&self, now: Timestamp, happening: Happening, change: impl FnOnce(&mut Self)) -> Transition {
        let mut next = Self {
            version: self.version + 1,
            updated_at: now,
            due_at: None,
            forget_at: None,
            ..self.clone()
        };
        change(&mut next);
        match next.stage {
            Stage::Closed => next.forget_at = Some(now + pace::REMEMBER_CLOSED),
            Stage::Seen => next.forget_at = Some(now + pace::REMEMBER_SEEN),
            _ => {}
        }
        Transition { next, happening }
    }

    /// Whether somebody with the token `owner` holds the claim.
    #[must_use]
    pub fn is_claimed_by(&self, owner: &str) -> bool {
        matches!(&self.stage, Stage::Claimed { owner: holder, .. } if holder == owner)
    }

    /// Until when the holder of the claim may ask for the Interaction; `None` where there is no claim.
    #[must_use]
    pub fn may_ask_until(&self) -> Option<Timestamp> {
        match &self.stage {
            Stage::Claimed { lease_until, .. } => Some(*lease_until - pace::LEASE_MARGIN),
            _ => None,
        }
    }

    fn claimed(&self, owner: &str, now: Timestamp, what: What, change: impl FnOnce(&mut Self)) -> Transition {
        self.next(now, Happening::new(what, now).owner(owner), |next| {
            let lease_until = now + pace::LEASE;
            next.attempts += 1;
            next.stage = Stage::Claimed { owner: owner.to_owned(), lease_until };
            // From the first moment on the claim is due: whatever becomes of its owner, somebody looks.
            next.due_at = Some(lease_until.max(now + pace::retry(next.attempts)));
            change(next);
        })
    }

    /// Notes where the conversation stands for whoever may not open it; `Ok` where it may be claimed by a
    /// customer's message.
    fn claimable(&self, now: Timestamp) -> Result<(), Standing> {
        match &self.stage {
            Stage::Seen => Ok(()),
            Stage::Waiting if self.due_at.is_some_and(|due| now < due) => Err(Standing::Deferred),
            Stage::Waiting => Ok(()),
            Stage::Claimed { lease_until, .. } if now < *lease_until => Err(Standing::InProgress),
            // Its owner may have asked before it died. Only the sweeper looks at Twilio, and it will.
            Stage::Claimed { .. } => Err(Standing::Deferred),
            Stage::Refused { status, code, .. } if now < self.updated_at + pace::REFUSED_PAUSE => {
                Err(Standing::Refused { status: *status, code: *code })
            }
            Stage::Refused { .. } => Ok(()),
            Stage::SettingUp | Stage::Open => Err(Standing::AlreadyOpen),
            Stage::Closing { .. } | Stage::Closed => Err(Standing::Over),
        }
    }

    /// A customer wrote: `owner` alone may now ask for the Interaction.
    pub fn claim(
        current: Option<&Self>,
        sid: &ConversationSid,
        message: FirstMessage,
        owner: &str,
        now: Timestamp,
    ) -> Result<Transition, Standing> {
        let fresh;
        let current = if let Some(current) = current {
            current.claimable(now)?;
            let author = message.author.as_ref().map(|author| author.as_str());
            if contact::sender(author, message.participant.as_ref(), current.contact.as_ref())
                == Sender::SomebodyElse
            {
                return Err(Standing::NotACustomer);
            }
            current
        } else {
            fresh = Self::new(sid.clone(), now);
            &fresh
        };
        Ok(current.claimed(owner, now, What::Claimed, |next| {
            next.message.get_or_insert(message);
        }))
    }

    /// The sweeper takes over what is due. Where the old owner may have asked for the Interaction, the new
    /// one looks at Twilio before it does: see [`Conversation::must_look`].
    #[must_use]
    pub fn take_over(&self, owner: &str, now: Timestamp) -> Option<Transition> {
        let due = self.due_at.is_some_and(|due| due <= now);
        let free = match &self.stage {
            Stage::Waiting | Stage::Refused { .. } => true,
            Stage::Claimed { lease_until, .. } => *lease_until <= now,
            _ => false,
        };
        (due && free).then(|| self.claimed(owner, now, What::TakenOver, |_| {}))
    }

    /// Whether Twilio may hold an Interaction that this record does not know of: its owner may have asked
    /// before it died. Whoever takes such a record over looks at Twilio first.
    #[must_use]
    pub fn must_look(&self) -> bool {
        matches!(self.stage, Stage::Claimed { .. })
    }

    /// Somebody joined. `None` where that tells nothing new.
    #[must_use]
    pub fn joined(
        current: Option<&Self>,
        sid: &ConversationSid,
        contact: Contact,
        now: Timestamp,
    ) -> Option<Transition> {
        let fresh;
        let current = match current {
            Some(current) if !contact.is_better_than(current.contact.as_ref()) => return None,
            Some(current) if matches!(current.stage, Stage::Closed) => return None,
            Some(current) => current,
            None => {
                fresh = Self::new(sid.clone(), now);
                &fresh
            }
        };
        Some(current.next(now, Happening::new(What::Joined, now), |next| {
            next.contact = Some(contact);
            next.due_at = current.due_at;
        }))
    }

    /// The message that was claimed is not a customer's: the claim is given back, nothing was asked for.
    #[must_use]
    pub fn not_a_customer(
        &self,
        owner: &str,
        contact: Option<Contact>,
        now: Timestamp,
    ) -> Option<Transition> {
        self.is_claimed_by(owner).then(|| {
            self.next(now, Happening::new(What::NotACustomer, now), |next| {
                next.stage = Stage::Seen;
                next.contact = contact.or(next.contact.take());
                next.message = None;
                next.attempts = 0;
            })
        })
    }

    /// Twilio has the Interaction: `accepted` where it has just answered so, else it was found there.
    ///
    /// That is a fact whoever owns the claim by now. Where the record knows of another Interaction already,
    /// that one stays and this one is noted; where the conversation is over, the Interaction must be closed.
    #[must_use]
    pub fn has_interaction(
        &self,
        found: Interaction,
        accepted: bool,
        routing: Option<Routing>,
        now: Timestamp,
    ) -> Option<Transition> {
        let what = if accepted { What::Accepted } else { What::Adopted };
        let happening = Happening::new(what, now).interaction(&found.sid);
        match &self.stage {
            Stage::SettingUp | Stage::Open => {
                let known = self.interaction.as_ref().is_some_and(|known| known.sid == found.sid);
                (!known).then(|| {
                    let happening = Happening::new(What::Duplicate, now).interaction(&found.sid);
                    self.next(now, happening, |next| next.due_at = self.due_at)
                })
            }
            Stage::Closing { .. } | Stage::Closed => Some(self.next(now, happening, |next| {
                next.interaction = Some(found);
                next.stage = Stage::Closing { reason: ClosingReason::ClosedMeanwhile };
                next.due_at = Some(now);
            })),
            Stage::Seen | Stage::Claimed { .. } | Stage::Waiting | Stage::Refused { .. } => {
                Some(self.next(now, happening, |next| {
                    next.interaction = Some(found);
                    next.routing = routing.or(next.routing.take());
                    next.stage = Stage::SettingUp;
                    next.attempts = 0;
                    next.refused_since = None;
                    next.due_at = Some(now + pace::SET_UP_LOOK);
                }))
            }
        }
    }

    /// Twilio did nothing for now: asked again after a pause, `asked_pause` at least.
    #[must_use]
    pub fn put_off(&self, owner: &str, asked_pause: Option<Duration>, now: Timestamp) -> Option<Transition> {
        self.is_claimed_by(owner).then(|| {
            self.next(now, Happening::new(What::PutOff, now), |next| {
                let pause = pace::retry(self.attempts).max(asked_pause.unwrap_or_default());
                next.stage = Stage::Waiting;
                next.due_at = Some(now + pause);
            })
        })
    }

    /// Twilio refused for good: tried again after a long pause, and given up when a day of that is over.
    #[must_use]
    pub fn refused(&self, owner: &str, status: u16, code: Option<u32>, now: Timestamp) -> Option<Transition> {
        self.is_claimed_by(owner).then(|| {
            let since = self.refused_since.unwrap_or(now);
            if now.since(since) > pace::REFUSED_LIMIT {
                return self.give_up(ClosingReason::RefusedForTooLong, code, now);
            }
            self.next(now, Happening::new(What::Refused, now).code(code), |next| {
                next.stage = Stage::Refused { status, code };
                next.refused_since = Some(since);
                next.due_at = Some(now + pace::refused(self.attempts));
            })
        })
    }

    fn give_up(&self, reason: ClosingReason, code: Option<u32>, now: Timestamp) -> Transition {
        self.next(now, Happening::new(What::GivenUp, now).code(code), |next| {
            next.stage = Stage::Closing { reason };
            next.due_at = Some(now);
        })
    }

    /// The Interaction came up.
    #[must_use]
    pub fn confirmed(&self, now: Timestamp) -> Option<Transition> {
        matches!(self.stage, Stage::SettingUp).then(|| {
            self.next(now, Happening::new(What::Confirmed, now), |next| {
                next.stage = Stage::Open;
                next.set_up_failures = 0;
            })
        })
    }

    /// The Interaction has not come up yet: looked at again later. `None` once it should have long since
    /// ([`pace::SET_UP_LIMIT`]): it is then taken for failed.
    #[must_use]
    pub fn still_setting_up(&self, now: Timestamp) -> Option<Transition> {
        let accepted = self.interaction.as_ref().map_or(self.updated_at, |interaction| interaction.since);
        let in_time = now.since(accepted) <= pace::SET_UP_LIMIT;
        (matches!(self.stage, Stage::SettingUp) && in_time).then(|| {
            self.next(now, Happening::new(What::StillSettingUp, now), |next| {
                next.attempts += 1;
                next.due_at = Some(now + pace::retry(next.attempts));
            })
        })
    }

    /// The Interaction did not come up: made again once, by `owner`, then the conversation is given up.
    #[must_use]
    pub fn set_up_failed(&self, owner: &str, code: Option<u32>, now: Timestamp) -> Option<Transition> {
        if !matches!(self.stage, Stage::SettingUp) {
            return None;
        }
        if self.set_up_failures > 0 {
            return Some(self.give_up(ClosingReason::SetUpFailed, code, now));
        }
        let mut again = self.claimed(owner, now, What::SetUpFailed, |next| {
            next.set_up_failures += 1;
            next.interaction = None;
            next.attempts = 1;
        });
        again.happening.code = code;
        again.happening.interaction = self.interaction.as_ref().map(|interaction| interaction.sid.clone());
        Some(again)
    }

    /// What could not be closed is tried again later.
    #[must_use]
    pub fn close_later(&self, now: Timestamp) -> Option<Transition> {
        matches!(self.stage, Stage::Closing { .. }).then(|| {
            self.next(now, Happening::new(What::PutOff, now), |next| {
                next.attempts += 1;
                next.due_at = Some(now + pace::retry(next.attempts));
            })
        })
    }

    /// The conversation is over at Twilio. Known even of a conversation never heard of: a message that
    /// arrives late must find it closed. `None` where that is known.
    #[must_use]
    pub fn closed(current: Option<&Self>, sid: &ConversationSid, now: Timestamp) -> Option<Transition> {
        let fresh;
        let current = match current {
            Some(Self { stage: Stage::Closed, .. }) => return None,
            // Its Interaction is still to be closed, and after it the record is.
            Some(Self { stage: Stage::Closing { reason: ClosingReason::ClosedMeanwhile }, .. }) => {
                return None;
            }
            Some(current) => current,
            None => {
                fresh = Self::new(sid.clone(), now);
                &fresh
            }
        };
        Some(current.next(now, Happening::new(What::Closed, now), |next| match current.stage {
            // The owner may have asked for the Interaction: once it is certainly done, somebody looks.
            Stage::Claimed { lease_until, .. } => {
                next.stage = Stage::Closing { reason: ClosingReason::ClosedMeanwhile };
                next.due_at = Some(lease_until);
            }
            _ => next.stage = Stage::Closed,
        }))
    }

    /// flexglue has closed what it had decided to close.
    #[must_use]
    pub fn has_been_closed(&self, now: Timestamp) -> Option<Transition> {
        matches!(self.stage, Stage::Closing { .. })
            .then(|| self.next(now, Happening::new(What::Closed, now), |next| next.stage = Stage::Closed))
    }
}
