//! The questions that Twilio's troubleshooting asks, in their order, answered for one conversation.

use serde::Serialize;
use shared::{
    conversation::TaskNews,
    twilio::{CallError, ChannelStatus, ConversationState, EventResource, TaskResource, TaskStanding},
    webhook::{PublicBaseUrl, is_our_webhook},
};

use super::facts::Facts;

/// One question and its answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Link {
    /// What is asked.
    pub question: &'static str,
    /// The answer in a word.
    pub mark: Mark,
    /// The answer.
    pub answer: String,
}

/// An answer in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Mark {
    /// As it should be.
    Yes,
    /// Here it ends.
    No,
    /// Not so far, and it need not be.
    NotYet,
    /// It could not be asked.
    Unknown,
}

/// Messages that are read at most.
const MOST_MESSAGES: usize = 50;

/// All of them.
pub(super) fn chain(facts: &Facts, base: Option<&PublicBaseUrl>) -> Vec<Link> {
    vec![
        message(facts),
        conversation(facts),
        webhook(facts, base),
        interaction(facts),
        task(facts),
        agent(facts),
    ]
}

fn unknown(question: &'static str, error: &CallError) -> Link {
    Link { question, mark: Mark::Unknown, answer: format!("could not be asked: {error}") }
}

fn message(facts: &Facts) -> Link {
    let question = "Did the message arrive?";
    let messages = match &facts.messages {
        Ok(messages) => messages,
        Err(error) => return unknown(question, error),
    };
    let count = match messages.len() {
        0 => return Link { question, mark: Mark::NotYet, answer: "Twilio has no message in it".to_owned() },
        1 => "1 message".to_owned(),
        MOST_MESSAGES => format!("{MOST_MESSAGES} messages or more"),
        some => format!("{some} messages"),
    };
    let (mark, whose) = match facts.first_of_customer() {
        None => (Mark::NotYet, ", none of them the customer's".to_owned()),
        Some(_) => (Mark::Yes, ", the customer's among them".to_owned()),
    };
    Link { question, mark, answer: format!("{count}{whose}") }
}

fn conversation(facts: &Facts) -> Link {
    let question = "Was a conversation made?";
    let (mark, answer) = match &facts.conversation {
        Err(error) => return unknown(question, error),
        Ok(None) => (Mark::No, "Twilio knows no such conversation (any more)".to_owned()),
        Ok(Some(conversation)) => {
            let state = match conversation.state {
                ConversationState::Initializing => "being made",
                ConversationState::Active => "active",
                ConversationState::Inactive => "inactive: the next message wakes it",
                ConversationState::Closed => "closed",
                ConversationState::Unheard => "in a state that flexglue does not know",
            };
            (Mark::Yes, state.to_owned())
        }
    };
    Link { question, mark, answer }
}

fn webhook(facts: &Facts, base: Option<&PublicBaseUrl>) -> Link {
    let question = "Has it a webhook or a flow?";
    let webhooks = match &facts.webhooks {
        Ok(webhooks) => webhooks,
        Err(error) => return unknown(question, error),
    };
    let mut answers = Vec::new();
    for webhook in webhooks {
        answers.push(match (webhook.flow(), webhook.url()) {
            (Some(flow), _) => format!("the Studio flow {flow}"),
            (None, Some(url)) if is_our_webhook(url, base) => {
                let deaf = if webhook.hears_messages() { "" } else { ", which hears of no messages" };
                format!("flexglue's webhook{deaf}")
            }
            (None, Some(_)) => "a webhook of somebody else".to_owned(),
            (None, None) => "a webhook that goes nowhere".to_owned(),
        });
    }
    if answers.is_empty() {
        let mark = if facts.is_over() == Some(true) { Mark::NotYet } else { Mark::No };
        let answer = "none of its own: only a webhook of the whole service can tell of it".to_owned();
        return Link { question, mark, answer };
    }
    Link { question, mark: Mark::Yes, answer: answers.join("; ") }
}

