//! Whether anybody serves a customer: decided from the record and from what Twilio says at that moment.
//!
//! [`judge`] is handed what is known so far and either names the next question to ask or gives its
//! [`Finding`]. So the whole decision is pure, and no question is asked whose answer does not matter: of a
//! conversation that an agent is in, Twilio is asked four things, of an orphan everything.

use std::collections::BTreeMap;

use super::{Conversation, Interaction, Stage, TaskEnd, Terminal};
use crate::{clock::Timestamp, sid::TaskSid};

/// What Twilio has said so far.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Picture {
    /// Whether the conversation is over: closed, or gone.
    pub over: Option<bool>,
    /// The channel of the Interaction that the record knows.
    pub channel: Option<Channel>,
    /// The agents in that channel, each with the task through which they came, where Twilio names it.
    pub agents: Option<Vec<Option<TaskSid>>>,
    /// Tasks that were looked at.
    pub tasks: BTreeMap<TaskSid, SeenTask>,
    /// Whether TaskRouter was asked for all tasks that name the conversation.
    pub asked_for_tasks: bool,
    /// Another living Interaction on the conversation, as its tasks tell.
    pub other: Option<Interaction>,
    /// The tasks of the channel's invites.
    pub invited: Option<Vec<TaskSid>>,
    /// The ends of tasks that are gone, as TaskRouter's event log tells; `None` where it says nothing.
    pub ends: BTreeMap<TaskSid, Option<TaskEnd>>,
    /// The highest number of a re-invite of ours that a task carried.
    pub reinvites: u32,
}

/// What Twilio says of a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel {
    /// Being set up.
    SettingUp,
    /// It stands.
    Active,
    /// Asleep, paused or being handed over: somebody's doing.
    Resting,
    /// It never came up, with this error code.
    Failed(Option<u32>),
    /// Over.
    Closed,
    /// Not there (any more): channels are deleted after 180 days without activity.
    Gone,
}

/// What Twilio says of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SeenTask {
    /// Waiting, offered, accepted or being wrapped up.
    Live,
    /// Ended, and not yet forgotten.
    Ended(TaskEnd),
    /// Twilio does not know it (any more): a task is forgotten five minutes after its end.
    Gone,
}

/// The next thing to ask Twilio.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// The conversation's state.
    Conversation,
    /// The status of the record's channel.
    Channel,
    /// Who is in that channel.
    Agents,
    /// How one task stands.
    Task(TaskSid),
    /// Every task that names the conversation.
    Tasks,
    /// The channel's invites.
    Invites,
    /// How a task that is gone ended.
    EndOf(TaskSid),
}

/// How it stands.
#[derive(Clone, Debug, PartialEq)]
pub enum Finding {
    /// The conversation is over.
    Over,
    /// Neither the record nor Twilio knows of an Interaction.
    Unopened,
    /// The Interaction is still being set up.
    SettingUp,
    /// The Interaction never came up, with this error code.
    Failed(Option<u32>),
    /// Twilio has an Interaction on the conversation that the record does not know.
    Other(Interaction),
    /// An agent is in it.
    Served,
    /// A task waits for an agent.
    Waiting,
    /// Nobody is in it, and somebody wanted it so: parked, paused, left.
    Resting,
    /// The channel is closed and the conversation is not: closing stopped half-way.
    HalfClosed,
    /// Nobody is in it, nobody is on the way, and nobody wanted it so. The last task ended like this.
    Orphaned(TaskEnd),
}

/// Either.
#[derive(Clone, Debug, PartialEq)]
pub enum Judgement {
    /// More must be known.
    Ask(Question),
    /// This is how it stands.
    Is(Finding),
}

/// The most invites of one channel that are looked at: those that Twilio lists last. A conversation has one
/// or two.
const MOST_INVITES: usize = 10;

