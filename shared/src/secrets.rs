//! Secret values, and where they come from: one secret of AWS Secrets Manager, or, for local runs, the
//! environment.

use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use serde::Deserialize;

use crate::clock::{Clock, Timestamp};

/// A value that must not reach a log: it prints as `***` and gives itself out only by [`Secret::expose`].
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(Box<str>);

impl Secret {
    /// Takes a value into keeping.
    #[must_use]
    pub fn new(value: impl Into<Box<str>>) -> Self {
        Self(value.into())
    }

    /// The value itself, for the one line that needs it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Everything secret that the functions need. In Secrets Manager this is the JSON text of the secret.
#[derive(Clone, Debug, Deserialize)]
pub struct Credentials {
    /// The account's primary auth token: signs Twilio's requests to us and is the password of ours to it.
    pub auth_token: Secret,
    /// A second token whose signatures are accepted, for the time of a
    /// [rotation](https://www.twilio.com/docs/iam/api/authtoken).
    #[serde(default)]
    pub auth_token_secondary: Option<Secret>,
}

impl Credentials {
    /// The tokens whose signatures are accepted.
    #[must_use]
    pub fn signing_tokens(&self) -> Vec<Secret> {
        std::iter::once(&self.auth_token).chain(&self.auth_token_secondary).cloned().collect()
    }
}

/// Where the credentials are read from.
#[derive(Debug, Clone)]
pub enum SecretSource {
    /// Given at start and never read again.
    Given(Credentials),
    /// A secret of Secrets Manager.
    SecretsManager {
        /// Asks for it.
        client: aws_sdk_secretsmanager::Client,
        /// Which one.
        arn: String,
    },
}

/// Why there are no credentials.
#[derive(Debug, thiserror::Error)]
pub enum SecretsError {
    /// Secrets Manager did not give the secret.
    #[error("the secret of TWILIO_SECRET_ARN could not be read")]
    Unreadable,
    /// The secret is not what it should be. Says where, never what stands there.
    #[error(
        "the secret of TWILIO_SECRET_ARN must be JSON with a text `auth_token` \
         (and perhaps `auth_token_secondary`); it is wrong at line {line}, column {column}"
    )]
    Malformed {
        /// Line of the JSON text.
        line: usize,
        /// Column of the JSON text.
        column: usize,
    },
}

#[derive(Debug)]
struct Cached {
    credentials: Arc<Credentials>,
    read_at: Timestamp,
    /// When a caller last had it read again out of turn.
    forced_at: Option<Timestamp>,
}

/// Keeps the credentials, and reads them again now and then.
#[derive(Debug)]
pub struct Secrets {
    source: SecretSource,
    clock: Arc<dyn Clock>,
    cached: RwLock<Option<Cached>>,
}

/// After this the secret is read again.
const FRESH_FOR: Duration = Duration::from_mins(5);
/// Reading out of turn (a signature failed, Twilio said 401) happens at most this often: whoever sends
/// forged requests must not make us call Secrets Manager for each.
const FORCE_AT_MOST_EVERY: Duration = Duration::from_secs(30);

impl Secrets {
    /// Nothing is read yet.
    #[must_use]
    pub fn new(source: SecretSource, clock: Arc<dyn Clock>) -> Self {
        Self { source, clock, cached: RwLock::new(None) }
    }

    /// The credentials. Where they are due to be read again and cannot be, the old ones serve on.
    pub async fn current(&self) -> Result<Arc<Credentials>, SecretsError> {
        let now = self.clock.now();
        let (old, forced_at) = match &*self.cached.read().unwrap_or_else(PoisonError::into_inner) {
            Some(cached) if now.since(cached.read_at) < FRESH_FOR => {
                return Ok(Arc::clone(&cached.credentials));
            }
            Some(cached) => (Some(Arc::clone(&cached.credentials)), cached.forced_at),
            None => (None, None),
        };
        match (self.read().await, old) {
            (Ok(credentials), _) => Ok(self.keep(credentials, now, forced_at)),
            (Err(error), Some(old)) => {
                tracing::error!(%error, "going on with the secret read before");
                Ok(old)
            }
            (Err(error), None) => Err(error),
        }
    }

    /// Reads the credentials now, because what they said was refused. `true` where they have changed, so
    /// that another try is worth it.
    pub async fn refresh(&self) -> bool {
        let now = self.clock.now();
        let old = {
            let mut cached = self.cached.write().unwrap_or_else(PoisonError::into_inner);
            let Some(cached) = cached.as_mut() else { return false };
            if cached.forced_at.is_some_and(|at| now.since(at) < FORCE_AT_MOST_EVERY) {
                return false;
            }
            cached.forced_at = Some(now);
            Arc::clone(&cached.credentials)
        };
        match self.read().await {
            Ok(new) => {
                let changed = new.signing_tokens() != old.signing_tokens();
                self.keep(new, now, Some(now));
                changed
            }
            Err(error) => {
                tracing::error!(%error, "going on with the secret read before");
                false
            }
        }
    }

    fn keep(
        &self,
        credentials: Credentials,
        read_at: Timestamp,
        forced_at: Option<Timestamp>,
    ) -> Arc<Credentials> {
        let credentials = Arc::new(credentials);
        *self.cached.write().unwrap_or_else(PoisonError::into_inner) =
            Some(Cached { credentials: Arc::clone(&credentials), read_at, forced_at });
        credentials
    }

    async fn read(&self) -> Result<Credentials, SecretsError> {
        match &self.source {
            SecretSource::Given(credentials) => Ok(credentials.clone()),
            SecretSource::SecretsManager { client, arn } => {
                let answer = client.get_secret_value().secret_id(arn).send().await.map_err(|error| {
                    // The error names the operation and its reason, never the value.
                    tracing::error!(error = %aws_smithy_types::error::display::DisplayErrorContext(&error));
                    SecretsError::Unreadable
                })?;
                let text = answer.secret_string().ok_or(SecretsError::Unreadable)?;
                serde_json::from_str(text)
                    .map_err(|error| SecretsError::Malformed { line: error.line(), column: error.column() })
            }
        }
    }
}
