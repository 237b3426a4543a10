//! Interaction channels: `setup`, then `active` or `failed`, at last `closed`.

use serde_json::{Value, json};

use crate::answer::{Answer, Refusal, Reply};
use crate::call::Call;
use crate::conversations::{ConversationState, Reason, state};
use crate::dates::DAY_MS;
use crate::flex::asked::{closes_routing, invalid};
use crate::flex::interactions::{self, Interaction};
use crate::flex::invites::Invite;
use crate::flex::participants::{self, Participant};
use crate::flex::transfers::{self, Transfer};
use crate::page::{Row, page};
use crate::parameters::{NONE, PAGING, Published};
use crate::taskrouter::tasks::{self, TaskStatus};
use crate::world::World;

/// After so many days without a change Twilio deletes a channel, whatever its state.
const DELETED_AFTER_DAYS: u64 = 180;

/// The channel of an Interaction.
#[derive(Debug, Clone, PartialEq)]
pub struct Channel {
    /// `UO…`
    pub sid: String,
    /// `sms`, `whatsapp`, `web` …
    pub kind: String,
    /// `CH…`, the conversation that carries it.
    pub conversation_sid: String,
    /// Where it stands.
    pub status: ChannelStatus,
    /// Why it failed.
    pub error: Option<ChannelError>,
    /// Who takes part now; those who left are gone.
    pub participants: Vec<Participant>,
    /// Every invite there was, the first with the Interaction.
    pub invites: Vec<Invite>,
    /// Every transfer there was.
    pub transfers: Vec<Transfer>,
    /// When it was last changed, in milliseconds since the epoch.
    pub touched_ms: u64,
}

/// Why a channel failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelError {
    /// The code, as in <https://www.twilio.com/docs/api/errors>.
    pub code: u32,
    /// What happened, in words.
    pub message: String,
}

/// Where a channel stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChannelStatus {
    /// It is being made.
    Setup,
    /// It stands.
    Active,
    /// It could not be made.
    Failed,
    /// It rests without an agent and without a task.
    Inactive,
    /// It is over.
    Closed,
}

impl ChannelStatus {
    /// The name the API gives it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Setup => "setup",
            Self::Active => "active",
            Self::Failed => "failed",
            Self::Inactive => "inactive",
            Self::Closed => "closed",
        }
    }
}

const UPDATE: Published = Published { required: &["Status"], optional: &["Routing"], repeated: &[] };

impl Channel {
    /// Whether the conversation is taken by this channel.
    pub(crate) fn is_mapped_to(&self, conversation_sid: &str) -> bool {
        self.conversation_sid == conversation_sid
            && !matches!(self.status, ChannelStatus::Failed | ChannelStatus::Closed)
    }

    fn json(&self, interaction_sid: &str) -> Value {
        let url =
            format!("https://flex-api.twilio.com/v1/Interactions/{interaction_sid}/Channels/{}", self.sid);
        json!({
            "sid": self.sid,
            "interaction_sid": interaction_sid,
            "type": self.kind,
            "status": self.status.as_str(),
            "error_code": self.error.as_ref().map(|error| error.code),
            "error_message": self.error.as_ref().map(|error| error.message.clone()),
            "url": url,
            "links": {
                "participants": format!("{url}/Participants"),
                "invites": format!("{url}/Invites"),
                "transfers": format!("{url}/Transfers"),
            },
        })
    }
}

/// The Interaction whose channel a path names, unless Twilio deleted the channel by now.
pub(super) fn find<'w>(
    world: &'w World,
    call: &Call,
    sid: &str,
    channel_sid: &str,
) -> Result<&'w Interaction, Refusal> {
    let interaction = interactions::find(world, call, sid)?;
    if interaction.channel.sid != channel_sid || is_deleted(world, interaction) {
        return Err(call.not_found());
    }
    Ok(interaction)
}

/// The same, for a change of it: the 180 days begin again.
pub(super) fn find_mut<'w>(
    world: &'w mut World,
    call: &Call,
    sid: &str,
    channel_sid: &str,
) -> Result<&'w mut Channel, Refusal> {
    find(world, call, sid, channel_sid)?;
    let now = world.now;
    let interaction = world.interactions.get_mut(sid).ok_or_else(|| call.not_found())?;
    interaction.channel.touched_ms = now;
    Ok(&mut interaction.channel)
}

/// Whether Twilio deleted the channel by now.
pub(crate) fn is_deleted(world: &World, interaction: &Interaction) -> bool {
    world.now.saturating_sub(interaction.channel.touched_ms) > DELETED_AFTER_DAYS * DAY_MS
}

