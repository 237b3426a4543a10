//! Conversations v1: <https://www.twilio.com/docs/conversations/api>.

pub(crate) mod chat_users;
pub(crate) mod configuration;
pub(crate) mod events;
pub(crate) mod messages;
pub(crate) mod participant_conversations;
pub(crate) mod participants;
pub(crate) mod receipts;
pub(crate) mod resource;
pub(crate) mod scoped_webhooks;
pub(crate) mod state;
pub(crate) mod timers;

use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use self::messages::Message;
use self::participants::Participant;
use self::scoped_webhooks::ScopedWebhook;
pub use self::state::{ConversationState, Reason};
use crate::answer::{Refusal, Reply};
use crate::call::Call;
use crate::dates;
use crate::settings::Settings;
use crate::world::World;

/// A conversation with everything in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conversation {
    /// `CH…`
    pub sid: String,
    /// `MG…`
    pub messaging_service_sid: String,
    /// What people call it.
    pub friendly_name: Option<String>,
    /// A name that no other conversation has.
    pub unique_name: Option<String>,
    /// JSON, as it was given.
    pub attributes: String,
    /// Where it stands.
    pub state: ConversationState,
    /// `system`, or the address or identity that began it.
    pub created_by: String,
    /// When it was made, in milliseconds since the epoch.
    pub created_ms: u64,
    /// When it was last changed, in milliseconds since the epoch.
    pub updated_ms: u64,
    /// When somebody was last active in it: timers count from there.
    pub active_ms: u64,
    /// Milliseconds without activity until it becomes inactive.
    pub inactive_after_ms: Option<u64>,
    /// Milliseconds without activity until it is closed.
    pub closed_after_ms: Option<u64>,
    /// Who takes part.
    pub participants: Vec<Participant>,
    /// What was said.
    pub messages: Vec<Message>,
    /// Webhooks of this conversation alone; five at most.
    pub webhooks: Vec<ScopedWebhook>,
    /// Whether it belongs to another chat service of the account. Nothing of ours sees it, but it holds its
    /// pairs of addresses.
    pub elsewhere: bool,
    pub(crate) born: u64,
}

impl Conversation {
    /// The participant with this address at this one of ours.
    #[must_use]
    pub fn bound(&self, address: &str, proxy_address: &str) -> Option<&Participant> {
        self.participants.iter().find(|participant| {
            participant
                .binding
                .as_ref()
                .is_some_and(|binding| binding.address == address && binding.proxy_address == proxy_address)
        })
    }

    /// The participant with this chat identity.
    #[must_use]
    pub fn identity(&self, identity: &str) -> Option<&Participant> {
        self.participants.iter().find(|participant| participant.identity.as_deref() == Some(identity))
    }

    fn message(&self, sid: &str) -> Option<&Message> {
        self.messages.iter().find(|message| message.sid == sid)
    }

    fn timers_json(&self) -> Value {
        let at = |after: Option<u64>| after.map(|ms| dates::seconds(self.active_ms + ms));
        let mut timers = serde_json::Map::new();
        if self.state != ConversationState::Closed {
            let active = self.state == ConversationState::Active;
            if let Some(date) = at(self.inactive_after_ms).filter(|_| active) {
                timers.insert("date_inactive".to_owned(), json!(date));
            }
            if let Some(date) = at(self.closed_after_ms) {
                timers.insert("date_closed".to_owned(), json!(date));
            }
        }
        Value::Object(timers)
    }

    fn json(&self, settings: &Settings, url: &str) -> Value {
        json!({
            "account_sid": settings.account_sid,
            "chat_service_sid": settings.chat_service_sid,
            "messaging_service_sid": self.messaging_service_sid,
            "sid": self.sid,
            "friendly_name": self.friendly_name,
            "unique_name": self.unique_name,
            "attributes": self.attributes,
            "state": self.state.as_str(),
            "date_created": dates::seconds(self.created_ms),
            "date_updated": dates::seconds(self.updated_ms),
            "timers": self.timers_json(),
            "bindings": {},
            "url": url,
            "links": {
                "participants": format!("{url}/Participants"),
                "messages": format!("{url}/Messages"),
                "webhooks": format!("{url}/Webhooks"),
            },
        })
    }
}

