//! What came of an event, and how that is answered.

use bytes::Bytes;
use http::{Response, StatusCode};
use serde::Serialize;
use shared::{
    conversation::{Interaction, Standing},
    opening::Opened,
    problem::{json, problem},
    sid::{ConversationSid, InteractionSid},
};

/// What came of an event. Only the last is an error to the caller; the rest is in hand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub(crate) enum Outcome {
    /// There is an Interaction now.
    Created {
        /// The Interaction.
        interaction_sid: InteractionSid,
        /// Its conversation.
        conversation_sid: ConversationSid,
    },
    /// There was one.
    AlreadyOpen,
    /// Another invocation is asking for it.
    InProgress,
    /// Nothing is to be done.
    Ignored,
    /// The sweeper goes on.
    Deferred,
    /// Twilio refused for good.
    Failed {
        /// Twilio's error code, where it gave one.
        code: Option<u32>,
    },
    /// The state table could not be written.
    Unavailable,
}

impl Outcome {
    pub(crate) fn of(opened: Opened, conversation_sid: ConversationSid) -> Self {
        match opened {
            Opened::Created(Interaction { sid, .. }) | Opened::Adopted(Interaction { sid, .. }) => {
                Self::Created { interaction_sid: sid, conversation_sid }
            }
            Opened::NotACustomer | Opened::Over => Self::Ignored,
            Opened::Deferred => Self::Deferred,
            Opened::Refused { code, .. } => Self::Failed { code },
        }
    }

    pub(crate) fn into_response(self) -> Response<Bytes> {
        let status = match self {
            Self::Deferred => StatusCode::ACCEPTED,
            Self::Unavailable => {
                return problem(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "Try again later.");
            }
            _ => StatusCode::OK,
        };
        json(status, &self)
    }
}

impl From<Standing> for Outcome {
    fn from(standing: Standing) -> Self {
        match standing {
            Standing::AlreadyOpen => Self::AlreadyOpen,
            Standing::InProgress => Self::InProgress,
            Standing::Deferred => Self::Deferred,
            Standing::Refused { code, .. } => Self::Failed { code },
            Standing::Over | Standing::NotACustomer => Self::Ignored,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(outcome: Outcome) -> (u16, String) {
        let response = outcome.into_response();
        (response.status().as_u16(), String::from_utf8(response.body().to_vec()).unwrap())
    }

    #[test]
    fn answers_are_those_of_the_contract() {
        let created = Outcome::Created {
            interaction_sid: "KD00000000000000000000000000000001".parse().unwrap(),
            conversation_sid: "CH00000000000000000000000000000001".parse().unwrap(),
        };
        let created_body = r#"{"outcome":"created","interaction_sid":"KD00000000000000000000000000000001","conversation_sid":"CH00000000000000000000000000000001"}"#;
        for (outcome, status, body) in [
            (created, 200, created_body),
            (Outcome::AlreadyOpen, 200, r#"{"outcome":"already_open"}"#),
            (Outcome::InProgress, 200, r#"{"outcome":"in_progress"}"#),
            (Outcome::Ignored, 200, r#"{"outcome":"ignored"}"#),
            (Outcome::Deferred, 202, r#"{"outcome":"deferred"}"#),
            (Outcome::Failed { code: Some(45367) }, 200, r#"{"outcome":"failed","code":45367}"#),
        ] {
            assert_eq!(answer(outcome), (status, body.to_owned()));
        }
        assert_eq!(answer(Outcome::Unavailable).0, 503);
    }
}