fn interaction(facts: &Facts) -> Link {
    let question = "Did an Interaction come?";
    let Some(interaction) = &facts.interaction else {
        let waits = facts.first_of_customer().is_some() && facts.is_over() == Some(false);
        let mark = match (&facts.record, &facts.tasks) {
            (Err(_), _) | (_, Err(_)) => Mark::Unknown,
            _ if waits => Mark::No,
            _ => Mark::NotYet,
        };
        return Link { question, mark, answer: "none is known".to_owned() };
    };
    let (mark, channel) = match &facts.channel {
        Err(error) => (Mark::Unknown, format!("its channel could not be asked for: {error}")),
        Ok(None) => (Mark::No, "its channel is gone: Twilio deletes one after 180 days".to_owned()),
        Ok(Some(channel)) => {
            let (mark, status) = match channel.status {
                ChannelStatus::SetUp => (Mark::NotYet, "is being set up"),
                ChannelStatus::Active => (Mark::Yes, "is active"),
                ChannelStatus::Failed => (Mark::No, "did not come up"),
                ChannelStatus::Closed => (Mark::Yes, "is closed"),
                ChannelStatus::Inactive => (Mark::Yes, "is inactive: it was parked or left"),
                ChannelStatus::Pause => (Mark::Yes, "is paused"),
                ChannelStatus::Transfer => (Mark::Yes, "is being handed over"),
                ChannelStatus::Unheard => (Mark::Yes, "is in a state that flexglue does not know"),
            };
            let code = channel.error_code.map_or_else(String::new, |code| format!(" ({})", page_of(code)));
            (mark, format!("its channel {} {status}{code}", channel.sid))
        }
    };
    Link { question, mark, answer: format!("{}, {channel}", interaction.sid) }
}

/// Where Twilio explains an error code.
pub(crate) fn page_of(code: u32) -> String {
    format!("https://www.twilio.com/docs/api/errors/{code}")
}

fn task(facts: &Facts) -> Link {
    let question = "Did a task come?";
    let tasks = match &facts.tasks {
        Ok(tasks) => tasks,
        Err(error) => return unknown(question, error),
    };
    if let Some(task) = tasks.iter().rfind(|task| task.standing() == TaskStanding::Live) {
        let status = task.assignment_status.as_deref().unwrap_or("live");
        return Link { question, mark: Mark::Yes, answer: format!("{}, {status}", task.sid) };
    }
    let events = match &facts.events {
        Ok(events) => events,
        Err(error) => return unknown(question, error),
    };
    // The log tells of an end longer than the task is shown, and says more.
    if let Some(event) = events.iter().rfind(|event| is_end(event)) {
        let task = event.task().map_or_else(String::new, |task| format!("{task}, "));
        let completed = TaskNews::named(&event.event_type) == Some(TaskNews::Completed);
        let mark = if completed || facts.is_over() == Some(true) { Mark::Yes } else { Mark::No };
        return Link { question, mark, answer: format!("{task}ended by {}", event.event_type) };
    }
    if let Some(task) = tasks.last() {
        let status = task.assignment_status.as_deref().unwrap_or("ended");
        return Link { question, mark: mark_of_end(task), answer: format!("{}, {status}", task.sid) };
    }
    let mark = if facts.interaction.is_some() { Mark::Unknown } else { Mark::NotYet };
    Link { question, mark, answer: "none is shown or told of".to_owned() }
}

fn mark_of_end(task: &TaskResource) -> Mark {
    if task.standing() == TaskStanding::Completed { Mark::Yes } else { Mark::No }
}

fn is_end(event: &EventResource) -> bool {
    matches!(TaskNews::named(&event.event_type), Some(TaskNews::Completed | TaskNews::Ended(_)))
}

fn agent(facts: &Facts) -> Link {
    let question = "Was it accepted by an agent?";
    let agents = match &facts.agents {
        Ok(agents) => agents,
        Err(error) => return unknown(question, error),
    };
    if !agents.is_empty() {
        let names = agents.iter().map(|agent| match agent {
            Some(worker) => worker.to_string(),
            None => "an agent whom Twilio does not name".to_owned(),
        });
        let answer = format!("in it now: {}", names.collect::<Vec<_>>().join(", "));
        return Link { question, mark: Mark::Yes, answer };
    }
    let events = match &facts.events {
        Ok(events) => events,
        Err(error) => return unknown(question, error),
    };
    let accepted = |event: &EventResource| TaskNews::named(&event.event_type) == Some(TaskNews::Accepted);
    let (mark, answer) = if events.iter().any(accepted) {
        (Mark::Yes, "it was; nobody is in it now")
    } else {
        (Mark::NotYet, "nobody has accepted it")
    };
    Link { question, mark, answer: answer.to_owned() }
}
