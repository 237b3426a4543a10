//! The JSON parameters `Channel` and `Routing`, checked field by field.

use serde_json::{Map, Value};

use crate::answer::Refusal;
use crate::sids::is_sid;
use crate::world::World;

/// The kinds of media that a channel may carry.
const KINDS: [&str; 7] = ["sms", "whatsapp", "web", "chat", "email", "messenger", "gbm"];
/// How long a task lives if nobody says: a day.
const TIMEOUT_S: u64 = 86_400;
/// How long a task may live: two weeks.
const TIMEOUT_AT_MOST_S: u64 = 1_209_600;

/// Who begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InitiatedBy {
    /// The customer wrote first: an inbound task.
    Customer,
    /// An agent writes first: an outbound task, pinned to them.
    Agent,
    /// A program begins: an inbound task.
    Api,
}

impl InitiatedBy {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Customer => "customer",
            Self::Agent => "agent",
            Self::Api => "api",
        }
    }
}

/// Somebody who is to take part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Invitee {
    /// Reached from one of our addresses.
    Addresses { address: String, proxy_address: String },
    /// A chat user.
    Identity(String),
}

/// The parameter `Channel`.
#[derive(Debug, Clone)]
pub(crate) struct ChannelAsked {
    pub(crate) kind: String,
    pub(crate) initiated_by: InitiatedBy,
    pub(crate) media_channel_sid: Option<String>,
    pub(crate) participants: Vec<Invitee>,
}

/// The parameter `Routing`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RoutingAsked {
    pub(crate) workflow_sid: String,
    pub(crate) queue_sid: String,
    pub(crate) worker_sid: Option<String>,
    pub(crate) task_channel: String,
    pub(crate) attributes: Map<String, Value>,
    pub(crate) priority: i64,
    pub(crate) timeout_s: u64,
}

/// 400 with the code of a parameter that Flex does not accept.
pub(crate) fn invalid(message: impl Into<String>) -> Refusal {
    Refusal::new(400, 45367, message)
}

/// A JSON object of which the known fields are known, and nothing else is in it.
struct Object<'a> {
    /// Where it stands, for messages: `Channel.properties`.
    place: &'a str,
    fields: &'a Map<String, Value>,
}

impl<'a> Object<'a> {
    fn new(place: &'a str, value: &'a Value, known: &[&str]) -> Result<Self, Refusal> {
        let fields = value.as_object().ok_or_else(|| invalid(format!("{place} is not a JSON object")))?;
        match fields.keys().find(|key| !known.contains(&key.as_str())) {
            Some(key) => Err(invalid(format!("{place}.{key} is unknown"))),
            None => Ok(Self { place, fields }),
        }
    }

    fn text(&self, name: &str) -> Result<Option<&'a str>, Refusal> {
        match self.fields.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(invalid(format!("{}.{name} is not a string", self.place))),
        }
    }

    fn required(&self, name: &str) -> Result<&'a str, Refusal> {
        self.text(name)?.ok_or_else(|| self.missing(name))
    }

    fn missing(&self, name: &str) -> Refusal {
        invalid(format!("{}.{name} is missing", self.place))
    }

    /// A sid that must be one of those the account has.
    fn known_sid<'s>(
        &self,
        name: &str,
        known: impl IntoIterator<Item = &'s str>,
    ) -> Result<Option<String>, Refusal> {
        match self.text(name)? {
            Some(sid) if !known.into_iter().any(|known| known == sid) => {
                Err(invalid(format!("{}.{name} {sid} does not exist", self.place)))
            }
            found => Ok(found.map(str::to_owned)),
        }
    }
}

fn parse(name: &str, text: &str) -> Result<Value, Refusal> {
    serde_json::from_str(text).map_err(|_| invalid(format!("{name} is not valid JSON")))
}

impl ChannelAsked {
    pub(crate) fn read(text: &str) -> Result<Self, Refusal> {
        let value = parse("Channel", text)?;
        let known = ["type", "sid", "initiated_by", "properties", "participants"];
        let channel = Object::new("Channel", &value, &known)?;
        if channel.text("sid")?.is_some() {
            return Err(invalid("Channel.sid: an existing channel is not simulated"));
        }
        let kind = channel.required("type")?;
        if !KINDS.contains(&kind) {
            return Err(invalid(format!("Channel.type is not one of {}", KINDS.join(", "))));
        }
        let initiated_by = match channel.required("initiated_by")? {
            "customer" => InitiatedBy::Customer,
            "agent" => InitiatedBy::Agent,
            "api" => InitiatedBy::Api,
            _ => return Err(invalid("Channel.initiated_by is not one of customer, agent, api")),
        };
        let media_channel_sid = media_channel_sid(&channel)?;
        let participants = match channel.fields.get("participants") {
            None => Vec::new(),
            Some(Value::Array(all)) => all.iter().map(Invitee::read).collect::<Result<_, _>>()?,
            Some(_) => return Err(invalid("Channel.participants is not an array")),
        };
        match initiated_by {
            InitiatedBy::Customer if media_channel_sid.is_none() => {
                return Err(invalid("Channel.properties.media_channel_sid is missing"));
            }
            InitiatedBy::Agent | InitiatedBy::Api
                if media_channel_sid.is_none() && participants.is_empty() =>
            {
                return Err(channel.missing("participants"));
            }
            _ => {}
        }
        Ok(Self { kind: kind.to_owned(), initiated_by, media_channel_sid, participants })
    }
}

