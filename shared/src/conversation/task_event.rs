//! What TaskRouter tells of the tasks of an Interaction, and how that changes a record.
//!
//! Events come twice, late, out of order or not at all, so none of them is an order to act: each only says
//! what to write down, and that somebody should look. What is then done is decided by what Twilio says at
//! that moment ([`super::picture`]).

use serde_json::{Map, Value};

use super::{
    ChannelType, Conversation, Happening, Interaction, Routing, Stage, TaskEnd, Terminal, Transition, What,
    pace,
};
use crate::{
    clock::Timestamp,
    personal::Personal,
    routing::RoutingDefaults,
    sid::{ConversationSid, InteractionChannelSid, InteractionSid, TaskSid, WorkflowSid},
    twilio::{REINVITES_ATTRIBUTE, reinvite_number},
};

/// Something that happened to a task of a Flex Interaction.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskEvent {
    /// What.
    pub news: TaskNews,
    /// When, as Twilio says.
    pub at: Timestamp,
    /// The task.
    pub task: TaskSid,
    /// Its Interaction.
    pub interaction: InteractionSid,
    /// The channel of that Interaction.
    pub channel: InteractionChannelSid,
    /// The conversation, where the task names it.
    pub conversation: Option<ConversationSid>,
    /// Which re-invite of ours made the task; 0 where none did.
    pub reinvite: u32,
    /// How the task was routed: of a conversation that was never heard of, nobody else knows.
    pub routing: Option<Routing>,
}

/// What a callback or an entry of the log says of a task, beside what happened to it.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskFacts {
    /// The task.
    pub task: TaskSid,
    /// Its attributes. Empty where they cannot be read.
    pub attributes: Personal<Map<String, Value>>,
    /// Its workflow.
    pub workflow: Option<WorkflowSid>,
    /// Its task channel's unique name.
    pub task_channel: Option<String>,
    /// Its priority.
    pub priority: Option<u32>,
}

/// The kinds of such events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskNews {
    /// `task.created`.
    Created,
    /// `reservation.accepted`: an agent joins.
    Accepted,
    /// `task.completed`: an agent is done with it.
    Completed,
    /// It ended without that.
    Ended(Terminal),
}

impl TaskNews {
    /// The news of an event of this type, if it is one that is followed
    /// ([TaskRouter events](https://www.twilio.com/docs/taskrouter/api/event/reference)).
    #[must_use]
    pub fn named(event_type: &str) -> Option<Self> {
        match event_type {
            "task.created" => Some(Self::Created),
            "reservation.accepted" => Some(Self::Accepted),
            "task.completed" => Some(Self::Completed),
            other => Terminal::named(other).map(Self::Ended),
        }
    }
}

/// The attributes that Flex sets anew for every task of an Interaction, and ours. They are of that task
/// alone.
const OF_ONE_TASK: [&str; 4] =
    ["flexInteractionSid", "flexInteractionChannelSid", "flexChannelInviteSid", REINVITES_ATTRIBUTE];

impl TaskFacts {
    /// The event, where the task is one of a Flex Interaction: `flexInteractionChannelSid` is what Flex itself
    /// goes by. The SIDs in its attributes are taken only where they are what they should be; what it does not
    /// say of its routing is as `defaults` say.
    #[must_use]
    pub fn event(self, news: TaskNews, at: Timestamp, defaults: &RoutingDefaults) -> Option<TaskEvent> {
        let text = |name: &str| self.attributes.get(name).and_then(Value::as_str);
        let interaction = text("flexInteractionSid")?.parse().ok()?;
        let channel = text("flexInteractionChannelSid")?.parse().ok()?;
        let conversation = text("conversationSid").and_then(|sid| sid.parse().ok());
        let conversation = conversation.or_else(|| conversation_in_media(&self.attributes));
        let reinvite = reinvite_number(self.attributes.get(REINVITES_ATTRIBUTE));
        let routing = Some(self.routing(defaults));
        Some(TaskEvent { news, at, task: self.task, interaction, channel, conversation, reinvite, routing })
    }

