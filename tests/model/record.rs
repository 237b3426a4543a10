//! The record as a part of a state: cheap to copy, and hashed, which `Conversation` is not.

use std::{
    fmt,
    hash::{Hash as _, Hasher},
    ops::Deref,
    sync::Arc,
};

use shared::{
    clock::Timestamp,
    conversation::{Conversation, Interaction, Stage, pace},
};

/// A record.
#[derive(Clone, PartialEq)]
pub(crate) struct Record(Arc<Conversation>);

impl Record {
    pub(crate) fn new(record: Conversation) -> Self {
        Self(Arc::new(record))
    }

    pub(crate) fn taken(&self) -> Conversation {
        (*self.0).clone()
    }

    pub(crate) fn without_asking_until(&self) -> Self {
        Self::new(Conversation { asking_until: None, ..self.taken() })
    }

    /// The number of the Interaction that it knows.
    pub(crate) fn knows(&self) -> Option<u8> {
        self.interaction.as_ref().map(|interaction| number(interaction.sid.as_str()))
    }

    /// When its claim's lease ends, where it is claimed.
    pub(crate) fn lease(&self) -> Option<Timestamp> {
        match &self.stage {
            Stage::Claimed { lease_until, .. } => Some(*lease_until),
            _ => None,
        }
    }
}

impl Deref for Record {
    type Target = Conversation;

    fn deref(&self) -> &Conversation {
        &self.0
    }
}

impl Eq for Record {}

impl Record {
    /// Hashes what of the record can matter at `now`. Nothing is left out by mistake: a new field of the record does
    /// not compile here. What is over is over, however long: of a time only how far ahead it is counts.
    pub(crate) fn hash_at<H: Hasher>(&self, now: Timestamp, state: &mut H) {
        let ahead = |time: Timestamp| time.since(now);
        let Conversation {
            sid: _, // there is one
            version,
            stage,
            contact,
            message,
            routing,
            outbound,
            before_reach,
            interaction,
            asked_since,
            asked_until: _, // bounds a question that the account of the model answers already
            asking_until,
            attempts,
            set_up_failures,
            failed,
            served,
            last_end,
            reinvites,
            reinvited_at,
            heard_of_reinvite,
            told,
            looked_at,
            refused_since,
            created_at: _, // nothing depends on it
            updated_at,
            due_at,
            forget_at,
        } = &**self;
        (version, attempts, set_up_failures, failed, served, reinvites, heard_of_reinvite, told).hash(state);
        // That an Interaction was asked for longer ago than tasks are shown leads to one more question, which the
        // account of the model answers already.
        (asked_since.is_some(), forget_at.is_some(), due_at.map(ahead), asking_until.map(ahead)).hash(state);
        refused_since.map(|since| ahead(since + pace::REFUSED_LIMIT)).hash(state);
        // Of these the model knows one each, or none.
        (contact.is_some(), message.is_some(), routing.is_some(), outbound.is_some()).hash(state);
        (before_reach.is_some(), last_end.is_some(), reinvited_at.is_some(), looked_at.is_some()).hash(state);
        if let Some(Interaction { sid, channel: _, task: _, since }) = interaction {
            (sid, ahead(*since + pace::SET_UP_LIMIT)).hash(state);
        }
        std::mem::discriminant(stage).hash(state);
        match stage {
            Stage::Claimed { owner, lease_until } => {
                (owner, ahead(*lease_until), ahead(*lease_until - pace::LEASE_MARGIN)).hash(state);
            }
            Stage::Refused { status, code } => {
                (status, code, ahead(*updated_at + pace::REFUSED_PAUSE)).hash(state);
            }
            // What is done about it is no part of the model.
            Stage::Orphaned { done, .. } => done.hash(state),
            Stage::Seen
            | Stage::Waiting
            | Stage::SettingUp
            | Stage::Open
            | Stage::Closing
            | Stage::Closed => {}
        }
    }
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let due = self.due_at.map(|due| due.since(crate::protocol::BEGUN).as_secs());
        write!(f, "v{} {:?} knows {:?} due {due:?}", self.version, self.stage, self.knows())
    }
}

/// The number at the end of a SID.
pub(crate) fn number(sid: &str) -> u8 {
    u8::from_str_radix(&sid[sid.len() - 2..], 16).expect("SIDs of the model end with a small number")
}
