//! Webhooks of one conversation.
//! See <https://www.twilio.com/docs/conversations/api/conversation-scoped-webhook-resource>.

use http::Method;
use serde_json::{Value, json};

use crate::answer::{Answer, Refusal, Reply};
use crate::call::Call;
use crate::conversations::{find, find_open};
use crate::dates;
use crate::page::{Row, page};
use crate::parameters::{NONE, PAGING, Parameters, Published};
use crate::settings::{Address, Integration};
use crate::world::World;

/// How many a conversation may have.
const AT_MOST: usize = 5;
/// How long a URL may be.
const URL_AT_MOST: usize = 512;

/// A webhook of one conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScopedWebhook {
    /// `WH…`
    pub sid: String,
    /// What it does.
    pub target: Target,
    /// When it was made, in milliseconds since the epoch.
    pub created_ms: u64,
    pub(crate) born: u64,
}

/// What a webhook of a conversation does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// Sends the events that its filters name.
    Webhook {
        /// Where to.
        url: String,
        /// `POST` or `GET`.
        method: Method,
        /// The events.
        filters: Vec<String>,
    },
    /// Sends messages that hold one of its words.
    Trigger {
        /// Where to.
        url: String,
        /// `POST` or `GET`.
        method: Method,
        /// The words.
        triggers: Vec<String>,
    },
    /// Starts a Studio flow. The flow itself is not simulated.
    Studio {
        /// `FW…`
        flow_sid: String,
    },
}

impl Target {
    /// Where events go, unless to a flow.
    pub(crate) fn address(&self) -> Option<(&str, &Method)> {
        match self {
            Self::Webhook { url, method, .. } | Self::Trigger { url, method, .. } => Some((url, method)),
            Self::Studio { .. } => None,
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Webhook { .. } => "webhook",
            Self::Trigger { .. } => "trigger",
            Self::Studio { .. } => "studio",
        }
    }

    /// Its method is in small letters, unlike that of an address configuration.
    fn configuration(&self) -> Value {
        let small = |method: &Method| method.as_str().to_ascii_lowercase();
        match self {
            Self::Webhook { url, method, filters } => {
                json!({ "url": url, "method": small(method), "filters": filters })
            }
            Self::Trigger { url, method, triggers } => {
                json!({ "url": url, "method": small(method), "triggers": triggers })
            }
            Self::Studio { flow_sid } => json!({ "flow_sid": flow_sid }),
        }
    }

    fn read(parameters: &Parameters<'_>) -> Result<Self, Refusal> {
        if parameters.text("Configuration.ReplayAfter").is_some() {
            return Err(Refusal::invalid("Configuration.ReplayAfter is not simulated"));
        }
        let refuse = |code: u32, message: &str| Refusal::new(400, code, message);
        let flow_sid = parameters.sid("Configuration.FlowSid", "FW")?;
        let url = || -> Result<String, Refusal> {
            let url = parameters
                .owned("Configuration.Url")
                .ok_or_else(|| Refusal::invalid("Missing required parameter Configuration.Url"))?;
            if url.len() > URL_AT_MOST {
                return Err(refuse(50372, "Configuration.Url is too long"));
            }
            Ok(url)
        };
        let method = match parameters.one_of("Configuration.Method", &["get", "post"])? {
            Some("post") => Method::POST,
            _ => Method::GET,
        };
        match parameters.one_of("Target", &["webhook", "trigger", "studio"])? {
            Some("webhook") => {
                let filters = parameters.all("Configuration.Filters");
                if filters.is_empty() {
                    return Err(refuse(50365, "Configuration.Filters are missing"));
                }
                if let Some(unknown) = filters.iter().find(|filter| !EVENTS.contains(&filter.as_str())) {
                    return Err(refuse(50370, &format!("Configuration.Filters: {unknown} is no event")));
                }
                Ok(Self::Webhook { url: url()?, method, filters })
            }
            Some("trigger") => {
                let triggers = parameters.all("Configuration.Triggers");
                if triggers.is_empty() {
                    return Err(Refusal::invalid("Missing required parameter Configuration.Triggers"));
                }
                Ok(Self::Trigger { url: url()?, method, triggers })
            }
            _ => flow_sid
                .map(|flow_sid| Self::Studio { flow_sid })
                .ok_or_else(|| Refusal::invalid("Missing required parameter Configuration.FlowSid")),
        }
    }
}

/// The events that a webhook of a conversation may ask for, and that of an address
/// (<https://www.twilio.com/docs/conversations/api/address-configuration-resource>).
pub(super) const EVENTS: [&str; 10] = [
    "onMessageAdded",
    "onMessageUpdated",
    "onMessageRemoved",
    "onConversationUpdated",
    "onConversationStateUpdated",
    "onConversationRemoved",
    "onParticipantAdded",
    "onParticipantUpdated",
    "onParticipantRemoved",
    "onDeliveryUpdated",
];

const CREATE: Published = Published {
    required: &["Target"],
    optional: &[
        "Configuration.Url",
        "Configuration.Method",
        "Configuration.FlowSid",
        "Configuration.ReplayAfter",
    ],
    repeated: &["Configuration.Filters", "Configuration.Triggers"],
};

impl ScopedWebhook {
    fn json(&self, account_sid: &str, conversation_sid: &str, url: &str) -> Value {
        json!({
            "sid": self.sid,
            "account_sid": account_sid,
            "conversation_sid": conversation_sid,
            "target": self.target.name(),
            "configuration": self.target.configuration(),
            "date_created": dates::seconds(self.created_ms),
            "date_updated": dates::seconds(self.created_ms),
            "url": url,
        })
    }
}

