//! Participants. A pair of addresses may be in one open conversation only: this is the rule on which
//! everything outbound rests.

use serde_json::{Value, json};

use crate::answer::{Answer, Refusal, Reply};
use crate::call::Call;
use crate::conversations::events::{self, Source};
use crate::conversations::state::{self, ConversationState};
use crate::conversations::{find, find_open};
use crate::dates;
use crate::page::{Row, page};
use crate::parameters::{NONE, PAGING, Published};
use crate::world::World;

/// How long attributes may be.
const ATTRIBUTES_AT_MOST: usize = 4 * 1024;

/// Somebody in a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Participant {
    /// `MB…`
    pub sid: String,
    /// The chat identity of a user of the SDK.
    pub identity: Option<String>,
    /// The addresses of somebody who writes over a channel.
    pub binding: Option<Binding>,
    /// JSON, as it was given.
    pub attributes: String,
    /// `RL…`
    pub role_sid: String,
    /// When they came, in milliseconds since the epoch.
    pub created_ms: u64,
    pub(crate) born: u64,
}

/// How a participant is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    /// `sms`, `whatsapp` …
    pub kind: String,
    /// Theirs.
    pub address: String,
    /// Ours, to which they write.
    pub proxy_address: String,
    /// The one that a group sees of a chat user.
    pub projected_address: Option<String>,
}

impl Binding {
    /// A binding of the kind that the addresses are of.
    pub(crate) fn new(address: &str, proxy_address: &str) -> Self {
        Self {
            kind: kind_of(address).unwrap_or("sms").to_owned(),
            address: address.to_owned(),
            proxy_address: proxy_address.to_owned(),
            projected_address: None,
        }
    }

    pub(crate) fn json(&self) -> Value {
        let mut binding = json!({
            "type": self.kind, "address": self.address, "proxy_address": self.proxy_address,
        });
        if let Some(projected) = &self.projected_address {
            binding["projected_address"] = json!(projected);
        }
        binding
    }
}

const CREATE: Published = Published {
    required: &[],
    optional: &[
        "Identity",
        "MessagingBinding.Address",
        "MessagingBinding.ProxyAddress",
        "MessagingBinding.ProjectedAddress",
        "DateCreated",
        "DateUpdated",
        "Attributes",
        "RoleSid",
    ],
    repeated: &[],
};

impl Participant {
    /// Whether a message of this author is theirs.
    pub(crate) fn writes_as(&self, author: &str) -> bool {
        self.identity.as_deref() == Some(author)
            || self.binding.as_ref().is_some_and(|binding| binding.address == author)
    }

    fn json(&self, account_sid: &str, conversation_sid: &str, url: &str) -> Value {
        json!({
            "account_sid": account_sid,
            "conversation_sid": conversation_sid,
            "sid": self.sid,
            "identity": self.identity,
            "attributes": self.attributes,
            "messaging_binding": self.binding.as_ref().map(Binding::json),
            "role_sid": self.role_sid,
            "date_created": dates::seconds(self.created_ms),
            "date_updated": dates::seconds(self.created_ms),
            "last_read_message_index": null,
            "last_read_timestamp": null,
            "url": url,
        })
    }
}

/// The kind of an address, or nothing if it is none. Phone numbers are E.164.
pub(crate) fn kind_of(address: &str) -> Option<&'static str> {
    let e164 = |number: &str| {
        number.strip_prefix('+').is_some_and(|digits| {
            (7..=15).contains(&digits.len())
                && digits.bytes().all(|byte| byte.is_ascii_digit())
                && !digits.starts_with('0')
        })
    };
    match address.split_once(':') {
        None => e164(address).then_some("sms"),
        Some(("whatsapp", number)) => e164(number).then_some("whatsapp"),
        Some(("messenger", id)) => (!id.is_empty()).then_some("messenger"),
        Some(_) => None,
    }
}

/// The open conversation in which the pair is. Inactive ones hold it as well.
pub(crate) fn holder(world: &World, address: &str, proxy_address: &str) -> Option<String> {
    world
        .conversations
        .values()
        .filter(|conversation| conversation.state != ConversationState::Closed)
        .find(|conversation| conversation.bound(address, proxy_address).is_some())
        .map(|conversation| conversation.sid.clone())
}

