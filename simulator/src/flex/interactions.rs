//! Interactions. A 200 only means that one was accepted: its channel is set up afterwards, and may fail.

use serde_json::{Value, json};

use crate::agenda::Effect;
use crate::answer::{Answer, Refusal, Reply};
use crate::call::Call;
use crate::conversations::resource::{self, Draft};
use crate::flex::asked::{ChannelAsked, InitiatedBy, Invitee, RoutingAsked, invalid};
use crate::flex::channels::{Channel, ChannelStatus};
use crate::flex::invites;
use crate::parameters::{NONE, Published};
use crate::sids::is_sid;
use crate::world::World;

/// An Interaction. It has one channel.
#[derive(Debug, Clone, PartialEq)]
pub struct Interaction {
    /// `KD…`
    pub sid: String,
    /// Who began.
    pub initiated_by: InitiatedBy,
    /// Its channel.
    pub channel: Channel,
    /// `WT…`, the task that the request opened.
    pub task_sid: String,
    /// What Interaction webhooks it names.
    pub webhook_ttid: Option<String>,
    /// `HQ…`
    pub context_sid: Option<String>,
    /// When it was accepted, in milliseconds since the epoch.
    pub created_ms: u64,
    /// Who is to be added when the channel is set up.
    pub(crate) invitees: Vec<Invitee>,
    /// The code with which the set-up is to fail.
    pub(crate) doomed: Option<u32>,
    pub(crate) born: u64,
}

const CREATE: Published = Published {
    required: &["Channel"],
    optional: &["Routing", "InteractionContextSid", "WebhookTtid"],
    repeated: &[],
};
const UPDATE: Published = Published { required: &[], optional: &["WebhookTtid"], repeated: &[] };

impl Interaction {
    fn json(&self, world: &World) -> Value {
        let base = if world.settings.odd_interaction_urls {
            "//https://flex-api.twilio.com//v1"
        } else {
            "https://flex-api.twilio.com/v1"
        };
        let url = format!("{base}/Interactions/{}", self.sid);
        json!({
            "sid": self.sid,
            "channel": { "type": self.channel.kind, "sid": self.channel.sid },
            "interaction_context_sid": self.context_sid,
            "webhook_ttid": self.webhook_ttid,
            "routing": { "reservation": null, "properties": routing_properties(world, &self.task_sid) },
            "url": url,
            "links": { "channels": format!("{url}/Channels") },
        })
    }
}

/// A task as Flex shows it. `attributes` is JSON in a string, although a request gives an object.
pub(crate) fn routing_properties(world: &World, task_sid: &str) -> Value {
    let Some(task) = world.tasks.get(task_sid) else { return json!({ "sid": task_sid }) };
    let settings = &world.settings;
    json!({
        "sid": task.sid,
        "assignment_status": task.status.as_str(),
        "attributes": task.attributes_json(),
        "workspace_sid": settings.workspace_sid,
        "workflow_sid": task.workflow_sid,
        "workflow_name": "Assign to Anyone",
        "queue_sid": task.queue_sid,
        "queue_name": "Everyone",
        "task_channel_sid": task.task_channel_sid(settings),
        "task_channel_unique_name": task.task_channel,
        "routing_target": task.routing_target,
        "priority": task.priority,
        "assignmentCounter": 0,
        "age": task.age_s(world.now),
        "age_in_queue": task.age_s(world.now),
        "timeout": task.timeout_s,
        "reason": task.reason,
        "addons": "{}",
        "account_sid": settings.account_sid,
        "date_created": task.created_ms / 1000,
        "date_updated": task.updated_ms / 1000,
        "task_queue_entered_date": task.created_ms / 1000,
    })
}

pub(super) fn create(world: &mut World, call: &Call) -> Reply {
    let parameters = CREATE.read(&call.form)?;
    let context_sid = parameters.sid("InteractionContextSid", "HQ")?;
    // `Channel` is required, so the table above proved that it is there.
    let asked = ChannelAsked::read(parameters.text("Channel").unwrap_or_default())?;
    let routing = parameters.text("Routing").ok_or_else(|| invalid("Routing is missing"))?;
    let routing = RoutingAsked::read(world, routing, asked.initiated_by == InitiatedBy::Agent)?;

    let sid = world.sids.draw("KD");
    let conversation_sid = match asked.media_channel_sid {
        Some(given) => given,
        None => resource::open(world, Draft::default()),
    };
    let interaction = Interaction {
        sid: sid.clone(),
        initiated_by: asked.initiated_by,
        channel: Channel {
            sid: world.sids.draw("UO"),
            kind: asked.kind,
            conversation_sid,
            status: ChannelStatus::Setup,
            error: None,
            participants: Vec::new(),
            invites: Vec::new(),
            transfers: Vec::new(),
            touched_ms: world.now,
        },
        task_sid: String::new(),
        webhook_ttid: parameters.owned("WebhookTtid"),
        context_sid,
        created_ms: world.now,
        invitees: asked.participants,
        doomed: world.faults.on_set_up(),
        born: world.birth(),
    };
    world.interactions.insert(sid.clone(), interaction);
    let invite = invites::open(world, &sid, routing).ok_or_else(|| call.not_found())?;
    if let Some(interaction) = world.interactions.get_mut(&sid) {
        interaction.task_sid = invite.task_sid;
    }
    world.plan_in(world.settings.set_up_ms, Effect::SetUp(sid.clone()));
    answer(world, call, &sid)
}

