//! What happened to a conversation, in order: what flexglue wrote down, what Twilio shows of the conversation, and what
//! TaskRouter's log tells of its tasks.

use serde::Serialize;
use shared::{
    clock::Timestamp,
    conversation::{Happening, What},
    rescue::AUTHOR,
    twilio::{EventResource, MessageResource},
};

use super::facts::Facts;

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// When.
    pub at: Timestamp,
    /// Who tells of it.
    pub source: Source,
    /// What.
    pub what: String,
}

/// Who tells of something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Source {
    /// Twilio's Conversations.
    Twilio,
    /// TaskRouter's log.
    TaskRouter,
    /// flexglue's own history.
    #[serde(rename = "flexglue")]
    Flexglue,
}

impl Source {
    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Twilio => "Twilio",
            Self::TaskRouter => "TaskRouter",
            Self::Flexglue => "flexglue",
        }
    }
}

/// All of it, oldest first.
pub(super) fn story(facts: &Facts) -> Vec<Entry> {
    let mut entries = Vec::new();
    let mut tell = |at: Option<Timestamp>, source, what: String| {
        entries.extend(at.map(|at| Entry { at, source, what }));
    };
    if let Ok(Some(conversation)) = &facts.conversation {
        tell(conversation.created_at(), Source::Twilio, "the conversation was made".to_owned());
    }
    messages(facts, &mut tell);
    for event in facts.events.iter().flatten().filter(|event| is_told(event)) {
        let task = event.task().map_or_else(String::new, |task| format!(" {}", short(task.as_str())));
        tell(event.at(), Source::TaskRouter, format!("{}{task}", event.event_type));
    }
    for happening in facts.history.iter().flatten() {
        tell(Some(happening.at), Source::Flexglue, in_words(happening));
    }
    // What happened in one moment stays in the order of the sources: a message comes before what follows from it.
    entries.sort_by_key(|entry| (entry.at, entry.source));
    entries
}

/// The customer's first and last message, and what flexglue said; how many there are the chain tells.
fn messages(facts: &Facts, tell: &mut impl FnMut(Option<Timestamp>, Source, String)) {
    let first = facts.first_of_customer();
    let is_first = |message: &MessageResource| first.as_ref().is_some_and(|first| first.sid == message.sid);
    for (number, message) in facts.messages.iter().flatten().enumerate() {
        let by_us = message.author.as_ref().is_some_and(|author| author.as_str() == AUTHOR);
        let what = match (number, is_first(message)) {
            _ if by_us => "flexglue's message",
            (_, true) => "the customer's first message",
            (0, false) => "the newest message",
            _ => continue,
        };
        tell(message.created_at(), Source::Twilio, what.to_owned());
    }
}

/// Whether an entry of the log is worth a line: what happens to a task, not how it moves through queues.
fn is_told(event: &EventResource) -> bool {
    let name = event.event_type.as_str();
    matches!(name, "workflow.timeout" | "workflow.skipped")
        || name.starts_with("reservation.")
        || name.starts_with("task.") && name != "task.updated"
}

/// A SID short enough for a line: its kind and its last digits.
fn short(sid: &str) -> String {
    let (kind, digits) = sid.split_at_checked(2).unwrap_or((sid, ""));
    let last = digits.len().saturating_sub(4);
    format!("{kind}…{}", digits.get(last..).unwrap_or_default())
}

fn in_words(happening: &Happening) -> String {
    let Happening { what, at: _, code, interaction, owner: _, task, event } = happening;
    let words = match what {
        What::Joined => "somebody joined",
        What::WebChatBegun => "a web chat began in it",
        What::ReachedOut => "an outbound reach writes into it",
        What::Invited => "an outbound reach invited an agent into it",
        What::HandedOver => "an outbound reach failed; the customer's message is to be served",
        What::GivenBack => "an outbound reach failed; all is as it was before",
        What::Claimed => "a customer wrote: asking for its Interaction",
        What::TakenOver => "the owner of the claim is gone: taken over",
        What::NotACustomer => "the message was not the customer's",
        What::Accepted => "Twilio accepted the Interaction",
        What::Adopted => "an Interaction was found at Twilio",
        What::Confirmed => "the Interaction has come up",
        What::StillSettingUp => "looked: the Interaction has not come up yet",
        What::SetUpFailed => "the Interaction did not come up",
        What::PutOff => "Twilio could not be asked: put off",
        What::Refused => "Twilio refused the Interaction",
        What::Duplicate => "a second Interaction was accepted",
        What::GivenUp => "given up: the customer is to be told, and it closed",
        What::TaskCreated => "heard of a task",
        What::AgentJoined => "heard of an agent who accepted",
        What::TaskCompleted => "heard that an agent completed the task",
        What::TaskEnded => "heard that the task ended",
        What::Served => "looked: somebody serves the customer, or soon will",
        What::Resting => "looked: nobody is in it, and that is on purpose",
        What::Orphaned => "looked: nobody serves the customer",
        What::Resumed => "the next step is taken up",
        What::Told => "the customer was told something",
        What::NotTold => "the customer could not be told something",
        What::Reinvited => "agents were invited again",
        What::Paused => "the next step waits for its time",
        What::Done => "nothing is left to be done",
        What::LeftAlone => "discovered, and left alone: it is not flexglue's",
        What::Closed => "it is over",
    };
    let mut details = Vec::new();
    details.extend(event.map(|event| event.as_str().to_owned()));
    details.extend(interaction.iter().map(|interaction| short(interaction.as_str())));
    details.extend(task.iter().map(|task| short(task.as_str())));
    details.extend(code.iter().map(|code| format!("code {code}")));
    if details.is_empty() { words.to_owned() } else { format!("{words} ({})", details.join(", ")) }
}