    fn routing(&self, defaults: &RoutingDefaults) -> Routing {
        let text = |name: &str| self.attributes.get(name).and_then(Value::as_str);
        let mut attributes = self.attributes.clone();
        for name in OF_ONE_TASK {
            attributes.0.remove(name);
        }
        let named = text("channelType").map(|name| Value::String(name.to_ascii_lowercase()));
        let channel_type = named.and_then(|name| serde_json::from_value(name).ok());
        Routing {
            channel_type: channel_type
                .unwrap_or_else(|| ChannelType::of(text("customerAddress"), None, &attributes)),
            workflow: self.workflow.clone().unwrap_or_else(|| defaults.workflow.clone()),
            task_channel: self.task_channel.clone().unwrap_or_else(|| defaults.task_channel.clone()),
            priority: self.priority,
            timeout: None,
            agent: None,
            attributes,
        }
    }
}

/// The conversation as Flex notes it for its reports, in either of the two forms in which it does.
fn conversation_in_media(attributes: &Map<String, Value>) -> Option<ConversationSid> {
    let media = attributes.get("conversations")?.get("media")?.as_array()?;
    media
        .iter()
        .flat_map(|medium| [medium.get("sid"), medium.get("conversation_sid")])
        .flatten()
        .find_map(|sid| sid.as_str()?.parse().ok())
}

impl Conversation {
    /// TaskRouter told of a task. `None` where that says nothing new.
    #[must_use]
    pub fn hears(
        current: Option<&Self>,
        sid: &ConversationSid,
        event: &TaskEvent,
        now: Timestamp,
    ) -> Option<Transition> {
        match current {
            Some(current) if current.failed.as_ref() == Some(&event.interaction) => None,
            Some(current) => match (&current.interaction, &current.stage) {
                (Some(known), _) if known.sid == event.interaction => current.hears_of_own_task(event, now),
                // A second Interaction on the conversation, or one of a conversation that is over: a fact.
                (_, Stage::Closed | Stage::Closing) | (Some(_), _) => (event.news == TaskNews::Created)
                    .then(|| current.has_interaction(event.interaction(now), false, None, now))
                    .flatten(),
                // The Interaction that was asked for, or that somebody else made.
                (None, _) => {
                    let found = event.interaction(now);
                    let adopted = current.has_interaction(found, false, event.routing.clone(), now)?;
                    match event.news {
                        TaskNews::Created => Some(adopted),
                        _ => adopted.next.hears_of_own_task(event, now).map(|mut heard| {
                            heard.next.version = adopted.next.version;
                            heard
                        }),
                    }
                }
            },
            None => Some(Self::taken_in(sid, event, now)),
        }
    }

    /// A conversation that flexglue never saw, and that is a Flex Interaction: followed from now on.
    fn taken_in(sid: &ConversationSid, event: &TaskEvent, now: Timestamp) -> Transition {
        let mut fresh = Self::new(sid.clone(), now);
        fresh.stage = Stage::Open;
        fresh.interaction = Some(event.interaction(now));
        fresh.routing.clone_from(&event.routing);
        fresh.hears_of_own_task(event, now).unwrap_or_else(|| {
            fresh.next(now, event.happening(What::TaskCreated, now), |next| {
                next.due_at = Some(now + pace::recheck(0, false));
            })
        })
    }

    fn hears_of_own_task(&self, event: &TaskEvent, now: Timestamp) -> Option<Transition> {
        if matches!(self.stage, Stage::Closed | Stage::Closing) {
            return None;
        }
        let mut heard = self.hears_of_task(event, now)?;
        heard.next.heard_of_reinvite = heard.next.heard_of_reinvite.max(event.reinvite);
        // The first that is known stays.
        heard.next.routing = heard.next.routing.take().or_else(|| event.routing.clone());
        Some(heard)
    }

