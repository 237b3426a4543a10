//! The webhooks of Conversations as typed events.

mod fields;
mod kinds;

pub use fields::MalformedEventFields;
pub use kinds::{
    Binding, ConversationRemoved, ConversationState, MessageAdded, ParticipantAdded, StateUpdated,
};

use super::verified::Verified;
use crate::sid::ConversationSid;
use fields::Fields;

/// Something that happened in a conversation
/// ([Conversations webhooks](https://www.twilio.com/docs/conversations/conversations-webhooks)). What
/// flexglue has no use for is [`ConversationEvent::Other`].
#[derive(Clone, Debug, PartialEq)]
pub enum ConversationEvent {
    /// `onMessageAdded`: somebody wrote.
    MessageAdded(MessageAdded),
    /// `onParticipantAdded`: somebody joined.
    ParticipantAdded(ParticipantAdded),
    /// `onConversationStateUpdated`: the conversation became active, inactive or closed.
    StateUpdated(StateUpdated),
    /// `onConversationRemoved`: the conversation was deleted.
    ConversationRemoved(ConversationRemoved),
    /// Any other event.
    Other {
        /// Its `EventType`.
        event_type: String,
    },
}

impl ConversationEvent {
    /// Reads the event.
    ///
    /// What an event is about (the SIDs of account, service, conversation and participant, and the states)
    /// must be what it should be. Whatever only adds to it is left out when it cannot be read: Twilio adds
    /// and changes fields without notice, and a customer waits behind this message.
    ///
    /// # Errors
    /// Names every field that is missing or wrong, never a value.
    pub fn from_verified(verified: &Verified) -> Result<Self, MalformedEventFields> {
        let mut fields = Fields::of(verified);
        let event_type = fields.required_text("EventType");
        let event = match event_type.as_deref() {
            Some("onMessageAdded") => MessageAdded::read(&mut fields).map(Self::MessageAdded),
            Some("onParticipantAdded") => ParticipantAdded::read(&mut fields).map(Self::ParticipantAdded),
            Some("onConversationStateUpdated") => StateUpdated::read(&mut fields).map(Self::StateUpdated),
            Some("onConversationRemoved") => {
                ConversationRemoved::read(&mut fields).map(Self::ConversationRemoved)
            }
            _ => event_type.map(|event_type| Self::Other { event_type }),
        };
        fields.finish(event)
    }

    /// The conversation that it happened in, if it is an event that flexglue reads.
    #[must_use]
    pub fn conversation_sid(&self) -> Option<&ConversationSid> {
        match self {
            Self::MessageAdded(event) => Some(&event.conversation_sid),
            Self::ParticipantAdded(event) => Some(&event.conversation_sid),
            Self::StateUpdated(event) => Some(&event.conversation_sid),
            Self::ConversationRemoved(event) => Some(&event.conversation_sid),
            Self::Other { .. } => None,
        }
    }
}
