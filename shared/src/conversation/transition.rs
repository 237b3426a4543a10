//! The changes that a conversation may go through. Each is a function of the record as it is and the time,
//! and gives the record as it is to be, with what happened; the ledger writes both, or neither.
//!
//! A change that finds the record elsewhere than it must be gives a [`Standing`] (who asks learns where the
//! conversation stands) or `None` (nothing to write).

use std::{borrow::Cow, time::Duration};

use super::{
    Cause, Contact, Conversation, FirstMessage, Happening, Interaction, Routing, Sender, Stage, What,
    contact, pace,
};
use crate::{
    clock::Timestamp,
    safeguard::Safeguard,
    sid::{ConversationSid, InteractionSid},
};

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

/// What the sweeper does for a record that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenDue {
    /// It takes it over and opens it.
    TakeOver,
    /// It looks how the conversation stands.
    LookAfter,
}

impl Conversation {
    pub(super) fn new(sid: ConversationSid, now: Timestamp) -> Self {
        Self {
            sid,
            version: 0,
            stage: Stage::Seen,
            contact: None,
            message: None,
            routing: None,
            outbound: None,
            before_reach: None,
            interaction: None,
            asked_since: None,
            asked_until: None,
            asking_until: None,
            attempts: 0,
            set_up_failures: 0,
            failed: None,
            served: false,
            last_end: None,
            reinvites: 0,
            reinvited_at: None,
            heard_of_reinvite: 0,
            told: Vec::new(),
            looked_at: None,
            refused_since: None,
            created_at: now,
            updated_at: now,
            due_at: None,
            forget_at: Some(now + pace::REMEMBER_SEEN),
        }
    }