    fn hears_of_task(&self, event: &TaskEvent, now: Timestamp) -> Option<Transition> {
        match event.news {
            TaskNews::Created => {
                let known = self.interaction.as_ref().and_then(|interaction| interaction.task.as_ref());
                (known != Some(&event.task) && !self.is_older_than_last_end(event)).then(|| {
                    self.next(now, event.happening(What::TaskCreated, now), |next| {
                        next.has_task(&event.task);
                        next.due_at = self.due_at;
                        // A customer waits again, perhaps where nobody was to be for long.
                        if matches!(self.stage, Stage::Open) {
                            next.is_well(0, now);
                        }
                    })
                })
            }
            TaskNews::Accepted => {
                let is_news = !self.served || !matches!(self.stage, Stage::Open);
                (is_news && !self.is_older_than_last_end(event)).then(|| {
                    self.next(now, event.happening(What::AgentJoined, now), |next| {
                        next.served = true;
                        next.has_task(&event.task);
                        next.is_well(0, now);
                    })
                })
            }
            TaskNews::Completed => self.ended(event, None, now),
            TaskNews::Ended(how) => self.ended(event, Some(how), now),
        }
    }

    /// A task ended. Only the end of the task that ended last counts (by the second, more than which callbacks do
    /// not tell), and of one task only the first that is heard of: `workflow.timeout` and `task.canceled` both
    /// come for one task.
    fn ended(&self, event: &TaskEvent, how: Option<Terminal>, now: Timestamp) -> Option<Transition> {
        let task = Some(event.task.clone());
        if let Some(last) = &self.last_end
            && (last.task == task
                || (last.at.as_seconds(), last.event.is_some()) > (event.at.as_seconds(), how.is_some()))
        {
            return None;
        }
        let what = if how.is_some() { What::TaskEnded } else { What::TaskCompleted };
        Some(self.next(now, event.happening(what, now).event(how), |next| {
            next.last_end = Some(TaskEnd { task, event: how, at: event.at, handled: false });
            next.due_at = match (&self.stage, how) {
                // Whoever is at work there looks again before each thing it does.
                (Stage::Orphaned { .. }, _) => self.due_at,
                // Whoever heard of it looks at once; should it die, the sweeper does.
                (_, Some(_)) => Some(now + pace::LEASE),
                (_, None) => Some(now + pace::AFTER_COMPLETION),
            };
            if how.is_none() {
                next.served = true;
            }
        }))
    }

    fn is_older_than_last_end(&self, event: &TaskEvent) -> bool {
        self.last_end.as_ref().is_some_and(|last| last.at.as_seconds() >= event.at.as_seconds())
    }

    fn has_task(&mut self, task: &TaskSid) {
        if let Some(interaction) = &mut self.interaction {
            interaction.task = Some(task.clone());
        }
    }
}

impl TaskEvent {
    fn interaction(&self, now: Timestamp) -> Interaction {
        Interaction {
            sid: self.interaction.clone(),
            channel: Some(self.channel.clone()),
            task: Some(self.task.clone()),
            since: now,
        }
    }

    fn happening(&self, what: What, now: Timestamp) -> Happening {
        Happening::new(what, now).interaction(&self.interaction).task(Some(&self.task))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conversation::{Cause, Step};

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_seconds(1_800_000_000 + seconds)
    }

    fn created(last: u32) -> TaskEvent {
        TaskEvent {
            news: TaskNews::Created,
            at: at(5),
            task: format!("WT{last:032x}").parse().unwrap(),
            interaction: format!("KD{last:032x}").parse().unwrap(),
            channel: format!("UO{last:032x}").parse().unwrap(),
            conversation: None,
            reinvite: 0,
            routing: None,
        }
    }

    /// Found by the simulation: the first Interaction had not come up, and TaskRouter told of its task ten minutes late,
    /// when the second one's had ended. Followed, it would have been replaced by a third while the second lived.
    #[test]
    fn an_orphan_whose_interaction_is_known_follows_no_other_unseen() {
        let sid: ConversationSid = "CH00000000000000000000000000000001".parse().unwrap();
        let mut record = Conversation::new(sid.clone(), at(0));
        let known = created(2).interaction(at(10));
        record.interaction = Some(known.clone());
        record.stage =
            Stage::Orphaned { cause: Cause::TaskEnded, steps: vec![Step::Close], done: 0, at_work: None };
        record.due_at = Some(at(70));
        let heard = Conversation::hears(Some(&record), &sid, &created(1), at(60)).unwrap();
        assert_eq!(heard.happening.what, What::Duplicate);
        assert_eq!((heard.next.stage, heard.next.interaction), (record.stage, Some(known)));
        assert_eq!(heard.next.due_at, record.due_at);
    }
}