pub(super) fn list(world: &World, call: &Call, sid: &str) -> Reply {
    PAGING.read(&call.query)?;
    let interaction = interactions::find(world, call, sid)?;
    let channel = (!is_deleted(world, interaction)).then(|| interaction.channel.json(sid));
    page(call, "channels", 50, 1000, Row::numbered(channel))
}

pub(super) fn fetch(world: &World, call: &Call, sid: &str, channel_sid: &str) -> Reply {
    NONE.read(&call.query)?;
    find(world, call, sid, channel_sid).map(|interaction| Answer::ok(interaction.channel.json(sid)))
}

pub(super) fn update(world: &mut World, call: &Call, sid: &str, channel_sid: &str) -> Reply {
    let parameters = UPDATE.read(&call.form)?;
    let to = parameters.one_of("Status", &["closed", "inactive"])?;
    let completes = closes_routing(parameters.text("Routing"))?;
    let channel = find_mut(world, call, sid, channel_sid)?;
    if matches!(channel.status, ChannelStatus::Closed | ChannelStatus::Failed) {
        let message = format!("Channel {channel_sid} is already {}", channel.status.as_str());
        return Err(Refusal::new(400, 80906, message));
    }
    if to == Some("inactive") {
        if !completes {
            return Err(invalid(r#"Routing must be {"status":"closed"} when Status is inactive"#));
        }
        rest(world, sid);
    } else {
        close(world, sid, if completes { TasksEnd::Completed } else { TasksEnd::Wrapping });
    }
    fetch_after(world, call, sid)
}

fn fetch_after(world: &World, call: &Call, sid: &str) -> Reply {
    interactions::find(world, call, sid).map(|interaction| Answer::ok(interaction.channel.json(sid)))
}

/// What becomes of the tasks that agents work on when their channel is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TasksEnd {
    /// Agents still write their notes.
    Wrapping,
    /// They are over.
    Completed,
}

/// Closes the channel and its conversation. Tasks that no agent has accepted are canceled.
pub(crate) fn close(world: &mut World, sid: &str, end: TasksEnd) {
    let Some(conversation_sid) = leave(world, sid, ChannelStatus::Closed, end) else { return };
    state::change(world, &conversation_sid, ConversationState::Closed, Reason::Api, false);
}

/// Lets the channel rest: agents leave, tasks are completed, the conversation becomes inactive.
fn rest(world: &mut World, sid: &str) {
    let Some(conversation_sid) = leave(world, sid, ChannelStatus::Inactive, TasksEnd::Completed) else {
        return;
    };
    state::change(world, &conversation_sid, ConversationState::Inactive, Reason::Api, false);
}

fn leave(world: &mut World, sid: &str, to: ChannelStatus, end: TasksEnd) -> Option<String> {
    let now = world.now;
    let channel = &mut world.interactions.get_mut(sid)?.channel;
    channel.status = to;
    channel.touched_ms = now;
    let conversation_sid = channel.conversation_sid.clone();
    let tasks: Vec<String> = channel.invites.iter().map(|invite| invite.task_sid.clone()).collect();
    for task_sid in tasks {
        participants::remove_agent(world, &task_sid);
        match world.tasks.get(&task_sid).map(|task| task.status) {
            Some(TaskStatus::Pending | TaskStatus::Reserved) => {
                transfers::task_withdrawn(world, &task_sid);
                tasks::cancel(world, &task_sid, "Interaction channel closed");
            }
            Some(TaskStatus::Assigned) if end == TasksEnd::Wrapping => tasks::wrap(world, &task_sid),
            Some(TaskStatus::Assigned | TaskStatus::Wrapping) if end == TasksEnd::Completed => {
                tasks::complete(world, &task_sid, "Interaction channel closed");
            }
            _ => {}
        }
    }
    Some(conversation_sid)
}

/// A conversation that was closed takes its channel with it.
pub(crate) fn conversation_closed(world: &mut World, conversation_sid: &str) {
    let open: Vec<String> = world
        .interactions
        .values()
        .filter(|interaction| {
            interaction.channel.is_mapped_to(conversation_sid)
                && interaction.channel.status != ChannelStatus::Setup
        })
        .map(|interaction| interaction.sid.clone())
        .collect();
    for sid in open {
        leave(world, &sid, ChannelStatus::Closed, TasksEnd::Wrapping);
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{Sim, code};

    const CLOSED: [(&str, &str); 1] = [("Status", "closed")];
    const DONE: (&str, &str) = ("Routing", r#"{"status":"closed"}"#);

    #[test]
    fn closing_a_channel_closes_the_conversation_and_leaves_the_task_wrapping() {
        let sim = Sim::new();
        let engaged = sim.engaged();
        sim.twilio.agent_accepts(&engaged.task, &sim.worker(0)).expect("accepted");
        let (status, body) = sim.post(&engaged.channel, &CLOSED);
        assert_eq!((status, &body["status"]), (200, &"closed".into()));
        assert_eq!(
            (sim.state(&engaged.conversation), sim.task_status(&engaged.task)),
            ("closed", "wrapping")
        );
        assert_eq!(sim.twilio.participants(&engaged.conversation).len(), 1);
    }

    #[test]
    fn closing_the_routing_too_completes_the_task() {
        let sim = Sim::new();
        let engaged = sim.engaged();
        sim.twilio.agent_accepts(&engaged.task, &sim.worker(0)).expect("accepted");
        assert_eq!(sim.post(&engaged.channel, &[CLOSED[0], DONE]).0, 200);
        assert_eq!(sim.task_status(&engaged.task), "completed");
    }

    #[test]
    fn closing_a_channel_cancels_a_task_that_nobody_accepted() {
        let sim = Sim::new();
        let engaged = sim.engaged();
        assert_eq!(sim.post(&engaged.channel, &CLOSED).0, 200);
        assert_eq!(sim.task_status(&engaged.task), "canceled");
        assert_eq!(sim.events(), ["task.canceled"]);
    }

    #[test]
    fn a_closed_channel_cannot_be_closed_again() {
        let sim = Sim::new();
        let engaged = sim.engaged();
        sim.post(&engaged.channel, &CLOSED);
        assert_eq!(code(&sim.post(&engaged.channel, &CLOSED)), 80906);
    }

    #[test]
    fn a_channel_rests_without_agent_and_task() {
        let sim = Sim::new();
        let engaged = sim.engaged();
        sim.twilio.agent_accepts(&engaged.task, &sim.worker(0)).expect("accepted");
        assert_eq!(code(&sim.post(&engaged.channel, &[("Status", "inactive")])), 45367);
        assert_eq!(sim.post(&engaged.channel, &[("Status", "inactive"), DONE]).1["status"], "inactive");
        assert_eq!(
            (sim.state(&engaged.conversation), sim.task_status(&engaged.task)),
            ("inactive", "completed")
        );
    }

    #[test]
    fn a_status_that_is_none_and_a_routing_that_is_none_are_refused() {
        let sim = Sim::new();
        let engaged = sim.engaged();
        assert_eq!(code(&sim.post(&engaged.channel, &[("Status", "paused")])), 20001);
        assert_eq!(
            code(&sim.post(&engaged.channel, &[CLOSED[0], ("Routing", r#"{"status":"open"}"#)])),
            45367
        );
        assert_eq!(code(&sim.post(&engaged.channel, &[])), 20001);
        assert_eq!(sim.get(&engaged.channel).1["status"], "active");
    }

    #[test]
    fn a_conversation_that_was_closed_takes_its_channel_with_it() {
        for ends in [true, false] {
            let sim = Sim::with(|settings| settings.closing_ends_channel = ends);
            let engaged = sim.engaged();
            sim.twilio.agent_accepts(&engaged.task, &sim.worker(0)).expect("accepted");
            sim.twilio.close_conversation(&engaged.conversation, crate::Reason::Timer).expect("open");
            let expected = if ends { ("closed", "wrapping") } else { ("active", "assigned") };
            let status = sim.twilio.interactions()[0].channel.status.as_str();
            assert_eq!((status, sim.task_status(&engaged.task)), expected);
        }
    }

    #[test]
    fn a_channel_is_deleted_after_180_days_without_a_change() {
        let sim = Sim::with(|settings| settings.task_removal_ms = u64::MAX);
        let engaged = sim.engaged();
        sim.clock.advance(180 * super::DAY_MS - 200);
        assert_eq!(sim.get(&engaged.channel).0, 200);
        sim.clock.advance(201);
        assert_eq!(sim.get(&engaged.channel).0, 404);
        assert_eq!(sim.post(&format!("{}/Invites", engaged.channel), &[("Routing", "{}")]).0, 400);
        let routing = sim.routing(&serde_json::json!({}));
        assert_eq!(sim.post(&format!("{}/Invites", engaged.channel), &[("Routing", &routing)]).0, 404);
        assert_eq!(sim.state(&engaged.conversation), "active");
    }
}