/// Attaches a webhook without counting those that are there.
pub(crate) fn attach(world: &mut World, sid: &str, target: Target) -> Option<ScopedWebhook> {
    let webhook =
        ScopedWebhook { sid: world.sids.draw("WH"), target, created_ms: world.now, born: world.birth() };
    world.conversations.get_mut(sid)?.webhooks.push(webhook.clone());
    Some(webhook)
}

/// Attaches what the address configuration says, which is named by its sid or its address. Without one
/// nothing is attached.
pub(crate) fn attach_configured(world: &mut World, sid: &str, address: &str) {
    let is_it = |configured: &&Address| configured.address == address || configured.sid == address;
    let target = match world.settings.addresses.iter().find(is_it).map(|found| found.integration.clone()) {
        Some(Integration::Webhook { url, method, filters }) => {
            let method = if method.eq_ignore_ascii_case("GET") { Method::GET } else { Method::POST };
            Target::Webhook { url, method, filters }
        }
        Some(Integration::Studio { flow_sid }) => Target::Studio { flow_sid },
        Some(Integration::Default) | None => return,
    };
    attach(world, sid, target);
}

pub(super) fn create(world: &mut World, call: &Call, key: &str) -> Reply {
    let target = Target::read(&CREATE.read(&call.form)?)?;
    let conversation = find_open(world, call, key)?;
    if conversation.webhooks.len() >= AT_MOST {
        let message = format!("A conversation may have no more than {AT_MOST} webhooks");
        return Err(Refusal::new(400, 50361, message));
    }
    let sid = conversation.sid.clone();
    let webhook = attach(world, &sid, target).ok_or_else(|| call.not_found())?;
    let url = format!("{}/{}", call.url(), webhook.sid);
    Ok(Answer::created(webhook.json(&world.settings.account_sid, &sid, &url)))
}

pub(super) fn list(world: &World, call: &Call, key: &str) -> Reply {
    PAGING.read(&call.query)?;
    let conversation = find(world, call, key)?;
    let row = |webhook: &ScopedWebhook| {
        let url = format!("{}/{}", call.url(), webhook.sid);
        Row::at(webhook.born, webhook.json(&world.settings.account_sid, &conversation.sid, &url))
    };
    page(call, "webhooks", AT_MOST, AT_MOST, conversation.webhooks.iter().map(row).collect())
}

pub(super) fn fetch(world: &World, call: &Call, key: &str, sid: &str) -> Reply {
    NONE.read(&call.query)?;
    let conversation = find(world, call, key)?;
    let webhook =
        conversation.webhooks.iter().find(|webhook| webhook.sid == sid).ok_or_else(|| call.not_found())?;
    Ok(Answer::ok(webhook.json(&world.settings.account_sid, &conversation.sid, &call.url())))
}

/// Deletes a webhook. The second of two callers gets 404, which the park pattern uses as its lock.
pub(super) fn delete(world: &mut World, call: &Call, key: &str, sid: &str) -> Reply {
    let sid_of_conversation = find(world, call, key)?.sid.clone();
    let conversation = world.conversations.get_mut(&sid_of_conversation).ok_or_else(|| call.not_found())?;
    let before = conversation.webhooks.len();
    conversation.webhooks.retain(|webhook| webhook.sid != sid);
    if conversation.webhooks.len() == before { Err(call.not_found()) } else { Ok(Answer::deleted()) }
}

#[cfg(test)]
mod tests {
    use crate::testing::{HOOK, Sim, code, text};

    #[test]
    fn a_conversation_has_five_webhooks_at_most() {
        let sim = Sim::new();
        let path = format!("/v1/Conversations/{}/Webhooks", sim.conversation());
        let hook = [
            ("Target", "webhook"),
            ("Configuration.Url", HOOK),
            ("Configuration.Filters", "onMessageAdded"),
            ("Configuration.Filters", "onParticipantAdded"),
        ];
        let made: Vec<_> = (0..5).map(|_| sim.post(&path, &hook)).collect();
        assert!(made.iter().all(|(status, _)| *status == 201));
        assert_eq!(code(&sim.post(&path, &hook)), 50361);
        let first = format!("{path}/{}", text(&made[0].1["sid"]));
        let filters = serde_json::json!(["onMessageAdded", "onParticipantAdded"]);
        assert_eq!(sim.get(&first).1["configuration"]["filters"], filters);
        assert_eq!(sim.get(&first).1["configuration"]["method"], "get");
        assert_eq!(sim.get(&path).1["webhooks"].as_array().map(Vec::len), Some(5));
        assert_eq!([sim.delete(&first), sim.delete(&first)], [204, 404]);
    }

    #[test]
    fn a_webhook_needs_a_url_and_events_that_exist() {
        let sim = Sim::new();
        let path = format!("/v1/Conversations/{}/Webhooks", sim.conversation());
        let refused = |more: &[(&str, &str)]| {
            let form: Vec<_> = std::iter::once(&("Target", "webhook")).chain(more).copied().collect();
            code(&sim.post(&path, &form))
        };
        let (url, filter) = (("Configuration.Url", HOOK), ("Configuration.Filters", "onMessageAdded"));
        assert_eq!(refused(&[url]), 50365);
        assert_eq!(refused(&[url, ("Configuration.Filters", "onConversationAdded")]), 50370);
        assert_eq!(refused(&[filter]), 20001);
        assert_eq!(refused(&[url, filter, ("Configuration.Method", "POST")]), 20001, "small letters");
        let long = format!("https://example.com/{}", "x".repeat(500));
        assert_eq!(refused(&[filter, ("Configuration.Url", &long)]), 50372);
        assert_eq!(code(&sim.post(&path, &[("Target", "studio")])), 20001);
        let flow = format!("FW{:032x}", 1);
        assert_eq!(sim.post(&path, &[("Target", "studio"), ("Configuration.FlowSid", &flow)]).0, 201);
    }
}