/// The sid of the conversation that a path names by its sid or its unique name.
fn sid_of(world: &World, call: &Call, key: &str) -> Result<String, Refusal> {
    if world.conversations.get(key).is_some_and(|conversation| !conversation.elsewhere) {
        return Ok(key.to_owned());
    }
    let name = percent_decode_str(key).decode_utf8().ok();
    ours(world)
        .find(|conversation| name.is_some() && conversation.unique_name.as_deref() == name.as_deref())
        .map(|conversation| conversation.sid.clone())
        .ok_or_else(|| call.not_found())
}

/// The conversations of our chat service.
pub(crate) fn ours(world: &World) -> impl Iterator<Item = &Conversation> {
    world.conversations.values().filter(|conversation| !conversation.elsewhere)
}

/// The conversation that a path names.
fn find<'w>(world: &'w World, call: &Call, key: &str) -> Result<&'w Conversation, Refusal> {
    let sid = sid_of(world, call, key)?;
    world.conversations.get(&sid).ok_or_else(|| call.not_found())
}

/// A conversation that may still be changed: closed is final.
fn find_open<'w>(world: &'w mut World, call: &Call, key: &str) -> Result<&'w mut Conversation, Refusal> {
    let sid = sid_of(world, call, key)?;
    let conversation = world.conversations.get_mut(&sid).ok_or_else(|| call.not_found())?;
    if conversation.state == ConversationState::Closed {
        return Err(is_closed());
    }
    Ok(conversation)
}

fn is_closed() -> Refusal {
    Refusal::new(400, 50377, "Conversation is in final state closed and cannot be changed")
}

/// The path within our chat service. The unprefixed paths mean the default service, which here is the only
/// one that shows anything.
fn in_our_service<'p, 's>(world: &World, segments: &'p [&'s str]) -> &'p [&'s str] {
    match segments {
        ["Services", service, rest @ ..] if *service == world.settings.chat_service_sid => rest,
        other => other,
    }
}

/// Finds the route for a call below `/v1`.
pub(crate) fn route(world: &mut World, call: &Call, segments: &[&str]) -> Reply {
    match (call.method.as_str(), in_our_service(world, segments)) {
        ("POST", ["Conversations"]) => resource::create(world, call),
        ("GET", ["Conversations"]) => resource::list(world, call),
        ("GET", ["Conversations", key]) => resource::fetch(world, call, key),
        ("POST", ["Conversations", key]) => resource::update(world, call, key),
        ("DELETE", ["Conversations", key]) => resource::delete(world, call, key),
        ("POST", ["Conversations", key, "Participants"]) => participants::create(world, call, key),
        ("GET", ["Conversations", key, "Participants"]) => participants::list(world, call, key),
        ("GET", ["Conversations", key, "Participants", sid]) => participants::fetch(world, call, key, sid),
        ("DELETE", ["Conversations", key, "Participants", sid]) => {
            participants::delete(world, call, key, sid)
        }
        ("POST", ["Conversations", key, "Messages"]) => messages::create(world, call, key),
        ("GET", ["Conversations", key, "Messages"]) => messages::list(world, call, key),
        ("GET", ["Conversations", key, "Messages", sid]) => messages::fetch(world, call, key, sid),
        ("GET", ["Conversations", key, "Messages", sid, "Receipts"]) => receipts::list(world, call, key, sid),
        ("GET", ["Conversations", key, "Messages", sid, "Receipts", dy]) => {
            receipts::fetch(world, call, key, sid, dy)
        }
        ("POST", ["Conversations", key, "Webhooks"]) => scoped_webhooks::create(world, call, key),
        ("GET", ["Conversations", key, "Webhooks"]) => scoped_webhooks::list(world, call, key),
        ("GET", ["Conversations", key, "Webhooks", sid]) => scoped_webhooks::fetch(world, call, key, sid),
        ("DELETE", ["Conversations", key, "Webhooks", sid]) => scoped_webhooks::delete(world, call, key, sid),
        ("GET", ["Configuration"]) => configuration::fetch(world, call),
        ("POST", ["Configuration"]) => configuration::update(world, call),
        ("POST", ["Configuration", "Addresses", sid]) => configuration::update_address(world, call, sid),
        ("GET", ["Configuration", "Addresses"]) => configuration::list_addresses(world, call),
        ("GET", ["Configuration", "Addresses", sid]) => configuration::fetch_address(world, call, sid),
        ("GET", ["Configuration", "Webhooks"]) => configuration::webhook(world, call, segments),
        ("GET", ["ParticipantConversations"]) => participant_conversations::list(world, call),
        _ => Err(call.not_found()),
    }
}
