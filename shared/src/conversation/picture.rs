//! Whether anybody serves a customer: decided from the record and from what Twilio says at that moment.
//!
//! [`judge`] is handed what is known so far and either names the next question to ask or gives its
//! [`Finding`]. So the whole decision is pure, and no question is asked whose answer does not matter: of a
//! conversation that an agent is in, Twilio is asked four things, of an orphan everything.

use std::collections::BTreeMap;

use super::{Conversation, Interaction, Stage, TaskEnd, Terminal};
use crate::{clock::Timestamp, safeguard::Safeguard, sid::TaskSid};

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
    /// Whether Twilio does not show the channel's invites.
    pub hides_invites: bool,
    /// Whether TaskRouter's event log was asked for them instead.
    pub asked_for_created: bool,
    /// The ends of tasks that are gone, as TaskRouter's event log tells; `None` where it says nothing.
    pub ends: BTreeMap<TaskSid, Option<TaskEnd>>,
    /// Whether the customer has written, where that was asked.
    pub customer_wrote: Option<bool>,
    /// The highest number of a re-invite of ours that a task carried.
    pub reinvites: u32,
}

impl Picture {
    /// Whether a customer waits for anything: everybody does but one to whom an agent wrote first, and who has
    /// not answered.
    #[must_use]
    pub fn somebody_waits(&self) -> bool {
        self.customer_wrote != Some(false)
    }
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
    /// The tasks that were created since the last end that is known.
    Created,
    /// How a task that is gone ended.
    EndOf(TaskSid),
    /// Whether the customer has written.
    Messages,
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
    let judgement = whether_anybody_is_there(record, picture, now);
    // What is done about it then depends on whether there is anybody to be served.
    let forlorn =
        matches!(judgement, Judgement::Is(Finding::Orphaned(_) | Finding::Failed(_) | Finding::SettingUp));
    if forlorn && record.is_one_sided() && picture.customer_wrote.is_none() {
        return Judgement::Ask(Question::Messages);
    }
    judgement
}

fn whether_anybody_is_there(record: &Conversation, picture: &Picture, now: Timestamp) -> Judgement {
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
        // It may have failed because the conversation has another, or been followed by one.
        Some(Channel::Failed(_) | Channel::Closed) if !picture.asked_for_tasks => {
            return Ask(Question::Tasks);
        }
        Some(Channel::Failed(code)) => {
            return Is(picture.other.clone().map_or(Finding::Failed(code), Finding::Other));
        }
        Some(Channel::Closed) => {
            return Is(picture.other.clone().map_or(Finding::HalfClosed, Finding::Other));
        }
        Some(channel) => channel,
    };
    if channel == Channel::Active {
        // It stands: that is all that is asked of an Interaction whose set-up is checked.
        if matches!(record.stage, Stage::SettingUp) && record.last_end.is_none() {
            return Is(Finding::Waiting);
        }
        let nobody = Vec::new();
        let agents = picture.agents.as_ref().or((!Safeguard::LookForAgents.is_on()).then_some(&nobody));
        let Some(agents) = agents else { return Ask(Question::Agents) };
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
    let lives =
        || Safeguard::LookForTasks.is_on() && picture.tasks.values().any(|task| *task == SeenTask::Live);
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
    if let Some((task, _)) = untold {
        return Ask(Question::EndOf(task.clone()));
    }
    let finding = unattended(record, picture, now);
    // Somebody may have been invited since, of whom nobody told.
    if is_left_alone(&finding) && picture.hides_invites && !picture.asked_for_created {
        return Ask(Question::Created);
    }
    Is(finding)
}

