//! The set-up of an Interaction's channel, which happens after the request was answered.

use crate::conversations::ConversationState;
use crate::conversations::participants::{self as conversation_participants, Binding};
use crate::flex::asked::{InitiatedBy, Invitee};
use crate::flex::channels::{self, ChannelError, ChannelStatus};
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
        .is_some_and(|found| found.state != ConversationState::Closed && !found.elsewhere)
}

/// The channel that the conversation already has. Of two that are being set up, the older one counts.
fn mapped(world: &World, sid: &str) -> Option<String> {
    let this = world.interactions.get(sid)?;
    world
        .interactions
        .values()
        .filter(|other| other.born < this.born && other.channel.is_mapped_to(&this.channel.conversation_sid))
        .filter(|other| world.settings.deleted_channel_holds || !channels::is_deleted(world, other))
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::testing::{CUSTOMER, OURS, Sim, text};
    use crate::{ChannelStatus, Fault, Matcher, Misbehaviour, ParticipantKind, Reason, Times};

    /// Status and error of the latest Interaction's channel, and the status of its task.
    fn outcome(sim: &Sim) -> (ChannelStatus, u32, &'static str) {
        sim.clock.advance(200);
        let interaction = sim.twilio.interactions().pop().expect("an Interaction");
        let code = interaction.channel.error.map_or(0, |error| error.code);
        (interaction.channel.status, code, sim.task_status(&interaction.task_sid))
    }

    fn outbound(sim: &Sim, properties: &serde_json::Value) -> String {
        let channel = json!({
            "type": "sms",
            "initiated_by": "agent",
            "properties": properties,
            "participants": [{ "address": CUSTOMER, "proxy_address": OURS }],
        });
        let more = json!({ "queue_sid": sim.twilio.settings().queue_sid, "worker_sid": sim.worker(0) });
        let form = [("Channel", channel.to_string()), ("Routing", sim.routing(&more))];
        let (status, body) =
            sim.post("/v1/Interactions", &form.each_ref().map(|(name, value)| (*name, value.as_str())));
        assert_eq!(status, 200);
        sim.clock.advance(200);
        text(&body["sid"])
    }

    #[test]
    fn a_set_up_that_fails_cancels_the_task() {
        let sim = Sim::new();
        let sid = sim.twilio.customer_writes(CUSTOMER, OURS, "hello").conversation_sid;
        let what = Misbehaviour::FailSetUp { code: 45381 };
        sim.twilio.misbehave(Fault { on: Matcher::Any, times: Times::Next(1), what });
        assert_eq!(sim.interact(&sid).0, 200);
        assert_eq!(outcome(&sim), (ChannelStatus::Failed, 45381, "canceled"));
        assert_eq!(sim.events().last().map(String::as_str), Some("task.canceled"));
        sim.interact(&sid);
        assert_eq!(outcome(&sim), (ChannelStatus::Active, 0, "pending"));
    }

    #[test]
    fn a_conversation_that_is_closed_or_missing_fails_the_set_up() {
        let sim = Sim::new();
        let sid = sim.twilio.customer_writes(CUSTOMER, OURS, "hello").conversation_sid;
        sim.interact(&sid);
        sim.twilio.close_conversation(&sid, Reason::Api).expect("open");
        assert_eq!(outcome(&sim), (ChannelStatus::Failed, 45376, "canceled"));
        assert_eq!(sim.interact(&format!("CH{:032x}", 1)).0, 200);
        assert_eq!(outcome(&sim), (ChannelStatus::Failed, 45376, "canceled"));
    }

    #[test]
    fn a_conversation_without_a_customer_fails_the_set_up() {
        let sim = Sim::new();
        sim.interact(&sim.conversation());
        assert_eq!(outcome(&sim), (ChannelStatus::Failed, 45357, "canceled"));
    }

    #[test]
    fn a_second_channel_on_one_conversation_is_accepted_and_then_dropped() {
        let sim = Sim::new();
        let sid = sim.twilio.customer_writes(CUSTOMER, OURS, "hello").conversation_sid;
        let (first, second) = (sim.interact(&sid), sim.interact(&sid));
        assert_eq!((first.0, second.0), (200, 200));
        assert_ne!(first.1["sid"], second.1["sid"]);
        assert_eq!(outcome(&sim), (ChannelStatus::Failed, 45353, "gone"));
        assert_eq!(sim.twilio.interactions_on(&sid)[0].channel.status, ChannelStatus::Active);
        assert_eq!(sim.twilio.tasks().len(), 1);
        let warnings = sim.twilio.warnings();
        assert_eq!((warnings.len(), warnings[0].code), (1, 45353));
        assert!(warnings[0].message.contains(&text(&first.1["channel"]["sid"])));
    }

    #[test]
    fn without_that_guard_a_conversation_has_two_tasks() {
        let sim = Sim::with(|settings| settings.duplicate_guard = false);
        let sid = sim.twilio.customer_writes(CUSTOMER, OURS, "hello").conversation_sid;
        sim.interact(&sid);
        sim.interact(&sid);
        assert_eq!(outcome(&sim).0, ChannelStatus::Active);
        assert_eq!(sim.twilio.tasks().len(), 2);
    }

    #[test]
    fn an_agent_who_begins_has_the_task_and_is_in_the_conversation() {
        let sim = Sim::new();
        let sid = outbound(&sim, &json!({ "type": "sms" }));
        let interaction = sim.twilio.interaction(&sid).expect("made");
        let conversation = sim.twilio.conversation(&interaction.channel.conversation_sid).expect("made");
        assert!(conversation.bound(CUSTOMER, OURS).is_some());
        assert!(conversation.identity(&sim.twilio.settings().workers[0].identity).is_some());
        let kinds: Vec<_> = interaction.channel.participants.iter().map(|found| found.kind).collect();
        assert_eq!(kinds, [ParticipantKind::Customer, ParticipantKind::Agent]);
        let task = sim.twilio.task(&interaction.task_sid).expect("open");
        assert_eq!((task.status.as_str(), &task.attributes["direction"]), ("assigned", &json!("outbound")));
        let channel = format!("/v1/Interactions/{sid}/Channels/{}", interaction.channel.sid);
        let (_, list) = sim.get(&format!("{channel}/Participants"));
        let routing = |number: usize| &list["participants"][number]["routing_properties"];
        assert_eq!((routing(0), &routing(1)["worker_sid"]), (&json!(null), &json!(sim.worker(0))));
    }

    #[test]
    fn an_agent_may_begin_on_a_conversation_that_is_there() {
        let sim = Sim::new();
        let sid = sim.conversation();
        assert_eq!(sim.bind(&sid, CUSTOMER, OURS), 0);
        let interaction = outbound(&sim, &json!({ "media_channel_sid": sid }));
        let interaction = sim.twilio.interaction(&interaction).expect("made");
        assert_eq!(
            (interaction.channel.conversation_sid, interaction.channel.status),
            (sid, ChannelStatus::Active)
        );
        assert!(sim.twilio.warnings().is_empty());
    }

    #[test]
    fn a_pair_that_is_taken_gives_the_agent_an_empty_conversation() {
        let sim = Sim::new();
        let taken = sim.twilio.customer_writes(CUSTOMER, OURS, "hello").conversation_sid;
        let interaction = outbound(&sim, &json!({}));
        let interaction = sim.twilio.interaction(&interaction).expect("made");
        assert_ne!(interaction.channel.conversation_sid, taken);
        let present = sim.twilio.participants(&interaction.channel.conversation_sid);
        assert!(present.iter().all(|participant| participant.binding.is_none()), "{present:?}");
        assert_eq!(sim.task_status(&interaction.task_sid), "assigned");
        assert_eq!(sim.twilio.warnings()[0].code, 80102);
    }

    #[test]
    fn a_program_may_begin_with_an_inbound_task() {
        let sim = Sim::new();
        let channel = json!({
            "type": "web", "initiated_by": "api", "participants": [{ "identity": "guest-1" }],
        });
        let form = [("Channel", &*channel.to_string()), ("Routing", &*sim.routing(&json!({})))];
        assert_eq!(sim.post("/v1/Interactions", &form).0, 200);
        assert_eq!(outcome(&sim), (ChannelStatus::Active, 0, "pending"));
        let conversation = sim.twilio.conversations().pop().expect("made");
        assert!(conversation.identity("guest-1").is_some());
    }
}
