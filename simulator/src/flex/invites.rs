//! Invites: each opens a task through which an agent may come. Attributes of earlier tasks are not carried
//! over.

use serde_json::{Value, json};

use crate::answer::{Answer, Refusal, Reply};
use crate::call::Call;
use crate::conversations::ConversationState;
use crate::flex::asked::{RoutingAsked, invalid};
use crate::flex::channels::{self, ChannelStatus};
use crate::flex::interactions::routing_properties;
use crate::flex::task_attributes;
use crate::page::{Row, page};
use crate::parameters::{PAGING, Published};
use crate::taskrouter::tasks::{self, NewTask};
use crate::world::World;

/// An invite.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invite {
    /// `KG…`
    pub sid: String,
    /// `WT…`, the task it opened.
    pub task_sid: String,
    /// What was asked for.
    pub(crate) routing: RoutingAsked,
}

const CREATE: Published = Published { required: &["Routing"], optional: &[], repeated: &[] };

impl Invite {
    fn json(&self, world: &World, kd: &str, uo: &str) -> Value {
        json!({
            "sid": self.sid,
            "interaction_sid": kd,
            "channel_sid": uo,
            "routing": { "reservation": null, "properties": routing_properties(world, &self.task_sid) },
            "url": format!(
                "https://flex-api.twilio.com/v1/Interactions/{kd}/Channels/{uo}/Invites/{}",
                self.sid
            ),
        })
    }
}

/// Opens a task for the Interaction.
pub(crate) fn open(world: &mut World, interaction_sid: &str, routing: RoutingAsked) -> Option<Invite> {
    let sid = world.sids.draw("KG");
    let interaction = world.interactions.get(interaction_sid)?;
    let is_first = interaction.channel.invites.is_empty();
    let attributes = task_attributes::merged(interaction, &sid, routing.attributes.clone());
    let task = NewTask {
        attributes,
        workflow_sid: routing.workflow_sid.clone(),
        queue_sid: routing.queue_sid.clone(),
        task_channel: routing.task_channel.clone(),
        priority: routing.priority,
        timeout_s: routing.timeout_s,
        routing_target: routing.worker_sid.clone(),
        interaction_sid: interaction_sid.to_owned(),
        by_invite: !is_first,
    };
    let invite = Invite { sid, task_sid: tasks::open(world, task), routing };
    world.interactions.get_mut(interaction_sid)?.channel.invites.push(invite.clone());
    Some(invite)
}

/// Invites somebody to a channel that stands, or that rests and stands again by it. Refused with 45367 if it
/// does neither, or if its conversation is over.
pub(crate) fn invite(
    world: &mut World,
    interaction_sid: &str,
    routing: RoutingAsked,
) -> Result<Invite, Refusal> {
    let missing = || Refusal::not_found(&format!("/v1/Interactions/{interaction_sid}"));
    let channel = &world.interactions.get(interaction_sid).ok_or_else(missing)?.channel;
    if !matches!(channel.status, ChannelStatus::Active | ChannelStatus::Inactive) {
        return Err(invalid(format!("Channel {} is {}", channel.sid, channel.status.as_str())));
    }
    let conversation_sid = &channel.conversation_sid;
    let open_conversation = world
        .conversations
        .get(conversation_sid)
        .is_some_and(|conversation| conversation.state != ConversationState::Closed);
    if !open_conversation {
        return Err(invalid(format!("Conversation {conversation_sid} is closed or was not found")));
    }
    let invite = open(world, interaction_sid, routing).ok_or_else(missing)?;
    let now = world.now;
    if let Some(interaction) = world.interactions.get_mut(interaction_sid) {
        interaction.channel.status = ChannelStatus::Active;
        interaction.channel.touched_ms = now;
    }
    Ok(invite)
}

pub(super) fn create(world: &mut World, call: &Call, kd: &str, uo: &str) -> Reply {
    let parameters = CREATE.read(&call.form)?;
    // `Routing` is required, so the table above proved that it is there.
    let routing = RoutingAsked::read(world, parameters.text("Routing").unwrap_or_default(), false)?;
    channels::find(world, call, kd, uo)?;
    let invite = invite(world, kd, routing)?;
    Ok(Answer::ok(invite.json(world, kd, uo)))
}

