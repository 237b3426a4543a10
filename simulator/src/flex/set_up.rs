//! The set-up of an Interaction's channel, which happens after the request was answered.

use crate::conversations::ConversationState;
use crate::conversations::participants::{self as conversation_participants, Binding};
use crate::flex::asked::{InitiatedBy, Invitee};
use crate::flex::channels::{ChannelError, ChannelStatus};
use crate::flex::participants::{Participant, ParticipantKind};
use crate::taskrouter::{reservations, tasks};
use crate::world::World;

/// Sets the channel of the Interaction up, unless it was closed meanwhile.
pub(crate) fn run(world: &mut World, sid: &str) {
    let Some(interaction) = world.interactions.get(sid) else { return };
    if interaction.channel.status != ChannelStatus::Setup {
        return;
    }
    let conversation_sid = interaction.channel.conversation_sid.clone();
    if let Some(code) = interaction.doomed {
        return fail(world, sid, code, "Failed to activate channel".to_owned());
    }
    if !is_open(world, &conversation_sid) {
        let message = format!("Conversation {conversation_sid} is closed or was not found");
        return fail(world, sid, 45376, message);
    }
    if let Some(mapped) = mapped(world, sid).filter(|_| world.settings.duplicate_guard) {
        let message = format!(
            "A duplicate create Channel request was dropped. The Conversation sid {conversation_sid} \
             already has a mapped Channel sid {mapped}"
        );
        return drop_duplicate(world, sid, message);
    }
    let interaction_by = interaction_by(world, sid);
    let others = world
        .conversations
        .get(&conversation_sid)
        .is_some_and(|conversation| !conversation.participants.is_empty());
    if interaction_by == Some(InitiatedBy::Customer) && !others {
        let message = format!("Could not retrieve the participants of Conversation {conversation_sid}");
        return fail(world, sid, 45357, message);
    }
    add_invitees(world, sid, &conversation_sid);
    activate(world, sid, &conversation_sid);
    if interaction_by == Some(InitiatedBy::Agent) {
        connect_agent(world, sid);
    }
}

fn interaction_by(world: &World, sid: &str) -> Option<InitiatedBy> {
    world.interactions.get(sid).map(|interaction| interaction.initiated_by)
}

fn is_open(world: &World, conversation_sid: &str) -> bool {
    world
        .conversations
        .get(conversation_sid)
        .is_some_and(|conversation| conversation.state != ConversationState::Closed)
}

/// The channel that the conversation already has. Of two that are being set up, the older one counts.
fn mapped(world: &World, sid: &str) -> Option<String> {
    let this = world.interactions.get(sid)?;
    world
        .interactions
        .values()
        .filter(|other| other.born < this.born && other.channel.is_mapped_to(&this.channel.conversation_sid))
        .map(|other| other.channel.sid.clone())
        .next()
}

/// The channel becomes `failed` and its task is canceled.
fn fail(world: &mut World, sid: &str, code: u32, message: String) {
    world.warn(code, message.clone());
    let Some(interaction) = world.interactions.get_mut(sid) else { return };
    interaction.channel.status = ChannelStatus::Failed;
    interaction.channel.error = Some(ChannelError { code, message });
    let task_sid = interaction.task_sid.clone();
    tasks::cancel(world, &task_sid, "Interaction channel could not be set up");
}

/// Flex drops a second channel itself: there is a warning, and the task does not stay.
fn drop_duplicate(world: &mut World, sid: &str, message: String) {
    fail(world, sid, 45353, message);
    if let Some(interaction) = world.interactions.get(sid) {
        let task_sid = interaction.task_sid.clone();
        world.tasks.remove(&task_sid);
    }
}

/// Adds those whom the request named. A pair of addresses that is in another conversation is left out in
/// silence: the agent gets a task with an empty conversation.
fn add_invitees(world: &mut World, sid: &str, conversation_sid: &str) {
    let Some(interaction) = world.interactions.get_mut(sid) else { return };
    for invitee in std::mem::take(&mut interaction.invitees) {
        match invitee {
            Invitee::Identity(identity) => {
                let present = world
                    .conversations
                    .get(conversation_sid)
                    .is_some_and(|conversation| conversation.identity(&identity).is_some());
                if !present {
                    conversation_participants::add(world, conversation_sid, Some(identity), None, None);
                }
            }
            Invitee::Addresses { address, proxy_address } => {
                match conversation_participants::holder(world, &address, &proxy_address) {
                    None => {
                        let binding = Binding::new(&address, &proxy_address);
                        conversation_participants::add(world, conversation_sid, None, Some(binding), None);
                    }
                    Some(holder) if holder == conversation_sid => {}
                    Some(holder) => world.warn(
                        80102,
                        format!("A participant is already in an interaction, in Conversation {holder}"),
                    ),
                }
            }
        }
    }
}

fn activate(world: &mut World, sid: &str, conversation_sid: &str) {
    let count = world.conversations.get(conversation_sid).map_or(0, |found| found.participants.len());
    let customers: Vec<Participant> = (0..count)
        .map(|_| Participant {
            sid: world.sids.draw("UT"),
            kind: ParticipantKind::Customer,
            worker_sid: None,
            task_sid: None,
            reservation_sid: None,
        })
        .collect();
    if let Some(interaction) = world.interactions.get_mut(sid) {
        interaction.channel.status = ChannelStatus::Active;
        interaction.channel.participants.extend(customers);
    }
}

/// The agent who began an outbound Interaction takes its task without being asked.
fn connect_agent(world: &mut World, sid: &str) {
    let Some(task_sid) = world.interactions.get(sid).map(|interaction| interaction.task_sid.clone()) else {
        return;
    };
    if let Some(worker_sid) = world.tasks.get(&task_sid).and_then(|task| task.routing_target.clone()) {
        // The worker was checked when the request was read, and the task was made by it.
        let _accepted = reservations::accept(world, &task_sid, &worker_sid);
    }
}