fn media_channel_sid(channel: &Object<'_>) -> Result<Option<String>, Refusal> {
    let Some(properties) = channel.fields.get("properties") else { return Ok(None) };
    let known = ["media_channel_sid", "type", "from", "from_name"];
    let properties = Object::new("Channel.properties", properties, &known)?;
    for name in ["type", "from", "from_name"] {
        properties.text(name)?;
    }
    match properties.text("media_channel_sid")? {
        Some(sid) if !is_sid("CH", sid) => {
            Err(invalid("Channel.properties.media_channel_sid is not a conversation's sid"))
        }
        found => Ok(found.map(str::to_owned)),
    }
}

impl Invitee {
    fn read(value: &Value) -> Result<Self, Refusal> {
        let known = ["address", "proxy_address", "identity", "level", "name", "type"];
        let participant = Object::new("Channel.participants[]", value, &known)?;
        if let Some(identity) = participant.text("identity")? {
            return Ok(Self::Identity(identity.to_owned()));
        }
        Ok(Self::Addresses {
            address: participant.required("address")?.to_owned(),
            proxy_address: participant.required("proxy_address")?.to_owned(),
        })
    }
}

impl RoutingAsked {
    /// Reads the parameter. An agent's Interaction must name the worker and a queue.
    pub(crate) fn read(world: &World, text: &str, by_agent: bool) -> Result<Self, Refusal> {
        let settings = &world.settings;
        let value = parse("Routing", text)?;
        let routing = Object::new("Routing", &value, &["properties"])?;
        let properties = routing.fields.get("properties").ok_or_else(|| routing.missing("properties"))?;
        let known = [
            "workspace_sid",
            "workflow_sid",
            "queue_sid",
            "worker_sid",
            "task_channel_sid",
            "task_channel_unique_name",
            "attributes",
            "priority",
            "timeout",
        ];
        let properties = Object::new("Routing.properties", properties, &known)?;
        properties
            .known_sid("workspace_sid", [settings.workspace_sid.as_str()])?
            .ok_or_else(|| properties.missing("workspace_sid"))?;
        // There are two workflows, and only a single one need not be named.
        let workflow_sid = properties
            .known_sid("workflow_sid", [settings.workflow_sid.as_str(), &settings.fallback_workflow_sid])?
            .ok_or_else(|| properties.missing("workflow_sid"))?;
        let queue_sid = properties.known_sid("queue_sid", [settings.queue_sid.as_str()])?;
        let workers = settings.workers.iter().map(|worker| worker.sid.as_str());
        let worker_sid = properties.known_sid("worker_sid", workers)?;
        if by_agent && queue_sid.is_none() {
            return Err(properties.missing("queue_sid"));
        }
        if by_agent && worker_sid.is_none() {
            return Err(properties.missing("worker_sid"));
        }
        Ok(Self {
            workflow_sid,
            queue_sid: queue_sid.unwrap_or_else(|| settings.queue_sid.clone()),
            worker_sid,
            task_channel: task_channel(world, &properties)?,
            attributes: attributes(&properties)?,
            priority: properties
                .fields
                .get("priority")
                .map_or(Some(0), Value::as_i64)
                .ok_or_else(|| invalid("Routing.properties.priority is not a whole number"))?,
            timeout_s: properties
                .fields
                .get("timeout")
                .map_or(Some(TIMEOUT_S), Value::as_u64)
                .filter(|seconds| (1..=TIMEOUT_AT_MOST_S).contains(seconds))
                .ok_or_else(|| {
                    invalid(format!("Routing.properties.timeout is not 1 to {TIMEOUT_AT_MOST_S} seconds"))
                })?,
        })
    }
}

/// The unique name of the task channel, which may be named by its sid too.
fn task_channel(world: &World, properties: &Object<'_>) -> Result<String, Refusal> {
    let channels = || world.settings.task_channels.iter();
    let by_sid = properties.known_sid("task_channel_sid", channels().map(|channel| channel.sid.as_str()))?;
    let by_name = properties
        .known_sid("task_channel_unique_name", channels().map(|channel| channel.unique_name.as_str()))?;
    let found = channels().find(|channel| {
        by_sid.as_ref() == Some(&channel.sid) || by_name.as_ref() == Some(&channel.unique_name)
    });
    found
        .map(|channel| channel.unique_name.clone())
        .ok_or_else(|| properties.missing("task_channel_unique_name"))
}

