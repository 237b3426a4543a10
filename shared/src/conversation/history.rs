//! What happened to a conversation: one small entry per transition, kept beside the record for whoever
//! asks later (`flexglue explain`). Nothing in it is about a person.

use serde::{Deserialize, Serialize};

use super::Terminal;
use crate::{
    clock::Timestamp,
    sid::{InteractionSid, TaskSid},
};

/// The kinds of things that happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// A participant joined.
    Joined,
    /// A customer began it as a web chat.
    WebChatBegun,
    /// An outbound reach wrote into it, or is about to.
    ReachedOut,
    /// An agent was invited into it by an outbound reach.
    Invited,
    /// An outbound reach that could not be made leaves a customer's message behind, to be served.
    HandedOver,
    /// An outbound reach that could not be made leaves the conversation that it had joined as it was.
    GivenBack,
    /// A message was taken for a customer's, and the right to open the Interaction with it.
    Claimed,
    /// A claim whose owner is gone went to another owner.
    TakenOver,
    /// The message was not a customer's after all.
    NotACustomer,
    /// Twilio accepted the Interaction.
    Accepted,
    /// An Interaction that Twilio had already was found and taken for ours.
    Adopted,
    /// The Interaction came up.
    Confirmed,
    /// The Interaction has not come up yet.
    StillSettingUp,
    /// The Interaction did not come up.
    SetUpFailed,
    /// Twilio did nothing for now (unreachable, or asked to slow down).
    PutOff,
    /// Twilio refused for good.
    Refused,
    /// A second Interaction was accepted for a conversation that had one.
    Duplicate,
    /// The customer cannot be served: they are told, and the conversation is closed.
    GivenUp,
    /// TaskRouter told of a task that came.
    TaskCreated,
    /// TaskRouter told of an agent who accepted.
    AgentJoined,
    /// TaskRouter told of a task that an agent completed.
    TaskCompleted,
    /// TaskRouter told of a task that ended without that; `event` says how.
    TaskEnded,
    /// It was looked at: somebody serves the customer, or soon will.
    Served,
    /// It was looked at: nobody is in it, and somebody wanted it so.
    Resting,
    /// Nobody serves the customer; `event` says how the last task ended, where one did.
    Orphaned,
    /// What was begun for a customer whom nobody served is taken up by another owner.
    Resumed,
    /// The customer was told something.
    Told,
    /// The customer could not be told something.
    NotTold,
    /// Agents were invited again.
    Reinvited,
    /// The next step waits for its time.
    Paused,
    /// Nothing is left to be done.
    Done,
    /// It was discovered at Twilio, and is not flexglue's.
    LeftAlone,
    /// The conversation is over.
    Closed,
}

/// One entry of the history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Happening {
    /// What happened.
    pub what: What,
    /// When.
    pub at: Timestamp,
    /// Twilio's error code, where there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<u32>,
    /// The Interaction it was about, where there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interaction: Option<InteractionSid>,
    /// The owner of the claim, where it was about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// The task it was about, where there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<TaskSid>,
    /// The terminal event it was about, where there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<Terminal>,
}

impl Happening {
    pub(super) fn new(what: What, at: Timestamp) -> Self {
        Self { what, at, code: None, interaction: None, owner: None, task: None, event: None }
    }

    pub(super) fn code(self, code: Option<u32>) -> Self {
        Self { code, ..self }
    }

    pub(super) fn interaction(self, interaction: &InteractionSid) -> Self {
        Self { interaction: Some(interaction.clone()), ..self }
    }

    pub(super) fn task(self, task: Option<&TaskSid>) -> Self {
        Self { task: task.cloned(), ..self }
    }

    pub(super) fn event(self, event: Option<Terminal>) -> Self {
        Self { event, ..self }
    }

    pub(super) fn owner(self, owner: &str) -> Self {
        Self { owner: Some(owner.to_owned()), ..self }
    }
}
