//! Who asks: a back end by an API key, or somebody in Flex by their token.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use http::{HeaderMap, HeaderValue, StatusCode, header};
use sha2::{Digest as _, Sha256};
use shared::{
    clock::{Deadline, Timestamp},
    opening::Opener,
    personal::Personal,
    problem::problem,
    reach::{Caller, Initiator, hexadecimal},
    secrets::{Secret, Secrets},
    sid::WorkerSid,
    telemetry::Metric,
    twilio::FlexUser,
};
use subtle::ConstantTimeEq as _;

use crate::{Refused, unavailable};

/// Knows who may call.
#[derive(Debug)]
pub(crate) struct Callers {
    secrets: Arc<Secrets>,
    opener: Opener,
    /// Tokens that Twilio has called valid a moment ago, by their digest: an agent at work asks often.
    known: Mutex<HashMap<[u8; 32], (FlexUser, Timestamp)>>,
}

/// Somebody who may call.
#[derive(Clone, Debug)]
pub(crate) enum Who {
    BackEnd { key: String },
    Worker { worker: WorkerSid, identity: Option<Personal<String>> },
}

/// A token that is revoked is let in for so long at most.
const KNOWN_FOR: Duration = Duration::from_mins(1);
/// More agents than this at once begin anew.
const MOST_KNOWN: usize = 1000;
/// Longer than any token of Flex.
const LONGEST_TOKEN: usize = 8192;

const FLEX_TOKEN: &str = "x-flex-token";

impl Callers {
    pub(crate) fn new(secrets: Arc<Secrets>, opener: Opener) -> Self {
        Self { secrets, opener, known: Mutex::default() }
    }

    /// Who asks, or the answer to somebody who may not.
    pub(crate) async fn admit(&self, headers: &HeaderMap, deadline: Deadline) -> Result<Who, Refused> {
        let admitted = match (headers.get(header::AUTHORIZATION), headers.get(FLEX_TOKEN)) {
            (Some(authorization), _) => self.back_end(authorization).await,
            (None, Some(token)) => self.worker(token, deadline).await,
            (None, None) => Err(unauthorized()),
        };
        admitted.inspect_err(|refused| {
            if !refused.status().is_server_error() {
                self.opener.metrics.count(Metric::CallerRefused);
                tracing::warn!(status = refused.status().as_u16(), "a caller is refused");
            }
        })
    }

    async fn back_end(&self, authorization: &HeaderValue) -> Result<Who, Refused> {
        let given = authorization.to_str().ok().and_then(bearer).ok_or_else(unauthorized)?;
        if let Some(who) = self.owner_of(given).await? {
            return Ok(who);
        }
        // The keys may have been replaced since they were read.
        let fresh = self.secrets.refresh().await;
        let found = if fresh { self.owner_of(given).await? } else { None };
        found.ok_or_else(unauthorized)
    }

    /// Whose key it is. Every key is compared, and as a digest: how long it takes tells nothing.
    async fn owner_of(&self, given: &str) -> Result<Option<Who>, Refused> {
        let credentials = self.secrets.current().await.map_err(|error| {
            tracing::error!(%error, "no API key can be checked");
            unavailable()
        })?;
        let given = Sha256::digest(given);
        let matches = credentials.outbound_api_keys.iter().fold(subtle::Choice::from(0), |found, key| {
            found | Sha256::digest(key.expose()).as_slice().ct_eq(given.as_slice())
        });
        Ok(bool::from(matches).then(|| Who::BackEnd { key: hexadecimal(&given[..8]) }))
    }

    async fn worker(&self, token: &HeaderValue, deadline: Deadline) -> Result<Who, Refused> {
        let token = token.to_str().ok().filter(|token| !token.is_empty() && token.len() <= LONGEST_TOKEN);
        let token = token.ok_or_else(unauthorized)?;
        let user = self.user(token, deadline).await?;
        match user {
            FlexUser { worker: Some(worker), ref identity, .. } if user.is_staff() => {
                Ok(Who::Worker { worker: worker.clone(), identity: identity.clone() })
            }
            _ => Err(forbidden("This token is not of an agent.")),
        }
    }

    async fn user(&self, token: &str, deadline: Deadline) -> Result<FlexUser, Refused> {
        let digest: [u8; 32] = Sha256::digest(token).into();
        let now = self.opener.clock.now();
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(&digest).cloned();
        if let Some((user, since)) = known
            && now.since(since) < KNOWN_FOR
        {
            return Ok(user);
        }
        let asked = self.opener.twilio.flex_user(&Secret::new(token), deadline).await;
        let user = asked.map_err(|error| {
            tracing::warn!(%error, "Twilio could not be asked about a token");
            unavailable()
        })?;
        let user = user.ok_or_else(unauthorized)?;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST_KNOWN {
            known.clear();
        }
        known.insert(digest, (user.clone(), now));
        Ok(user)
    }
}

impl Who {
    /// Whose requests have one set of idempotency keys.
    pub(crate) fn caller(&self) -> Caller {
        match self {
            Self::BackEnd { .. } => Caller::BackEnd,
            Self::Worker { worker, .. } => Caller::Worker(worker.clone()),
        }
    }

    /// A name to count by.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::BackEnd { key } => key,
            Self::Worker { worker, .. } => worker.as_str(),
        }
    }

    /// Nobody in Flex asks in another's name.
    pub(crate) fn may_ask_for(&self, asked_for: Option<&WorkerSid>) -> Result<(), Refused> {
        match self {
            Self::Worker { worker, .. } if asked_for != Some(worker) => {
                Err(forbidden("A Flex token speaks for its own worker_sid alone."))
            }
            _ => Ok(()),
        }
    }

    /// Whether this is theirs to see.
    pub(crate) fn may_see(&self, caller: &Caller) -> bool {
        match self {
            Self::BackEnd { .. } => true,
            Self::Worker { worker, .. } => *caller == Caller::Worker(worker.clone()),
        }
    }

    /// As whom the first message is sent: an agent speaks for themselves, as Twilio knows them.
    pub(crate) fn author(&self, initiator: &Initiator) -> Option<Personal<String>> {
        match (self, initiator) {
            (Self::Worker { identity, .. }, Initiator::Agent(_)) => identity.clone(),
            _ => None,
        }
    }
}

/// The token of a `Bearer` header.
fn bearer(authorization: &str) -> Option<&str> {
    let (scheme, token) = authorization.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

fn unauthorized() -> Refused {
    let detail = "A valid API key (Authorization: Bearer …) or Flex token (X-Flex-Token) is needed.";
    let mut response = problem(StatusCode::UNAUTHORIZED, "unauthorized", detail);
    response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    response.into()
}

fn forbidden(detail: &str) -> Refused {
    problem(StatusCode::FORBIDDEN, "forbidden", detail).into()
}