fn attributes(properties: &Object<'_>) -> Result<Map<String, Value>, Refusal> {
    match properties.fields.get("attributes") {
        None => Ok(Map::new()),
        Some(Value::Object(attributes)) => Ok(attributes.clone()),
        Some(_) => Err(invalid("Routing.properties.attributes is not a JSON object")),
    }
}

/// The parameter `Routing` of an update of a channel: `{"status":"closed"}` completes the tasks.
pub(crate) fn closes_routing(text: Option<&str>) -> Result<bool, Refusal> {
    let Some(text) = text else { return Ok(false) };
    let value = parse("Routing", text)?;
    let routing = Object::new("Routing", &value, &["status"])?;
    match routing.required("status")? {
        "closed" => Ok(true),
        _ => Err(invalid("Routing.status is not closed")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::testing::{CUSTOMER, OURS, Sim, code, text};

    /// The message of the refusal of an Interaction.
    fn refusal(sim: &Sim, channel: &serde_json::Value, routing: &str) -> String {
        let answered =
            sim.post("/v1/Interactions", &[("Channel", &channel.to_string()), ("Routing", routing)]);
        assert_eq!((answered.0, code(&answered)), (400, 45367), "{answered:?}");
        assert!(sim.twilio.interactions().is_empty() && sim.twilio.tasks().is_empty());
        text(&answered.1["message"])
    }

    #[test]
    fn a_wrong_field_of_the_channel_is_named() {
        let sim = Sim::new();
        let sid = sim.conversation();
        let routing = sim.routing(&json!({}));
        let media = json!({ "media_channel_sid": sid });
        let cases = [
            (json!({ "initiated_by": "customer", "properties": media }), "Channel.type is missing"),
            (json!({ "type": "fax", "initiated_by": "customer" }), "Channel.type is not one of"),
            (json!({ "type": "sms", "properties": media }), "Channel.initiated_by is missing"),
            (json!({ "type": "sms", "initiatedBy": "customer" }), "Channel.initiatedBy is unknown"),
            (json!({ "type": "sms", "initiated_by": "system" }), "Channel.initiated_by is not one of"),
            (json!({ "type": "sms", "initiated_by": "customer" }), "media_channel_sid is missing"),
            (
                json!({ "type": "sms", "initiated_by": "customer", "properties": { "sid": sid } }),
                "Channel.properties.sid is unknown",
            ),
            (
                json!({ "type": "sms", "initiated_by": "customer", "properties": { "media_channel_sid": "UO1" } }),
                "media_channel_sid is not a conversation's sid",
            ),
            (json!({ "type": "sms", "initiated_by": "api" }), "Channel.participants is missing"),
            (
                json!({ "type": "sms", "initiated_by": "api", "participants": [{ "address": CUSTOMER }] }),
                "Channel.participants[].proxy_address is missing",
            ),
        ];
        for (channel, expected) in cases {
            let message = refusal(&sim, &channel, &routing);
            assert!(message.contains(expected), "{channel}: {message}");
        }
    }

    #[test]
    fn a_wrong_field_of_the_routing_is_named() {
        let sim = Sim::new();
        let channel = json!({
            "type": "sms", "initiated_by": "customer", "properties": { "media_channel_sid": sim.conversation() },
        });
        let cases = [
            (json!({ "workspace_sid": format!("WS{:032x}", 9) }), "workspace_sid WS"),
            (json!({ "workflow_sid": format!("WW{:032x}", 9) }), "workflow_sid WW"),
            (json!({ "task_channel_unique_name": "telex" }), "task_channel_unique_name telex does not exist"),
            (json!({ "worker_sid": "WK1" }), "worker_sid WK1 does not exist"),
            (json!({ "attributes": "{}" }), "attributes is not a JSON object"),
            (json!({ "priority": "high" }), "priority is not a whole number"),
            (json!({ "timeout": 1_209_601 }), "timeout is not 1 to 1209600 seconds"),
            (json!({ "queue": "x" }), "Routing.properties.queue is unknown"),
        ];
        for (more, expected) in cases {
            let message = refusal(&sim, &channel, &sim.routing(&more));
            assert!(message.contains(expected), "{more}: {message}");
        }
        assert!(refusal(&sim, &channel, "{}").contains("Routing.properties is missing"));
        assert!(refusal(&sim, &channel, "nothing").contains("Routing is not valid JSON"));
    }

    #[test]
    fn an_agent_must_be_named_with_a_queue() {
        let sim = Sim::new();
        let channel = json!({
            "type": "sms", "initiated_by": "agent", "participants": [{ "address": CUSTOMER, "proxy_address": OURS }],
        });
        let queue = json!({ "queue_sid": sim.twilio.settings().queue_sid });
        assert!(refusal(&sim, &channel, &sim.routing(&json!({}))).contains("queue_sid is missing"));
        assert!(refusal(&sim, &channel, &sim.routing(&queue)).contains("worker_sid is missing"));
    }
}
