//! Invites: each opens a task through which an agent may come. Attributes of earlier tasks are not carried
//! over.

use serde_json::{Value, json};

use crate::answer::{Answer, Reply, page};
use crate::call::Call;
use crate::conversations::ConversationState;
use crate::flex::asked::{RoutingAsked, invalid};
use crate::flex::channels::{self, ChannelStatus};
use crate::flex::interactions::routing_properties;
use crate::flex::task_attributes;
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
    let attributes = task_attributes::merged(interaction, &sid, routing.attributes);
    let task = NewTask {
        attributes,
        workflow_sid: routing.workflow_sid,
        queue_sid: routing.queue_sid,
        task_channel: routing.task_channel,
        priority: routing.priority,
        timeout_s: routing.timeout_s,
        routing_target: routing.worker_sid,
        interaction_sid: interaction_sid.to_owned(),
        by_invite: !is_first,
    };
    let invite = Invite { sid, task_sid: tasks::open(world, task) };
    world.interactions.get_mut(interaction_sid)?.channel.invites.push(invite.clone());
    Some(invite)
}

pub(super) fn create(world: &mut World, call: &Call, kd: &str, uo: &str) -> Reply {
    let parameters = CREATE.read(&call.form)?;
    // `Routing` is required, so the table above proved that it is there.
    let routing = RoutingAsked::read(world, parameters.text("Routing").unwrap_or_default(), false)?;
    let channel = channels::find_mut(world, call, kd, uo)?;
    if !matches!(channel.status, ChannelStatus::Active | ChannelStatus::Inactive) {
        return Err(invalid(format!("Channel {uo} is {}", channel.status.as_str())));
    }
    let conversation_sid = channel.conversation_sid.clone();
    let open_conversation = world
        .conversations
        .get(&conversation_sid)
        .is_some_and(|conversation| conversation.state != ConversationState::Closed);
    if !open_conversation {
        return Err(invalid(format!("Conversation {conversation_sid} is closed or was not found")));
    }
    let invite = open(world, kd, routing).ok_or_else(|| call.not_found())?;
    channels::find_mut(world, call, kd, uo)?.status = ChannelStatus::Active;
    Ok(Answer::ok(invite.json(world, kd, uo)))
}

pub(super) fn list(world: &World, call: &Call, kd: &str, uo: &str) -> Reply {
    PAGING.read(&call.query)?;
    let channel = &channels::find(world, call, kd, uo)?.channel;
    let rows = channel.invites.iter().map(|invite| invite.json(world, kd, uo)).collect();
    page(call, "invites", 50, 1000, rows)
}
