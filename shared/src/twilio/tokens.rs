//! Flex user tokens: what a Flex plugin shows for who is behind it. Twilio alone can read one
//! (`twilio-flex-token-validator` asks the same).

use serde::Deserialize;
use serde_json::json;

use super::{Call, CallError, Twilio};
use crate::{clock::Deadline, personal::Personal, secrets::Secret, sid::WorkerSid};

/// Who is behind a valid token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlexUser {
    /// Their worker; `None` for somebody who is none.
    pub worker: Option<WorkerSid>,
    /// Their chat identity.
    pub identity: Option<Personal<String>>,
    roles: Vec<String>,
}

impl FlexUser {
    /// Whether this is staff. A web chat's guest holds a valid token too.
    #[must_use]
    pub fn is_staff(&self) -> bool {
        !self.roles.is_empty() && !self.roles.iter().any(|role| role == "guest")
    }
}

#[derive(Deserialize)]
struct Validated {
    #[serde(default)]
    valid: bool,
    #[serde(default)]
    worker_sid: Option<String>,
    #[serde(default)]
    identity: Option<Personal<String>>,
    #[serde(default)]
    roles: Vec<String>,
}

impl Twilio {
    /// Asks Twilio who is behind a token. `None` where it is not valid (any more).
    ///
    /// What counts is `valid`; a refusal of Twilio's means the same, as nobody could confirm which of the two it
    /// answers.
    pub async fn flex_user(&self, token: &Secret, deadline: Deadline) -> Result<Option<FlexUser>, CallError> {
        let path = format!("/v1/Accounts/{}/Tokens/validate", self.account);
        let call = Call::post_json(&self.bases.iam, path, json!({ "token": token.expose() }));
        let validated: Validated = match self.send(call, deadline).await {
            Ok(validated) => validated,
            Err(CallError::Refused(super::Refusal::Rejected { status: 400 | 422, .. })) => {
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        Ok(validated.valid.then(|| FlexUser {
            worker: validated.worker_sid.and_then(|sid| sid.parse().ok()),
            identity: validated.identity,
            roles: validated.roles,
        }))
    }
}
