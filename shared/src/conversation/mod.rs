//! What flexglue knows of one conversation, and how that may change. Pure: it knows neither DynamoDB nor
//! Twilio nor HTTP, and the time is an argument. The table of states and transitions is in
//! `docs/design.md`.
//!
//! - [`contact`]: who the customer of a conversation is, and whether a message is theirs.
//! - [`history`]: what is kept for whoever asks later what happened.
//! - [`pace`]: how long each thing waits.
//! - [`transition`]: the changes up to an Interaction that stands, and the end.
//! - [`outbound`]: the changes that an outbound reach makes.
//! - [`task_event`]: the changes that TaskRouter's events make.
//! - [`picture`]: whether anybody serves the customer.
//! - [`rescue`]: the changes when nobody does; what is then done is the [`policy`].

pub mod contact;
pub mod history;
pub mod outbound;
pub mod pace;
pub mod picture;
pub mod policy;
pub mod rescue;
pub mod task_event;
pub mod transition;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use self::{
    contact::{ChannelType, Contact, Sender},
    history::{Happening, What},
    picture::{Finding, Picture},
    policy::{CustomerMessages, MessageName, OrphanRules, Step, Terminal, TerminalPolicy},
    task_event::{TaskEvent, TaskFacts, TaskNews},
    transition::{Standing, Transition, WhenDue},
};
use crate::{
    clock::Timestamp,
    personal::Personal,
    reach::{InitiatedBy, ReachId},
    sid::{
        ConversationParticipantSid, ConversationSid, InteractionChannelSid, InteractionSid, QueueSid,
        TaskSid, WorkerSid, WorkflowSid,
    },
};

/// The record of one conversation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Conversation {
    /// Which conversation.
    pub sid: ConversationSid,
    /// Counts the writes; each goes only onto the version that its writer saw.
    pub version: u64,
    /// Where it stands.
    #[serde(flatten)]
    pub stage: Stage,
    /// The customer, once known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contact: Option<Contact>,
    /// The customer's first message, from the claim on: what an Interaction is made from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<FirstMessage>,
    /// How the Interaction was routed first; a re-invite restores it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub routing: Option<Routing>,
    /// The outbound reach by which flexglue began it, or has last written in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outbound: Option<Outbound>,
    /// What a reach found that claimed the conversation: restored where its Interaction cannot be made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before_reach: Option<Box<BeforeReach>>,
    /// The Interaction, once Twilio has accepted it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interaction: Option<Interaction>,
    /// Since when an Interaction may have been asked for without an answer that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked_since: Option<Timestamp>,
    /// Until when whoever held the claim before may have asked Twilio for the Interaction.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked_until: Option<Timestamp>,
    /// Until when an Interaction may still be made at the asking of somebody whose claim this was when another one
    /// became known. Until then none is asked for in its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asking_until: Option<Timestamp>,
    /// How often the same thing was tried, or looked at, since something changed.
    #[serde(default)]
    pub attempts: u32,
    /// How often an accepted Interaction did not come up.
    #[serde(default)]
    pub set_up_failures: u32,
    /// The last Interaction that did not come up: what is heard of it later is of no interest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<InteractionSid>,
    /// Whether an agent has been in it.
    #[serde(default)]
    pub served: bool,
    /// The end of the task that ended last, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_end: Option<TaskEnd>,
    /// How often agents were invited again.
    #[serde(default)]
    pub reinvites: u32,
    /// When agents were last invited again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reinvited_at: Option<Timestamp>,
    /// The last re-invite of whose task TaskRouter told. It counts from the next look on, when its task may be forgotten.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub heard_of_reinvite: u32,
    /// What the customer has been told by flexglue. Nothing is told twice.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub told: Vec<MessageName>,
    /// When discovery looked at it last, and left it alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub looked_at: Option<Timestamp>,
    /// Since when Twilio has refused the Interaction, while it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused_since: Option<Timestamp>,
    /// When it was first heard of.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// When the sweeper must look at it, if ever. Kept in the index by the ledger.
    #[serde(skip)]
    pub due_at: Option<Timestamp>,
    /// When it may be forgotten, if ever.
    #[serde(skip)]
    pub forget_at: Option<Timestamp>,
}