pub(super) fn list(world: &World, call: &Call, kd: &str, uo: &str) -> Reply {
    PAGING.read(&call.query)?;
    let channel = &channels::find(world, call, kd, uo)?.channel;
    let rows = channel.invites.iter().map(|invite| invite.json(world, kd, uo));
    page(call, "invites", 50, 1000, Row::numbered(rows))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::testing::{Sim, code, text};

    #[test]
    fn an_invite_opens_a_task_without_the_attributes_of_the_first() {
        let sim = Sim::new();
        let engaged = sim.engaged();
        let fallback = sim.twilio.settings().fallback_workflow_sid;
        let routing = sim.routing(&json!({ "workflow_sid": fallback, "attributes": { "again": true } }));
        let (status, body) = sim.post(&format!("{}/Invites", engaged.channel), &[("Routing", &routing)]);
        assert_eq!(status, 200);
        let task = sim.twilio.task(&text(&body["routing"]["properties"]["sid"])).expect("open");
        assert_ne!(task.sid, engaged.task);
        assert_eq!((&task.workflow_sid, &task.attributes["again"]), (&fallback, &json!(true)));
        assert_eq!(task.attributes["conversationSid"], engaged.conversation.as_str());
        assert_eq!(task.attributes["flexChannelInviteSid"], body["sid"]);
        assert!(!task.attributes.contains_key("team"));
        let (_, list) = sim.get(&format!("{}/Invites", engaged.channel));
        assert_eq!(list["invites"].as_array().map(Vec::len), Some(2));
    }

    #[test]
    fn a_parked_channel_takes_an_invite_and_a_closed_one_does_not() {
        let sim = Sim::new();
        let engaged = sim.engaged();
        sim.twilio.agent_accepts(&engaged.task, &sim.worker(0)).expect("accepted");
        sim.twilio.agent_parks(&engaged.task).expect("at work");
        let path = format!("{}/Invites", engaged.channel);
        let routing = sim.routing(&json!({}));
        assert_eq!(sim.post(&path, &[("Routing", &routing)]).0, 200);
        sim.post(&engaged.channel, &[("Status", "closed")]);
        assert_eq!(code(&sim.post(&path, &[("Routing", &routing)])), 45367);
    }

    #[test]
    fn a_declined_invite_of_one_worker_leaves_the_conversation_without_an_agent() {
        let sim = Sim::new();
        let engaged = sim.engaged();
        sim.twilio.agent_accepts(&engaged.task, &sim.worker(0)).expect("accepted");
        sim.twilio.agent_parks(&engaged.task).expect("at work");
        let routing = sim.routing(&json!({ "worker_sid": sim.worker(0) }));
        let (_, body) = sim.post(&format!("{}/Invites", engaged.channel), &[("Routing", &routing)]);
        let task = text(&body["routing"]["properties"]["sid"]);
        assert!(sim.twilio.agent_accepts(&task, &sim.worker(1)).is_err());
        sim.twilio.agent_rejects(&task, &sim.worker(0)).expect("offered");
        assert_eq!((sim.task_status(&task), sim.state(&engaged.conversation)), ("canceled", "active"));
        assert_eq!(sim.twilio.participants(&engaged.conversation).len(), 1);
    }

    #[test]
    fn an_invite_with_a_queue_and_a_worker_is_for_that_worker_alone() {
        let sim = Sim::new();
        let engaged = sim.engaged();
        let queue = sim.twilio.settings().queue_sid;
        let routing = sim.routing(&json!({ "queue_sid": queue, "worker_sid": sim.worker(1) }));
        let (status, body) = sim.post(&format!("{}/Invites", engaged.channel), &[("Routing", &routing)]);
        let properties = &body["routing"]["properties"];
        assert_eq!(
            (status, &properties["queue_sid"], &properties["routing_target"]),
            (200, &json!(queue), &json!(sim.worker(1)))
        );
        let task = text(&properties["sid"]);
        for refused in [
            sim.twilio.task_is_offered(&task, &sim.worker(0)),
            sim.twilio.agent_accepts(&task, &sim.worker(0)),
            sim.twilio.agent_rejects(&task, &sim.worker(0)),
        ] {
            assert!(refused.is_err_and(|refusal| refusal.message.contains("is for another worker")));
        }
        assert_eq!(sim.task_status(&task), "pending");
        sim.twilio.agent_accepts(&task, &sim.worker(1)).expect("invited");
        let (_, list) = sim.get(&format!("{}/Participants", engaged.channel));
        let routing = &list["participants"][1]["routing_properties"];
        assert_eq!((&routing["task_sid"], &routing["worker_sid"]), (&json!(task), &json!(sim.worker(1))));
    }
}