/// Adds somebody without asking whether they may be added.
pub(crate) fn add(
    world: &mut World,
    sid: &str,
    identity: Option<String>,
    binding: Option<Binding>,
    attributes: Option<String>,
) -> Option<Participant> {
    let participant = Participant {
        sid: world.sids.draw("MB"),
        identity,
        binding,
        attributes: attributes.unwrap_or_else(|| "{}".to_owned()),
        role_sid: format!("RL{:032x}", 1),
        created_ms: world.now,
        born: world.birth(),
    };
    world.conversations.get_mut(sid)?.participants.push(participant.clone());
    state::touch(world, sid);
    Some(participant)
}

/// Takes out the chat user with this identity.
pub(crate) fn remove_identity(world: &mut World, sid: &str, identity: &str) {
    if let Some(conversation) = world.conversations.get_mut(sid) {
        conversation.participants.retain(|participant| participant.identity.as_deref() != Some(identity));
    }
}

pub(super) fn create(world: &mut World, call: &Call, key: &str) -> Reply {
    let parameters = CREATE.read(&call.form)?;
    let role_sid = parameters.sid("RoleSid", "RL")?;
    let attributes = parameters.json("Attributes", ATTRIBUTES_AT_MOST)?;
    let identity = parameters.owned("Identity").filter(|identity| !identity.is_empty());
    let binding =
        match (parameters.text("MessagingBinding.Address"), parameters.text("MessagingBinding.ProxyAddress"))
        {
            (Some(address), Some(proxy_address)) => Some(check_binding(address, proxy_address)?),
            (None, None) => None,
            (Some(_), None) => {
                return Err(Refusal::new(400, 50408, "MessagingBinding.ProxyAddress is missing"));
            }
            (None, Some(_)) => return Err(Refusal::new(400, 50407, "MessagingBinding.Address is missing")),
        };
    if identity.is_some() == binding.is_some() {
        return Err(Refusal::invalid("Exactly one of Identity and MessagingBinding.Address must be given"));
    }
    let conversation = find_open(world, call, key)?;
    let sid = conversation.sid.clone();
    if identity.as_deref().is_some_and(|identity| conversation.identity(identity).is_some()) {
        return Err(Refusal::new(409, 50433, "Participant already exists"));
    }
    if let Some(binding) = &binding {
        refuse_bound(world, &sid, binding)?;
    }
    let binding = binding.map(|binding| Binding {
        projected_address: parameters.owned("MessagingBinding.ProjectedAddress"),
        ..binding
    });
    let mut participant = add(world, &sid, identity, binding, attributes).ok_or_else(|| call.not_found())?;
    if let Some(role_sid) = role_sid {
        participant.role_sid.clone_from(&role_sid);
        if let Some(kept) = world.conversations.get_mut(&sid).and_then(|found| found.participants.last_mut())
        {
            kept.role_sid = role_sid;
        }
    }
    if call.fires_webhooks {
        events::participant(world, "onParticipantAdded", &sid, &participant, Source::Api);
    }
    let url = format!("{}/{}", call.url(), participant.sid);
    Ok(Answer::created(participant.json(&world.settings.account_sid, &sid, &url)))
}

fn check_binding(address: &str, proxy_address: &str) -> Result<Binding, Refusal> {
    let invalid =
        |code: u32, name: &str| Refusal::new(400, code, format!("Invalid messaging binding {name}"));
    let kind = kind_of(address).ok_or_else(|| invalid(50407, "address"))?;
    if kind_of(proxy_address) != Some(kind) {
        return Err(invalid(50408, "proxy address"));
    }
    if address == proxy_address {
        return Err(invalid(50409, "address: it is the proxy address"));
    }
    Ok(Binding::new(address, proxy_address))
}

fn refuse_bound(world: &World, sid: &str, binding: &Binding) -> Result<(), Refusal> {
    let Some(holder) = holder(world, &binding.address, &binding.proxy_address) else { return Ok(()) };
    if holder == sid {
        return Err(Refusal::new(409, 50437, "Participant already exists in this Conversation"));
    }
    let place = if world.settings.conflict_names_conversation {
        format!("Conversation {holder}")
    } else {
        "another Conversation".to_owned()
    };
    let message = format!("A binding for this participant and proxy address already exists in {place}");
    Err(Refusal::new(409, 50416, message))
}

pub(super) fn list(world: &World, call: &Call, key: &str) -> Reply {
    PAGING.read(&call.query)?;
    let conversation = find(world, call, key)?;
    let row = |participant: &Participant| {
        let url = format!("{}/{}", call.url(), participant.sid);
        let body = participant.json(&world.settings.account_sid, &conversation.sid, &url);
        Row::at(participant.born, body)
    };
    page(call, "participants", 50, 100, conversation.participants.iter().map(row).collect())
}

