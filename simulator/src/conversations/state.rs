//! The states of a conversation. Closed is final.

use crate::conversations::events::{self, Event, Source};
use crate::conversations::timers;
use crate::dates;
use crate::flex::channels;
use crate::world::World;

/// Where a conversation stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConversationState {
    /// It is being prepared: nothing fires yet.
    Initializing,
    /// People may write.
    Active,
    /// Nobody wrote for a while. It still holds its pairs of addresses.
    Inactive,
    /// It is over, for good.
    Closed,
}

impl ConversationState {
    /// Every state, by the name the API gives it.
    pub(crate) const NAMES: [&str; 4] = ["initializing", "active", "inactive", "closed"];

    /// The name the API gives it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Initializing => "initializing",
            Self::Active => "active",
            Self::Inactive => "inactive",
            Self::Closed => "closed",
        }
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        [Self::Initializing, Self::Active, Self::Inactive, Self::Closed]
            .into_iter()
            .find(|state| state.as_str() == name)
    }
}

/// Why a conversation changed its state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// Somebody asked for it over REST or the SDK.
    Api,
    /// A timer ran out.
    Timer,
    /// Somebody wrote in an inactive conversation.
    Event,
}

impl Reason {
    fn as_str(self) -> &'static str {
        match self {
            Self::Api => "API",
            Self::Timer => "TIMER",
            Self::Event => "EVENT",
        }
    }
}

/// Changes the state, tells the webhooks if `fires`, and lets Flex know of the end.
pub(crate) fn change(world: &mut World, sid: &str, to: ConversationState, reason: Reason, fires: bool) {
    let now = world.now;
    let Some(conversation) = world.conversations.get_mut(sid) else { return };
    let from = conversation.state;
    if from == to || from == ConversationState::Closed {
        return;
    }
    conversation.state = to;
    conversation.updated_ms = now;
    if reason != Reason::Timer {
        conversation.active_ms = now;
    }
    let messaging_service_sid = conversation.messaging_service_sid.clone();
    timers::plan(world, sid);
    if fires {
        let fields = vec![
            ("ChatServiceSid", world.settings.chat_service_sid.clone()),
            ("MessagingServiceSid", messaging_service_sid),
            ("StateUpdated", dates::milliseconds(now)),
            ("StateFrom", from.as_str().to_owned()),
            ("StateTo", to.as_str().to_owned()),
            ("Reason", reason.as_str().to_owned()),
        ];
        events::publish(
            world,
            Event { kind: "onConversationStateUpdated", conversation: sid, source: Source::Api, fields },
        );
    }
    if to == ConversationState::Closed && world.settings.closing_ends_channel {
        channels::conversation_closed(world, sid);
    }
}

/// Marks that somebody was active: timers begin again, and an inactive conversation wakes up.
pub(crate) fn touch(world: &mut World, sid: &str) {
    let now = world.now;
    let Some(conversation) = world.conversations.get_mut(sid) else { return };
    conversation.active_ms = now;
    conversation.updated_ms = now;
    if conversation.state == ConversationState::Inactive {
        change(world, sid, ConversationState::Active, Reason::Event, true);
    } else {
        timers::plan(world, sid);
    }
}