pub(super) fn fetch(world: &World, call: &Call, sid: &str) -> Reply {
    NONE.read(&call.query)?;
    answer(world, call, sid)
}

pub(super) fn update(world: &mut World, call: &Call, sid: &str) -> Reply {
    let parameters = UPDATE.read(&call.form)?;
    let interaction = find_mut(world, call, sid)?;
    interaction.webhook_ttid = parameters.owned("WebhookTtid").or(interaction.webhook_ttid.take());
    answer(world, call, sid)
}

fn answer(world: &World, call: &Call, sid: &str) -> Reply {
    find(world, call, sid).map(|interaction| Answer::ok(interaction.json(world)))
}

pub(super) fn find<'w>(world: &'w World, call: &Call, sid: &str) -> Result<&'w Interaction, Refusal> {
    if !is_sid("KD", sid) {
        return Err(call.not_found());
    }
    world.interactions.get(sid).ok_or_else(|| call.not_found())
}

fn find_mut<'w>(world: &'w mut World, call: &Call, sid: &str) -> Result<&'w mut Interaction, Refusal> {
    world.interactions.get_mut(sid).ok_or_else(|| call.not_found())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::testing::{CUSTOMER, OURS, Sim, code, text};

    #[test]
    fn a_200_only_means_that_the_interaction_was_accepted() {
        let sim = Sim::new();
        let sid = sim.twilio.customer_writes(CUSTOMER, OURS, "hello").conversation_sid;
        let (status, body) = sim.interact(&sid);
        assert_eq!(status, 200);
        let properties = &body["routing"]["properties"];
        assert_eq!(
            (&properties["assignment_status"], &body["routing"]["reservation"]),
            (&json!("pending"), &json!(null))
        );
        assert_eq!(
            (&properties["date_created"], &properties["timeout"]),
            (&json!(1_767_323_045), &json!(86400))
        );
        assert_eq!(
            text(&body["url"]),
            format!("//https://flex-api.twilio.com//v1/Interactions/{}", text(&body["sid"]))
        );
        let channel =
            format!("/v1/Interactions/{}/Channels/{}", text(&body["sid"]), text(&body["channel"]["sid"]));
        assert_eq!(sim.get(&channel).1["status"], "setup");
        sim.clock.advance(200);
        assert_eq!(sim.get(&channel).1["status"], "active");
        assert_eq!(
            sim.get(&format!("/flex-api/v1/Interactions/{}", text(&body["sid"]))).1["sid"],
            body["sid"]
        );
    }

    #[test]
    fn the_task_carries_flexs_attributes_and_the_callers_as_a_json_string() {
        let sim = Sim::new();
        let sid = sim.twilio.customer_writes(CUSTOMER, OURS, "hello").conversation_sid;
        let channel =
            json!({ "type": "sms", "initiated_by": "customer", "properties": { "media_channel_sid": sid } });
        let routing = sim.routing(&json!({ "attributes": {
            "team": "blue", "customerAddress": CUSTOMER, "customerName": "Ada", "conversationSid": "forged",
            "conversations": { "case": "7" },
        } }));
        let (_, body) =
            sim.post("/v1/Interactions", &[("Channel", &channel.to_string()), ("Routing", &routing)]);
        let attributes = text(&body["routing"]["properties"]["attributes"]);
        let attributes: serde_json::Value = serde_json::from_str(&attributes).expect("JSON");
        let expected = json!({
            "team": "blue",
            "customerAddress": CUSTOMER,
            "customerName": "Ada",
            "customers": { "phone": CUSTOMER, "name": "Ada", "email": null },
            "conversationSid": sid,
            "channelType": "sms",
            "direction": "inbound",
            "initiatedBy": "customer",
            "flexInteractionSid": body["sid"],
            "flexInteractionChannelSid": body["channel"]["sid"],
            "flexChannelInviteSid": attributes["flexChannelInviteSid"],
            "conversations": {
                "case": "7",
                "initiated_by": "Customer",
                "communication_channel": "Sms",
                "conversation_id": body["sid"],
                "media": [{ "type": "ChatTranscript", "sid": sid }],
                "direction": "Inbound",
            },
        });
        assert_eq!(attributes, expected);
    }

    #[test]
    fn there_is_no_list_and_a_stranger_is_404() {
        let sim = Sim::new();
        assert_eq!(code(&sim.get("/v1/Interactions")), 20404);
        assert_eq!(code(&sim.get(&format!("/v1/Interactions/KD{:032x}", 1))), 20404);
    }

    #[test]
    fn a_misspelt_parameter_is_named() {
        let sim = Sim::new();
        let refused = sim.post("/v1/Interactions", &[("channel", "{}")]);
        assert_eq!(refused.1["message"], "Unknown parameter channel");
        assert_eq!(sim.post("/v1/Interactions", &[]).1["message"], "Missing required parameter Channel");
    }
}