/// The participant of a path may be named by its sid or its identity.
fn is_named(participant: &Participant, name: &str) -> bool {
    participant.sid == name || participant.identity.as_deref() == Some(name)
}

pub(super) fn fetch(world: &World, call: &Call, key: &str, name: &str) -> Reply {
    NONE.read(&call.query)?;
    let conversation = find(world, call, key)?;
    let participant = conversation
        .participants
        .iter()
        .find(|participant| is_named(participant, name))
        .ok_or_else(|| call.not_found())?;
    Ok(Answer::ok(participant.json(&world.settings.account_sid, &conversation.sid, &call.url())))
}

pub(super) fn delete(world: &mut World, call: &Call, key: &str, name: &str) -> Reply {
    let conversation = find_open(world, call, key)?;
    let sid = conversation.sid.clone();
    let place = conversation
        .participants
        .iter()
        .position(|participant| is_named(participant, name))
        .ok_or_else(|| call.not_found())?;
    let participant = conversation.participants.remove(place);
    if call.fires_webhooks {
        events::participant(world, "onParticipantRemoved", &sid, &participant, Source::Api);
    }
    Ok(Answer::deleted())
}

#[cfg(test)]
mod tests {
    use crate::testing::{CUSTOMER, OURS, Sim, code, text};

    #[test]
    fn a_pair_of_addresses_may_be_in_one_open_conversation_only() {
        let sim = Sim::new();
        let (first, second) = (sim.conversation(), sim.conversation());
        assert_eq!(sim.bind(&first, CUSTOMER, OURS), 0);
        for state in ["active", "inactive"] {
            sim.post(&format!("/v1/Conversations/{first}"), &[("State", state)]);
            let form = [("MessagingBinding.Address", CUSTOMER), ("MessagingBinding.ProxyAddress", OURS)];
            let refused = sim.post(&format!("/v1/Conversations/{second}/Participants"), &form);
            assert_eq!((refused.0, code(&refused)), (409, 50416), "{state}");
            assert_eq!(
                text(&refused.1["message"]),
                format!(
                    "A binding for this participant and proxy address already exists in Conversation {first}"
                )
            );
        }
        assert_eq!(sim.bind(&second, CUSTOMER, "+15557770009"), 0);
        sim.post(&format!("/v1/Conversations/{first}"), &[("State", "closed")]);
        assert_eq!(sim.bind(&second, CUSTOMER, OURS), 0);
        assert_eq!(sim.bind(&second, CUSTOMER, OURS), 50437);
    }

    #[test]
    fn a_conflict_need_not_name_the_conversation() {
        let sim = Sim::with(|settings| settings.conflict_names_conversation = false);
        let first = sim.twilio.customer_writes(CUSTOMER, OURS, "hello").conversation_sid;
        let form = [("MessagingBinding.Address", CUSTOMER), ("MessagingBinding.ProxyAddress", OURS)];
        let refused = sim.post(&format!("/v1/Conversations/{}/Participants", sim.conversation()), &form);
        assert_eq!(code(&refused), 50416);
        assert!(!text(&refused.1["message"]).contains(&first));
    }

    #[test]
    fn addresses_are_checked() {
        let sim = Sim::new();
        let sid = sim.conversation();
        for (address, proxy_address, code) in [
            ("5551230001", OURS, 50407),
            ("+0551230001", OURS, 50407),
            ("whatsapp:15551230001", OURS, 50407),
            (CUSTOMER, "whatsapp:+15557770000", 50408),
            (CUSTOMER, "ours", 50408),
            (OURS, OURS, 50409),
        ] {
            assert_eq!(sim.bind(&sid, address, proxy_address), code, "{address} {proxy_address}");
        }
        assert_eq!(sim.bind(&sid, "whatsapp:+15551230001", "whatsapp:+15557770000"), 0);
    }

    #[test]
    fn a_chat_identity_is_in_a_conversation_once() {
        let sim = Sim::new();
        let path = format!("/v1/Conversations/{}/Participants", sim.conversation());
        assert_eq!(sim.post(&path, &[("Identity", "guest-1")]).0, 201);
        let refused = sim.post(&path, &[("Identity", "guest-1")]);
        assert_eq!((refused.0, code(&refused)), (409, 50433));
        assert_eq!(sim.get(&format!("{path}/guest-1")).1["messaging_binding"], serde_json::Value::Null);
        assert_eq!(sim.delete(&format!("{path}/guest-1")), 204);
        assert_eq!(sim.get(&path).1["participants"], serde_json::json!([]));
        assert_eq!(code(&sim.post(&path, &[])), 20001);
    }
}