    /// The record as it is known; a new one for a conversation never heard of.
    pub(super) fn known_or_new<'a>(
        current: Option<&'a Self>,
        sid: &ConversationSid,
        now: Timestamp,
    ) -> Cow<'a, Self> {
        current.map_or_else(|| Cow::Owned(Self::new(sid.clone(), now)), Cow::Borrowed)
    }

    /// The record's next version, with `change` made to it. What is due and what may be forgotten follow
    /// from the stage, unless `change` says when.
    pub(super) fn next(
        &self,
        now: Timestamp,
        happening: Happening,
        change: impl FnOnce(&mut Self),
    ) -> Transition {
        let mut next = Self {
            version: self.version + 1,
            updated_at: now,
            due_at: None,
            forget_at: None,
            ..self.clone()
        };
        change(&mut next);
        next.may_have_been_told(self);
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
        let is_its_own = |holder: &str| holder == owner || !Safeguard::Owner.is_on();
        matches!(&self.stage, Stage::Claimed { owner: holder, .. } if is_its_own(holder))
    }

    /// Until when the holder of the claim may ask for the Interaction; `None` where there is no claim.
    #[must_use]
    pub fn may_ask_until(&self) -> Option<Timestamp> {
        match &self.stage {
            Stage::Claimed { lease_until, .. } => Some(*lease_until - pace::LEASE_MARGIN),
            _ => None,
        }
    }

    pub(super) fn claimed(
        &self,
        owner: &str,
        now: Timestamp,
        what: What,
        change: impl FnOnce(&mut Self),
    ) -> Transition {
        self.next(now, Happening::new(what, now).owner(owner), |next| {
            let lease_until = now + pace::LEASE;
            next.attempts += 1;
            next.asked_since.get_or_insert(now);
            next.asked_until = match self.stage {
                Stage::Claimed { lease_until, .. } => Some(lease_until),
                _ => self.asked_since.and(self.asking_until),
            };
            next.stage = Stage::Claimed { owner: owner.to_owned(), lease_until };
            next.due_at = pace::due_after_lease(lease_until, next.attempts, now);
            change(next);
        })
    }

    /// Notes where the conversation stands for whoever may not open it; `Ok` where it may be claimed by a
    /// customer's message.
    pub(super) fn claimable(&self, now: Timestamp) -> Result<(), Standing> {
        match &self.stage {
            Stage::Waiting if self.due_at.is_some_and(|due| now < due) => Err(Standing::Deferred),
            Stage::Claimed { lease_until, .. } if now < *lease_until => Err(Standing::InProgress),
            Stage::Refused { status, code, .. } if now < self.updated_at + pace::REFUSED_PAUSE => {
                Err(Standing::Refused { status: *status, code: *code })
            }
            Stage::Seen | Stage::Waiting | Stage::Refused { .. } => Ok(()),
            Stage::SettingUp | Stage::Open => Err(Standing::AlreadyOpen),
            Stage::Orphaned { .. } if self.interaction.is_some() => Err(Standing::AlreadyOpen),
            // Its owner may have asked before it died. Only the sweeper looks at Twilio, and it will.
            Stage::Claimed { .. } | Stage::Orphaned { .. } => Err(Standing::Deferred),
            Stage::Closing | Stage::Closed => Err(Standing::Over),
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
        let current = Self::known_or_new(current, sid, now);
        current.claimable(now)?;
        let author = message.author.as_ref().map(|author| author.as_str());
        if contact::sender(author, message.participant.as_ref(), current.contact.as_ref())
            == Sender::SomebodyElse
        {
            return Err(Standing::NotACustomer);
        }
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
            Stage::Claimed { lease_until, .. } => *lease_until <= now || !Safeguard::Lease.is_on(),
            _ => false,
        };
        (due && free).then(|| self.claimed(owner, now, What::TakenOver, |_| {}))
    }

    /// Whether Twilio may hold an Interaction that this record does not know of: its owner may have asked
    /// before it died. Whoever takes such a record over looks at Twilio first.
    #[must_use]
    pub fn must_look(&self) -> bool {
        matches!(self.stage, Stage::Claimed { .. }) && Safeguard::LookBeforeAsking.is_on()
    }

    /// What the sweeper does for this record now; `None` where it is not due, or nothing is to be done.
    #[must_use]
    pub fn when_due(&self, now: Timestamp) -> Option<WhenDue> {
        if self.due_at.is_none_or(|due| now < due) {
            return None;
        }
        match self.stage {
            Stage::Claimed { .. } | Stage::Waiting | Stage::Refused { .. } => Some(WhenDue::TakeOver),
            _ => self.is_looked_after().then_some(WhenDue::LookAfter),
        }
    }

    /// Whether it is so far that somebody looks how it stands: past asking for its Interaction, and not over.
    #[must_use]
    pub const fn is_looked_after(&self) -> bool {
        match self.stage {
            Stage::SettingUp | Stage::Open | Stage::Orphaned { .. } | Stage::Closing => true,
            Stage::Seen | Stage::Claimed { .. } | Stage::Waiting | Stage::Refused { .. } | Stage::Closed => {
                false
            }
        }
    }

    /// Somebody joined. `None` where that tells nothing new.
    #[must_use]
    pub fn joined(
        current: Option<&Self>,
        sid: &ConversationSid,
        contact: Contact,
        now: Timestamp,
    ) -> Option<Transition> {
        let current = Self::known_or_new(current, sid, now);
        if !contact.is_better_than(current.contact.as_ref()) || matches!(current.stage, Stage::Closed) {
            return None;
        }
        Some(current.next(now, Happening::new(What::Joined, now), |next| {
            next.contact = Some(contact);
            next.due_at = current.due_at;
        }))
    }

    /// A web chat has begun in it, with this customer: whoever opens it need not ask Twilio who that is. `None` where
    /// it is over.
    #[must_use]
    pub fn web_chat_begun(
        current: Option<&Self>,
        sid: &ConversationSid,
        contact: Contact,
        now: Timestamp,
    ) -> Option<Transition> {
        let current = Self::known_or_new(current, sid, now);
        if current.is_over() || current.contact.as_ref() == Some(&contact) {
            return None;
        }
        Some(current.next(now, Happening::new(What::WebChatBegun, now), |next| {
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
                next.asked_since = None;
                next.attempts = 0;
            })
        })
    }

    /// Twilio has the Interaction: `accepted` where it has just answered so, else it was found there.
    ///
    /// That is a fact whoever owns the claim by now. Where the record knows of another Interaction already,
    /// that one stays and this one is noted; where the conversation is over, the Interaction must be closed. `None`
    /// where the record says so already, or knows that what was accepted has failed since.
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
        let known = self.interaction.as_ref().is_some_and(|known| known.sid == found.sid);
        match &self.stage {
            Stage::SettingUp | Stage::Open | Stage::Orphaned { .. } if known => None,
            _ if accepted && self.failed.as_ref() == Some(&found.sid) => None,
            Stage::SettingUp | Stage::Open | Stage::Orphaned { .. } if self.interaction.is_some() => {
                let happening = Happening::new(What::Duplicate, now).interaction(&found.sid);
                Some(self.next(now, happening, |next| next.due_at = self.due_at))
            }
            Stage::Closing | Stage::Closed => Some(self.next(now, happening, |next| {
                next.interaction = Some(found);
                next.stage = Stage::Closing;
                next.due_at = Some(now);
            })),
            // Given up too early is mended too.
            Stage::Seen
            | Stage::Claimed { .. }
            | Stage::Waiting
            | Stage::Refused { .. }
            | Stage::Orphaned { .. }
            | Stage::SettingUp
            | Stage::Open => Some(self.next(now, happening, |next| {
                next.interaction = Some(found);
                next.routing = next.routing.take().or(routing);
                next.before_reach = None;
                // Should this one fail, the claim's owner may still be asking for another, or have asked for it.
                if let Stage::Claimed { lease_until, .. } = self.stage {
                    next.asking_until = Some(lease_until);
                }
                next.stage = Stage::SettingUp;
                next.attempts = 0;
                next.refused_since = None;
                next.due_at = Some(now + pace::SET_UP_LOOK);
            })),
        }
    }

    /// Twilio did nothing for now: asked again after a pause, `asked_pause` at least.
    #[must_use]
    pub fn put_off(&self, owner: &str, asked_pause: Option<Duration>, now: Timestamp) -> Option<Transition> {
        self.is_claimed_by(owner).then(|| {
            self.next(now, Happening::new(What::PutOff, now), |next| {
                let pause = pace::retry(self.attempts).max(asked_pause.unwrap_or_default());
                next.stage = Stage::Waiting;
                next.asked_since = None;
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
                return self.give_up(Cause::RefusedForTooLong, code, !self.is_one_sided(), now);
            }
            self.next(now, Happening::new(What::Refused, now).code(code), |next| {
                next.stage = Stage::Refused { status, code };
                next.asked_since = None;
                next.refused_since = Some(since);
                next.due_at = Some(now + pace::refused(self.attempts));
            })
        })
    }

    /// Whether an Interaction is the record's, or the last that did not come up.
    #[must_use]
    pub fn knows(&self, interaction: &InteractionSid) -> bool {
        self.interaction.as_ref().is_some_and(|known| known.sid == *interaction)
            || self.failed.as_ref() == Some(interaction)
    }

    /// Whether the Interaction should have come up long since: one that has not is then taken for failed.
    #[must_use]
    pub fn is_overdue(&self, now: Timestamp) -> bool {
        let accepted = self.interaction.as_ref().map_or(self.updated_at, |interaction| interaction.since);
        Self::is_long_since(accepted, now)
    }

    /// Whether what was accepted then should have come up by now ([`pace::SET_UP_LIMIT`]).
    #[must_use]
    pub fn is_long_since(accepted: Timestamp, now: Timestamp) -> bool {
        now.since(accepted) > pace::SET_UP_LIMIT
    }

    /// The Interaction has not come up yet, or could not be looked at: looked at again later.
    #[must_use]
    pub fn still_setting_up(&self, now: Timestamp) -> Option<Transition> {
        matches!(self.stage, Stage::SettingUp | Stage::Open).then(|| {
            self.next(now, Happening::new(What::StillSettingUp, now), |next| {
                next.attempts += 1;
                next.due_at = Some(now + pace::retry(next.attempts));
            })
        })
    }

    /// The Interaction did not come up: made again once, by `owner`, then the conversation is given up. Neither is
    /// done while somebody may still be asking for one; it is looked at again then.
    ///
    /// Twilio drops a channel where the conversation has one already
    /// ([45353](https://www.twilio.com/docs/api/errors/45353)). Where that one cannot be found either, and it is
    /// not one of ours that Twilio has deleted, somebody else made and parked it: the conversation is left
    /// alone.
    #[must_use]
    pub fn set_up_failed(
        &self,
        owner: &str,
        code: Option<u32>,
        somebody_waits: bool,
        now: Timestamp,
    ) -> Option<Transition> {
        /// "A duplicate create Channel request was dropped."
        const DUPLICATE_CHANNEL: u32 = 45353;
        if !matches!(self.stage, Stage::SettingUp | Stage::Open) {
            return None;
        }
        if let Some(until) = self.asking_until.filter(|until| now < *until) {
            return Some(self.next(now, Happening::new(What::StillSettingUp, now), |next| {
                next.due_at = Some(until);
            }));
        }
        let failed = self.interaction.as_ref().map(|interaction| interaction.sid.clone());
        let mut after = if self.set_up_failures == 0 {
            self.claimed(owner, now, What::SetUpFailed, |next| {
                next.set_up_failures += 1;
                next.attempts = 1;
            })
        } else if code == Some(DUPLICATE_CHANNEL) && self.reinvites == 0 {
            self.next(now, Happening::new(What::SetUpFailed, now), |next| {
                next.is_at_rest(0, now);
            })
        } else {
            self.give_up(Cause::SetUpFailed, code, somebody_waits, now)
        };
        after.next.interaction = None;
        after.happening.code = code;
        after.happening.interaction.clone_from(&failed);
        after.next.failed = failed.or_else(|| self.failed.clone());
        Some(after)
    }

    /// What could not be closed is tried again later.
    #[must_use]
    pub fn close_later(&self, now: Timestamp) -> Option<Transition> {
        matches!(self.stage, Stage::Closing).then(|| {
            self.next(now, Happening::new(What::PutOff, now), |next| {
                next.attempts += 1;
                next.due_at = Some(now + pace::retry(next.attempts));
            })
        })
    }

    /// Twilio could not be asked how it stands: looked at again later.
    #[must_use]
    pub fn looked_in_vain(&self, now: Timestamp) -> Option<Transition> {
        self.due_at.map(|_| {
            self.next(now, Happening::new(What::PutOff, now), |next| {
                next.attempts = self.attempts.saturating_add(1);
                next.due_at = Some(now + pace::retry(next.attempts));
            })
        })
    }

    /// The conversation is over at Twilio. Known even of a conversation never heard of: a message that
    /// arrives late must find it closed. `None` where that is known.
    #[must_use]
    pub fn closed(current: Option<&Self>, sid: &ConversationSid, now: Timestamp) -> Option<Transition> {
        let current = Self::known_or_new(current, sid, now);
        // Of the latter the Interaction is still to be closed, and after it the record is.
        if matches!(current.stage, Stage::Closed | Stage::Closing) {
            return None;
        }
        Some(current.next(now, Happening::new(What::Closed, now), |next| match current.stage {
            // The owner may have asked for the Interaction: once it is certainly done, somebody looks.
            Stage::Claimed { lease_until, .. } => {
                next.stage = Stage::Closing;
                next.due_at = Some(lease_until);
            }
            _ => next.stage = Stage::Closed,
        }))
    }

    /// flexglue has closed what it had decided to close.
    #[must_use]
    pub fn has_been_closed(&self, now: Timestamp) -> Option<Transition> {
        matches!(self.stage, Stage::Closing | Stage::Orphaned { .. })
            .then(|| self.next(now, Happening::new(What::Closed, now), |next| next.stage = Stage::Closed))
    }

    /// Discovery looked at a conversation that nobody is to open, or not yet.
    #[must_use]
    pub fn left_alone(current: Option<&Self>, sid: &ConversationSid, now: Timestamp) -> Option<Transition> {
        let current = Self::known_or_new(current, sid, now);
        matches!(current.stage, Stage::Seen).then(|| {
            current.next(now, Happening::new(What::LeftAlone, now), |next| next.looked_at = Some(now))
        })
    }

    /// Whether discovery has nothing to do with a conversation made at `made`: it is taken care of, or was
    /// looked at not long ago.
    #[must_use]
    pub fn is_no_discovery(&self, made: Timestamp, now: Timestamp) -> bool {
        match (&self.stage, self.looked_at) {
            (Stage::Seen, None) => false,
            (Stage::Seen, Some(looked)) => now < looked + pace::look_again(looked.since(made)),
            _ => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conversation::{Finding, OrphanRules, Picture};

    fn sid() -> ConversationSid {
        "CH00000000000000000000000000000001".parse().unwrap()
    }

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_seconds(1_800_000_000 + seconds)
    }

    fn message() -> FirstMessage {
        FirstMessage { author: Some("+15551230001".to_owned().into()), ..FirstMessage::default() }
    }

    fn interaction(last: u8, since: Timestamp) -> Interaction {
        Interaction { sid: format!("KD{last:032x}").parse().unwrap(), channel: None, task: None, since }
    }

    fn claim(current: Option<&Conversation>, owner: &str, now: Timestamp) -> Result<Conversation, Standing> {
        Conversation::claim(current, &sid(), message(), owner, now).map(|transition| transition.next)
    }

    fn claimed() -> Conversation {
        claim(None, "a", at(0)).unwrap()
    }

    fn setting_up() -> Conversation {
        claimed().has_interaction(interaction(1, at(1)), true, None, at(1)).unwrap().next
    }

    fn open() -> Conversation {
        let rules = OrphanRules::default();
        let standing = setting_up().found(&Finding::Waiting, &Picture::default(), &rules, "s", at(20));
        standing.unwrap().next
    }

    fn closed() -> Conversation {
        Conversation::closed(None, &sid(), at(0)).unwrap().next
    }

    #[test]
    fn one_owner_at_a_time_has_the_claim() {
        assert_eq!(claim(Some(&claimed()), "b", at(1)), Err(Standing::InProgress));
    }

    #[test]
    fn a_claim_is_due_from_the_first_moment() {
        assert_eq!(claimed().due_at, Some(at(20)));
    }

    #[test]
    fn a_claim_whose_lease_is_over_is_the_sweepers_not_a_webhooks() {
        assert_eq!(claim(Some(&claimed()), "b", at(20)), Err(Standing::Deferred));
        assert_eq!(claimed().take_over("b", at(19)), None);
        let taken = claimed().take_over("b", at(20)).unwrap().next;
        assert!(taken.is_claimed_by("b") && !taken.is_claimed_by("a"));
        assert_eq!(taken.message, Some(message()), "the new owner has what the old one had");
    }

    #[test]
    fn only_an_unfinished_claim_may_hide_an_interaction() {
        assert!(claimed().must_look());
        let waiting = claimed().put_off("a", None, at(1)).unwrap().next;
        assert!(!waiting.must_look());
        assert!(waiting.take_over("b", at(60)).unwrap().next.must_look(), "but a new owner may die as well");
    }

    #[test]
    fn the_right_to_ask_ends_before_the_lease() {
        assert_eq!(claimed().may_ask_until(), Some(at(15)));
        assert_eq!(open().may_ask_until(), None);
    }

    #[test]
    fn an_open_conversation_stays_as_it_is() {
        for record in [setting_up(), open()] {
            assert_eq!(claim(Some(&record), "b", at(30)), Err(Standing::AlreadyOpen));
        }
        assert_eq!(open().due_at, Some(at(20) + pace::recheck(0, false)));
    }

    #[test]
    fn a_closed_conversation_is_not_opened_by_a_late_message() {
        assert_eq!(claim(Some(&closed()), "b", at(30)), Err(Standing::Over));
        assert!(closed().forget_at > Some(at(86_400 * 29)));
    }

    #[test]
    fn what_was_put_off_waits_and_is_then_anybodys() {
        let waiting = claimed().put_off("a", Some(Duration::from_secs(30)), at(1)).unwrap().next;
        assert_eq!(waiting.due_at, Some(at(31)), "as long as Twilio asked");
        assert_eq!((claimed().asked_since, waiting.asked_since), (Some(at(0)), None));
        assert_eq!(claim(Some(&waiting), "b", at(30)), Err(Standing::Deferred));
        assert!(claim(Some(&waiting), "b", at(31)).is_ok());
        assert!(waiting.take_over("c", at(31)).is_some());
    }

    #[test]
    fn only_the_owner_gives_its_claim_back() {
        assert_eq!(claimed().put_off("b", None, at(1)), None);
        assert_eq!(claimed().refused("b", 400, None, at(1)), None);
        assert_eq!(claimed().not_a_customer("b", None, at(1)), None);
    }

    #[test]
    fn an_interaction_is_a_fact_whoever_owns_the_claim() {
        let taken = claimed().take_over("b", at(20)).unwrap().next;
        let record = taken.has_interaction(interaction(1, at(21)), true, None, at(21)).unwrap().next;
        assert_eq!(record.stage, Stage::SettingUp);
        assert_eq!(claim(Some(&record), "b", at(22)), Err(Standing::AlreadyOpen));
    }

    #[test]
    fn the_first_interaction_stays_and_a_second_is_noted() {
        let known = open();
        assert_eq!(known.has_interaction(interaction(1, at(9)), true, None, at(9)), None);
        let second = known.has_interaction(interaction(2, at(9)), true, None, at(9)).unwrap();
        assert_eq!(second.happening.what, What::Duplicate);
        assert_eq!(second.next.interaction, known.interaction);
        assert_eq!(second.next.stage, Stage::Open);
    }

    #[test]
    fn an_interaction_made_for_a_conversation_that_closed_meanwhile_is_to_be_closed() {
        let record = closed().has_interaction(interaction(1, at(1)), true, None, at(1)).unwrap().next;
        assert_eq!(record.stage, Stage::Closing);
        assert_eq!(record.due_at, Some(at(1)));
        let over = record.has_been_closed(at(2)).unwrap().next;
        assert_eq!((over.stage, over.due_at), (Stage::Closed, None));
    }

    #[test]
    fn a_conversation_that_closes_under_a_claim_is_looked_at_once_more() {
        let record = Conversation::closed(Some(&claimed()), &sid(), at(1)).unwrap().next;
        assert_eq!(record.stage, Stage::Closing);
        assert_eq!(record.due_at, Some(at(20)), "when the owner has certainly asked or died");
        assert_eq!(Conversation::closed(Some(&record), &sid(), at(2)), None);
    }

    #[test]
    fn what_twilio_refuses_for_good_is_tried_again_rarely_and_given_up_after_a_day() {
        let mut record = claimed().refused("a", 400, Some(45367), at(1)).unwrap().next;
        assert_eq!(record.due_at, Some(at(301)));
        let standing = Standing::Refused { status: 400, code: Some(45367) };
        assert_eq!(claim(Some(&record), "b", at(30)), Err(standing), "a burst of messages is one question");
        assert!(claim(Some(&record), "b", at(31)).is_ok(), "but the customer's next message asks again");
        let mut tries = 0;
        while !matches!(record.stage, Stage::Orphaned { .. }) {
            let now = record.due_at.unwrap();
            let taken = record.take_over("b", now).unwrap().next;
            record = taken.refused("b", 400, None, now).unwrap().next;
            tries += 1;
        }
        assert!((10..20).contains(&tries), "{tries}");
        assert!(record.updated_at.since(at(1)) >= pace::REFUSED_LIMIT);
    }

    #[test]
    fn an_interaction_that_does_not_come_up_is_made_again_once() {
        let again = setting_up().set_up_failed("s", Some(45381), true, at(20)).unwrap();
        assert_eq!(again.happening.code, Some(45381));
        assert!(again.next.is_claimed_by("s") && again.next.interaction.is_none());
        let second = again.next.has_interaction(interaction(2, at(21)), true, None, at(21)).unwrap().next;
        let given_up = second.set_up_failed("s", Some(45381), true, at(60)).unwrap().next;
        let Stage::Orphaned { cause: Cause::SetUpFailed, steps, .. } = &given_up.stage else { panic!() };
        assert_eq!(steps, &OrphanRules::last_steps());
        assert_eq!((given_up.due_at, given_up.interaction), (Some(at(60)), None));
    }

    /// Found by the model: `a` asked, was slow, and its Interaction failed; `b` took over and is asking when `a` says so.
    #[test]
    fn an_interaction_is_not_made_again_while_somebody_may_still_be_asking() {
        let taken = claimed().take_over("b", at(20)).unwrap().next;
        let told_late = taken.has_interaction(interaction(1, at(21)), true, None, at(21)).unwrap().next;
        assert_eq!(told_late.asking_until, Some(at(40)), "b's lease");
        let waits = told_late.set_up_failed("c", Some(45381), true, at(36)).unwrap().next;
        assert_eq!((waits.stage.clone(), waits.due_at), (Stage::SettingUp, Some(at(40))));
        let again = waits.set_up_failed("c", Some(45381), true, at(40)).unwrap().next;
        assert!(again.is_claimed_by("c"));
    }

    /// Found by the simulation: `a`'s Interaction failed unheard of, `b` took over and asked, and its answer was lost.
    #[test]
    fn what_somebody_asked_for_is_looked_for_once_another_interaction_has_failed() {
        let taken = claimed().take_over("b", at(20)).unwrap().next;
        let heard_late = taken.has_interaction(interaction(1, at(90)), false, None, at(90)).unwrap().next;
        let again = heard_late.set_up_failed("c", None, true, at(100)).unwrap().next;
        let asked = (again.asked_since, again.asked_until);
        assert_eq!(
            asked,
            (Some(at(0)), Some(at(40))),
            "the log is searched for all that `a` and `b` asked for"
        );
        let stands =
            heard_late.found(&Finding::Waiting, &Picture::default(), &OrphanRules::default(), "c", at(100));
        assert_eq!(stands.unwrap().next.asked_since, None, "one that stands is the only one");
    }

    /// Found by the model: an answer may come after the Interaction that it tells of was found to have failed.
    #[test]
    fn what_has_failed_is_not_accepted_any_more() {
        let again = setting_up().set_up_failed("s", Some(45381), true, at(20)).unwrap().next;
        assert_eq!(again.has_interaction(interaction(1, at(21)), true, None, at(21)), None);
        let lives_after_all = again.has_interaction(interaction(1, at(21)), false, None, at(21));
        assert!(lives_after_all.is_some(), "what Twilio shows now is another matter");
    }

    #[test]
    fn a_set_up_that_takes_for_ever_has_failed() {
        assert!(!setting_up().is_overdue(at(601)) && setting_up().is_overdue(at(602)));
        let later = setting_up().still_setting_up(at(600)).unwrap().next;
        assert!(later.is_overdue(at(602)) && later.due_at > Some(at(600)));
    }

    #[test]
    fn a_message_of_somebody_else_opens_nothing() {
        let contact = Contact {
            address: Some("+15551230001".to_owned().into()),
            proxy_address: Some("+15557770000".to_owned().into()),
            ..Contact::default()
        };
        let seen = Conversation::joined(None, &sid(), contact, at(0)).unwrap().next;
        let agent = FirstMessage { author: Some("agent".to_owned().into()), ..FirstMessage::default() };
        let claimed = Conversation::claim(Some(&seen), &sid(), agent, "a", at(1));
        assert_eq!(claimed, Err(Standing::NotACustomer));
        assert!(claim(Some(&seen), "a", at(1)).is_ok());
    }

    #[test]
    fn who_joins_changes_neither_stage_nor_what_is_due() {
        let contact = Contact { address: Some("+15551230001".to_owned().into()), ..Contact::default() };
        let record = Conversation::joined(Some(&claimed()), &sid(), contact.clone(), at(1)).unwrap().next;
        assert!(record.is_claimed_by("a"));
        assert_eq!((record.due_at, record.version), (claimed().due_at, claimed().version + 1));
        assert_eq!(Conversation::joined(Some(&record), &sid(), contact.clone(), at(2)), None);
        assert_eq!(Conversation::joined(Some(&closed()), &sid(), contact, at(2)), None);
    }

    #[test]
    fn every_change_is_a_new_version() {
        let record = open();
        assert_eq!(record.version, 3);
        assert_eq!(Conversation::closed(Some(&record), &sid(), at(9)).unwrap().next.version, 4);
    }

    /// Whatever waits for us is due some time; whatever is over is forgotten some time.
    #[test]
    fn nothing_waits_for_ever() {
        let refused = claimed().refused("a", 400, None, at(1)).unwrap().next;
        let waiting = claimed().put_off("a", None, at(1)).unwrap().next;
        let closing = closed().has_interaction(interaction(1, at(1)), true, None, at(1)).unwrap().next;
        for record in [claimed(), waiting, refused, setting_up(), closing.clone()] {
            assert!(record.due_at.is_some() && record.forget_at.is_none(), "{:?}", record.stage);
        }
        assert!(closing.close_later(at(5)).unwrap().next.due_at > Some(at(5)));
        let contact = Contact { address: Some("+15551230001".to_owned().into()), ..Contact::default() };
        let seen = Conversation::joined(None, &sid(), contact, at(0)).unwrap().next;
        for record in [seen, closed()] {
            assert!(record.due_at.is_none() && record.forget_at.is_some(), "{:?}", record.stage);
        }
    }
}