/// Whether anybody serves the customer of `record`.
#[must_use]
pub fn judge(record: &Conversation, picture: &Picture, now: Timestamp) -> Judgement {
    use Judgement::{Ask, Is};
    match picture.over {
        None => return Ask(Question::Conversation),
        Some(true) => return Is(Finding::Over),
        Some(false) => {}
    }
    let Some(interaction) = &record.interaction else {
        if !picture.asked_for_tasks {
            return Ask(Question::Tasks);
        }
        return Is(picture.other.clone().map_or(Finding::Unopened, Finding::Other));
    };
    let channel = match picture.channel {
        None => return Ask(Question::Channel),
        Some(Channel::SettingUp) => return Is(Finding::SettingUp),
        Some(Channel::Resting) => return Is(Finding::Resting),
        Some(Channel::Closed) => return Is(Finding::HalfClosed),
        // It may have failed because the conversation has another.
        Some(Channel::Failed(_)) if !picture.asked_for_tasks => return Ask(Question::Tasks),
        Some(Channel::Failed(code)) => {
            return Is(picture.other.clone().map_or(Finding::Failed(code), Finding::Other));
        }
        Some(channel) => channel,
    };
    if channel == Channel::Active {
        // It stands: that is all that is asked of an Interaction whose set-up is checked.
        if matches!(record.stage, Stage::SettingUp) && record.last_end.is_none() {
            return Is(Finding::Waiting);
        }
        let Some(agents) = &picture.agents else { return Ask(Question::Agents) };
        for agent in agents {
            // One whose task is gone cannot answer any more: the task was taken away from them.
            let Some(task) = agent else { return Is(Finding::Served) };
            match picture.tasks.get(task) {
                None => return Ask(Question::Task(task.clone())),
                Some(SeenTask::Live) => return Is(Finding::Served),
                Some(SeenTask::Ended(_) | SeenTask::Gone) => {}
            }
        }
    }
    // The newest task first: it needs no query, and answers most often.
    if let Some(task) = &interaction.task
        && !picture.tasks.contains_key(task)
    {
        return Ask(Question::Task(task.clone()));
    }
    let lives = || picture.tasks.values().any(|task| *task == SeenTask::Live);
    if lives() {
        return Is(Finding::Waiting);
    }
    if !picture.asked_for_tasks {
        return Ask(Question::Tasks);
    }
    if channel == Channel::Active {
        let Some(invited) = &picture.invited else { return Ask(Question::Invites) };
        let newest = invited.iter().rev().take(MOST_INVITES);
        if let Some(task) = newest.into_iter().find(|task| !picture.tasks.contains_key(task)) {
            return Ask(Question::Task(task.clone()));
        }
    } else if let Some(other) = &picture.other {
        return Is(Finding::Other(other.clone()));
    }
    let recorded = record.last_end.as_ref().and_then(|end| end.task.as_ref());
    let untold = picture.tasks.iter().find(|(task, seen)| {
        **seen == SeenTask::Gone && recorded != Some(task) && !picture.ends.contains_key(*task)
    });
    match untold {
        Some((task, _)) => Ask(Question::EndOf(task.clone())),
        None => Is(unattended(record, picture, now)),
    }
}

/// Nobody is there. Whether that is as it should be, the last task's end tells: an agent who completes a
/// task and leaves the conversation open has parked it or left it on purpose.
fn unattended(record: &Conversation, picture: &Picture, now: Timestamp) -> Finding {
    let newest = record.interaction.as_ref().and_then(|interaction| interaction.task.as_ref());
    // TaskRouter knows nothing of the newest task any more: what was done about older ones decides nothing.
    let untold = newest.is_some_and(|task| {
        let is_its_own = |end: &TaskEnd| !end.handled || end.task.as_ref() == Some(task);
        !record.last_end.as_ref().is_some_and(is_its_own) && picture.ends.get(task) == Some(&None)
    });
    match last_end(record, picture).filter(|_| !untold) {
        Some(end) if end.event.is_none() => Finding::Resting,
        Some(end) => Finding::Orphaned(end),
        // An agent who has been there may have wanted it so.
        None if record.served => Finding::Resting,
        None => {
            let event = Some(Terminal::TaskCanceled);
            Finding::Orphaned(TaskEnd { task: newest.cloned(), event, at: now, handled: false })
        }
    }
}

/// The end of the task that ended last. Of two at the same moment the one that nobody wanted.
fn last_end(record: &Conversation, picture: &Picture) -> Option<TaskEnd> {
    let seen = picture.tasks.values().filter_map(|task| match task {
        SeenTask::Ended(end) => Some(end),
        SeenTask::Live | SeenTask::Gone => None,
    });
    let told = picture.ends.values().flatten();
    let recorded = record.last_end.iter();
    // What is recorded of a task counts before what is seen of it: an event says more than a status.
    let all = recorded.clone().chain(
        seen.chain(told)
            .filter(|end| record.last_end.as_ref().is_none_or(|recorded| recorded.task != end.task)),
    );
    all.max_by_key(|end| (end.at, end.event.is_some())).cloned()
}