/// Whether nobody looks after the customer any more.
fn is_left_alone(finding: &Finding) -> bool {
    match finding {
        Finding::Resting => true,
        Finding::Orphaned(end) => end.handled,
        _ => false,
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
    let recorded = record.last_end.as_ref().filter(|_| !untold);
    match last_end(recorded, picture) {
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

/// The end of the task that ended last. Of two in one second, more than which callbacks do not tell, the one
/// that nobody wanted, and that nothing was done about.
fn last_end(recorded: Option<&TaskEnd>, picture: &Picture) -> Option<TaskEnd> {
    let seen = picture.tasks.values().filter_map(|task| match task {
        SeenTask::Ended(end) => Some(end),
        SeenTask::Live | SeenTask::Gone => None,
    });
    let told = picture.ends.values().flatten();
    // What is recorded of a task counts before what is seen of it: an event says more than a status.
    let others = seen.chain(told).filter(|end| recorded.is_none_or(|recorded| recorded.task != end.task));
    others.chain(recorded).max_by_key(|end| (end.at.as_seconds(), end.event.is_some(), !end.handled)).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conversation::{ChannelType, Routing};

    fn task(last: u32) -> TaskSid {
        format!("WT{last:032x}").parse().unwrap()
    }

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_seconds(1_800_000_000 + seconds)
    }

    fn interaction(last: u32) -> Interaction {
        Interaction {
            sid: format!("KD{last:032x}").parse().unwrap(),
            channel: Some("UO00000000000000000000000000000001".parse().unwrap()),
            task: Some(task(1)),
            since: at(0),
        }
    }

    fn open() -> Conversation {
        let mut record = Conversation::new("CH00000000000000000000000000000001".parse().unwrap(), at(0));
        record.stage = Stage::Open;
        record.interaction = Some(interaction(1));
        record.routing = Some(Routing {
            channel_type: ChannelType::Sms,
            workflow: "WW00000000000000000000000000000001".parse().unwrap(),
            task_channel: "chat".to_owned(),
            priority: None,
            timeout: None,
            agent: None,
            attributes: crate::personal::Personal(serde_json::Map::new()),
        });
        record
    }

    fn end(last: u32, event: Option<Terminal>, seconds: u64) -> TaskEnd {
        TaskEnd { task: Some(task(last)), event, at: at(seconds), handled: false }
    }

    /// Everything was asked, nobody is there, and the newest task is gone.
    fn nobody() -> Picture {
        Picture {
            over: Some(false),
            channel: Some(Channel::Active),
            agents: Some(vec![]),
            tasks: BTreeMap::from([(task(1), SeenTask::Gone)]),
            asked_for_tasks: true,
            invited: Some(vec![task(1)]),
            ends: BTreeMap::from([(task(1), None)]),
            ..Picture::default()
        }
    }

    fn finding(record: &Conversation, picture: &Picture) -> Finding {
        match judge(record, picture, at(100)) {
            Judgement::Is(finding) => finding,
            Judgement::Ask(question) => panic!("{question:?}"),
        }
    }

    #[test]
    fn questions_come_in_order_and_stop_when_it_is_known() {
        let record = open();
        let mut picture = Picture::default();
        let mut asked = Vec::new();
        loop {
            match judge(&record, &picture, at(100)) {
                Judgement::Ask(question) => {
                    match &question {
                        Question::Conversation => picture.over = Some(false),
                        Question::Channel => picture.channel = Some(Channel::Active),
                        Question::Agents => picture.agents = Some(vec![]),
                        Question::Task(task) => drop(picture.tasks.insert(task.clone(), SeenTask::Gone)),
                        Question::Tasks => picture.asked_for_tasks = true,
                        Question::Invites => picture.invited = Some(vec![task(1), task(2)]),
                        Question::Created => picture.asked_for_created = true,
                        Question::EndOf(task) => drop(picture.ends.insert(task.clone(), None)),
                        Question::Messages => picture.customer_wrote = Some(true),
                    }
                    asked.push(question);
                }
                Judgement::Is(finding) => {
                    assert!(matches!(finding, Finding::Orphaned(_)), "{finding:?}");
                    break;
                }
            }
        }
        let expected = [
            Question::Conversation,
            Question::Channel,
            Question::Agents,
            Question::Task(task(1)),
            Question::Tasks,
            Question::Invites,
            Question::Task(task(2)),
            Question::EndOf(task(1)),
            Question::EndOf(task(2)),
        ];
        assert_eq!(asked, expected);
    }

    #[test]
    fn a_conversation_that_is_over_is_over_whatever_else() {
        let picture = Picture { over: Some(true), ..nobody() };
        assert_eq!(finding(&open(), &picture), Finding::Over);
    }

    #[test]
    fn a_channel_tells_by_its_status() {
        for (channel, expected) in [
            (Channel::SettingUp, Finding::SettingUp),
            (Channel::Resting, Finding::Resting),
            (Channel::Closed, Finding::HalfClosed),
            (Channel::Failed(Some(45381)), Finding::Failed(Some(45381))),
        ] {
            assert_eq!(finding(&open(), &Picture { channel: Some(channel), ..nobody() }), expected);
        }
    }

    #[test]
    fn a_channel_that_failed_or_was_closed_where_there_is_another_leads_to_the_other() {
        let other = Some(interaction(2));
        for channel in [Channel::Failed(Some(45353)), Channel::Closed] {
            let picture = Picture { channel: Some(channel), other: other.clone(), ..nobody() };
            assert_eq!(finding(&open(), &picture), Finding::Other(interaction(2)));
        }
        let record = Conversation { interaction: None, ..open() };
        assert_eq!(finding(&record, &Picture { other, ..nobody() }), Finding::Other(interaction(2)));
        assert_eq!(finding(&record, &nobody()), Finding::Unopened);
    }

    #[test]
    fn an_agent_counts_while_their_task_lives() {
        let with = |seen| Picture {
            agents: Some(vec![Some(task(7))]),
            tasks: BTreeMap::from([(task(7), seen), (task(1), SeenTask::Gone)]),
            ends: BTreeMap::from([(task(1), None), (task(7), Some(end(7, Some(Terminal::TaskDeleted), 9)))]),
            ..nobody()
        };
        assert_eq!(finding(&open(), &with(SeenTask::Live)), Finding::Served);
        let orphaned = Finding::Orphaned(end(7, Some(Terminal::TaskDeleted), 9));
        assert_eq!(finding(&open(), &with(SeenTask::Gone)), orphaned);
        let unnamed = Picture { agents: Some(vec![None]), ..nobody() };
        assert_eq!(finding(&open(), &unnamed), Finding::Served, "in doubt somebody is there");
    }

    #[test]
    fn nobody_is_left_alone_before_invites_that_are_not_shown_were_looked_for_in_the_log() {
        for (event, handled) in [(None, false), (Some(Terminal::TaskCanceled), true)] {
            let record = Conversation { last_end: Some(TaskEnd { handled, ..end(1, event, 5) }), ..open() };
            let mut picture = Picture { hides_invites: true, ..nobody() };
            assert_eq!(judge(&record, &picture, at(100)), Judgement::Ask(Question::Created));
            picture.asked_for_created = true;
            assert!(is_left_alone(&finding(&record, &picture)));
            picture.invited = Some(vec![task(1), task(2)]);
            assert_eq!(judge(&record, &picture, at(100)), Judgement::Ask(Question::Task(task(2))));
        }
    }

    #[test]
    fn any_living_task_is_somebody_on_the_way() {
        let mut picture = nobody();
        picture.tasks.insert(task(2), SeenTask::Live);
        assert_eq!(finding(&open(), &picture), Finding::Waiting);
    }

    /// Trap 21.
    #[test]
    fn the_end_that_came_last_tells_whether_somebody_wanted_it_so() {
        let canceled = Some(Terminal::TaskCanceled);
        for (first, second, rests) in [
            (end(1, canceled, 5), end(2, None, 9), true),
            (end(1, None, 5), end(2, canceled, 9), false),
            (end(2, canceled, 9), end(1, None, 5), false),
            // Of two at once the one that nobody wanted: better an agent too many than a customer lost.
            (end(1, None, 9), end(2, canceled, 9), false),
            (end(1, canceled, 9), end(2, None, 9), false),
        ] {
            let mut picture = nobody();
            picture.ends.clear();
            for end in [&first, &second] {
                picture.tasks.insert(end.task.clone().unwrap(), SeenTask::Ended(end.clone()));
            }
            let found = finding(&open(), &picture);
            assert_eq!(found == Finding::Resting, rests, "{first:?} {second:?}: {found:?}");
        }
    }

    #[test]
    fn of_two_in_one_second_the_one_that_nothing_was_done_about_counts() {
        let canceled = Some(Terminal::TaskCanceled);
        let mut record = open();
        let at = Timestamp::from_millis(at(5).as_millis() + 900);
        record.last_end = Some(TaskEnd { handled: true, at, ..end(9, canceled, 5) });
        let mut picture = nobody();
        picture.tasks.insert(task(1), SeenTask::Ended(end(1, canceled, 5)));
        assert_eq!(finding(&record, &picture), Finding::Orphaned(end(1, canceled, 5)));
    }

    #[test]
    fn what_an_event_told_counts_before_what_a_status_shows() {
        let mut record = open();
        record.last_end = Some(end(1, Some(Terminal::WorkflowTimeout), 5));
        let mut picture = nobody();
        picture.tasks.insert(task(1), SeenTask::Ended(end(1, Some(Terminal::TaskCanceled), 6)));
        let expected = Finding::Orphaned(end(1, Some(Terminal::WorkflowTimeout), 5));
        assert_eq!(finding(&record, &picture), expected);
    }

    #[test]
    fn where_nothing_is_known_it_depends_on_whether_an_agent_has_been_there() {
        assert!(matches!(finding(&open(), &nobody()), Finding::Orphaned(_)));
        assert_eq!(finding(&Conversation { served: true, ..open() }, &nobody()), Finding::Resting);
    }

    /// What was done about an older task says nothing of the newest, of which nothing is known.
    #[test]
    fn an_older_end_that_was_dealt_with_decides_nothing_about_the_newest_task() {
        let mut record = open();
        record.last_end = Some(TaskEnd { handled: true, ..end(9, Some(Terminal::TaskCanceled), 5) });
        let Finding::Orphaned(end) = finding(&record, &nobody()) else { panic!() };
        assert_eq!((end.task, end.handled), (Some(task(1)), false));
    }
}