/// Where a conversation stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "stage", rename_all = "snake_case")]
pub enum Stage {
    /// Heard of; nothing is asked of us yet.
    Seen,
    /// One owner, and nobody else, may ask for the Interaction until the lease ends. Afterwards whoever
    /// takes over asks Twilio first whether there is one: the owner may have died after it asked.
    Claimed {
        /// The token of the owner.
        owner: String,
        /// When the owner's right ends.
        lease_until: Timestamp,
    },
    /// The customer waits, and there is no Interaction for certain; asked for again when due.
    Waiting,
    /// Twilio has accepted the Interaction; that it came up is not confirmed.
    SettingUp,
    /// The Interaction stands.
    Open,
    /// Twilio refused for good. Tried again now and then, as what it refused may be mended.
    Refused {
        /// HTTP status.
        status: u16,
        /// Twilio's error code.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        code: Option<u32>,
    },
    /// Nobody serves the customer. What is to be done about it, and how far that is.
    Orphaned {
        /// Why.
        cause: Cause,
        /// The steps, in order.
        steps: Vec<Step>,
        /// How many of them are done.
        done: usize,
        /// Who is at work on the next one; nobody while it waits for its time.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        at_work: Option<AtWork>,
    },
    /// Over at Twilio. An Interaction may have been made for it meanwhile, and is to be closed.
    Closing,
    /// Over.
    Closed,
}

/// The right of one owner to take the next step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AtWork {
    /// The token of the owner.
    pub owner: String,
    /// When the owner's right ends. Whoever takes over afterwards looks first whether the step was taken.
    pub until: Timestamp,
}

/// Why nobody serves a customer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The last task ended without an agent having finished it; the record's `last_end` says how.
    TaskEnded,
    /// The Interaction did not come up, twice.
    SetUpFailed,
    /// Twilio refused the Interaction for a day.
    RefusedForTooLong,
    /// The Interaction's channel is closed and the conversation is not.
    ChannelClosed,
}

/// The end of a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskEnd {
    /// The task, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<TaskSid>,
    /// The event that ended it; `None` where an agent completed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<Terminal>,
    /// When, as Twilio says.
    pub at: Timestamp,
    /// Whether what it asks for is under way or done.
    #[serde(default)]
    pub handled: bool,
}

/// The Interaction of a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interaction {
    /// Its SID.
    pub sid: InteractionSid,
    /// Its channel, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<InteractionChannelSid>,
    /// Its newest task, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<TaskSid>,
    /// Since when it is known.
    pub since: Timestamp,
}

/// What of a customer's first message makes an Interaction. Its body is not kept.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FirstMessage {
    /// Who wrote it, where said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<Personal<String>>,
    /// The participant who wrote it, where said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub participant: Option<ConversationParticipantSid>,
    /// The conversation's attributes (not the message's), as they were then.
    #[serde(default, with = "as_text")]
    pub attributes: Personal<Map<String, Value>>,
}

/// How an Interaction is routed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Routing {
    /// The type of the channel.
    pub channel_type: ChannelType,
    /// The workflow.
    pub workflow: WorkflowSid,
    /// The task channel's unique name.
    pub task_channel: String,
    /// The task's priority, where a rule sets it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<u32>,
    /// The task's time to live in seconds, where a rule sets it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<u32>,
    /// The agent who begins, where one does: the task is theirs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<Agent>,
    /// The task's attributes.
    #[serde(with = "as_text")]
    pub attributes: Personal<Map<String, Value>>,
}

/// What stood in a record before an outbound reach claimed its conversation.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct BeforeReach {
    /// An earlier reach, which the customer may still answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    outbound: Option<Outbound>,
    /// What the customer had written, where they waited for an Interaction.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    message: Option<FirstMessage>,
    /// How the Interaction was to be routed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    routing: Option<Routing>,
    /// Whether an Interaction was to be made, for a customer who had written or for an earlier reach.
    #[serde(default)]
    waits: bool,
}

/// An agent to whom a task is pinned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Agent {
    /// Who.
    pub worker: WorkerSid,
    /// The queue that the task counts for.
    pub queue: QueueSid,
}

/// An outbound reach, as far as its conversation has to know.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outbound {
    /// Which.
    pub reach: ReachId,
    /// Who began.
    pub initiated_by: InitiatedBy,
    /// The customer's name, as whoever began gave it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer_name: Option<Personal<String>>,
    /// Attributes for the task of a reply.
    #[serde(default, with = "as_text")]
    pub attributes: Personal<Map<String, Value>>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
const fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// JSON objects that are not ours are kept as text, to the letter: DynamoDB's own types would change
/// their numbers.
pub(crate) mod as_text {
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};
    use serde_json::{Map, Value};

    use crate::personal::Personal;

    pub(crate) fn serialize<S: Serializer>(
        object: &Personal<Map<String, Value>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serde_json::to_string(&object.0).map_err(ser::Error::custom)?.serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Personal<Map<String, Value>>, D::Error> {
        let text = String::deserialize(deserializer)?;
        serde_json::from_str(&text).map(Personal).map_err(de::Error::custom)
    }
}
