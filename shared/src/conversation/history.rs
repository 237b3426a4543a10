//! What happened to a conversation: one small entry per transition, kept beside the record for whoever
//! asks later (`flexglue explain`). Nothing in it is about a person.

use serde::{Deserialize, Serialize};

use crate::{clock::Timestamp, sid::InteractionSid};

/// The kinds of things that happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// A participant joined.
    Joined,
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
    /// It was decided to close the conversation.
    GivenUp,
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
}

impl Happening {
    pub(super) fn new(what: What, at: Timestamp) -> Self {
        Self { what, at, code: None, interaction: None, owner: None }
    }

    pub(super) fn code(self, code: Option<u32>) -> Self {
        Self { code, ..self }
    }

    pub(super) fn interaction(self, interaction: &InteractionSid) -> Self {
        Self { interaction: Some(interaction.clone()), ..self }
    }

    pub(super) fn owner(self, owner: &str) -> Self {
        Self { owner: Some(owner.to_owned()), ..self }
    }
}
