//! Secret values, and where they come from: one secret of AWS Secrets Manager, or, for local runs, the
//! environment.

use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use serde::{Deserialize, Deserializer, de};

use crate::{
    access_token::ApiKey,
    aws::Lazy,
    clock::{Clock, Timestamp},
    sid::ApiKeySid,
};

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

impl From<String> for Secret {
    fn from(value: String) -> Self {
        Self::new(value)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Everything secret that the functions need. In Secrets Manager this is the JSON text of the secret.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Credentials {
    /// The account's primary auth token: signs Twilio's requests to us and is the password of ours to it.
    #[serde(deserialize_with = "required")]
    pub auth_token: Secret,
    /// Who logs in at Twilio where that is not the account with its token: an
    /// [API key](https://www.twilio.com/docs/iam/api-keys) of an operator. Never of a function, and never in the secret.
    #[serde(skip)]
    pub login: Option<ApiKey>,
    /// A second token whose signatures are accepted, for the time of a
    /// [rotation](https://www.twilio.com/docs/iam/api/authtoken).
    #[serde(default, deserialize_with = "filled_in")]
    pub auth_token_secondary: Option<Secret>,
    /// The keys by which back ends call `outbound-participant`. Several, so that one can be replaced without a
    /// gap.
    #[serde(default, deserialize_with = "all_filled_in")]
    pub outbound_api_keys: Vec<Secret>,
    /// The SID of the API key that signs the tokens of web chats.
    #[serde(default, deserialize_with = "filled_in")]
    pub api_key_sid: Option<ApiKeySid>,
    /// Its secret.
    #[serde(default, deserialize_with = "filled_in")]
    pub api_key_secret: Option<Secret>,
    /// The key that signed them before: chats that go on meanwhile are not cut off.
    #[serde(default, deserialize_with = "filled_in")]
    pub api_key_sid_secondary: Option<ApiKeySid>,
    /// Its secret.
    #[serde(default, deserialize_with = "filled_in")]
    pub api_key_secret_secondary: Option<Secret>,
    /// By which a CAPTCHA's verdict is asked for before a web chat begins.
    #[serde(default, deserialize_with = "filled_in")]
    pub webchat_captcha_secret: Option<Secret>,
    /// By which sites sign who their signed-in customers are.
    #[serde(default, deserialize_with = "filled_in")]
    pub webchat_customer_secret: Option<Secret>,
}

/// A value that nobody has filled in is none: an empty key is one that everybody has.
fn filled_in<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: TryFrom<String, Error: fmt::Display>,
{
    let text: Option<String> = Option::deserialize(deserializer)?;
    let text = text.filter(|text| !text.trim().is_empty());
    text.map(T::try_from).transpose().map_err(de::Error::custom)
}

fn required<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Secret, D::Error> {
    filled_in(deserializer)?.ok_or_else(|| de::Error::custom("it is empty"))
}

fn all_filled_in<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Secret>, D::Error> {
    let mut secrets: Vec<Secret> = Vec::deserialize(deserializer)?;
    secrets.retain(|secret| !secret.expose().trim().is_empty());
    Ok(secrets)
}

impl Credentials {
    /// Nothing but the account's token.
    #[must_use]
    pub fn of(auth_token: Secret) -> Self {
        Self {
            auth_token,
            login: None,
            auth_token_secondary: None,
            outbound_api_keys: Vec::new(),
            api_key_sid: None,
            api_key_secret: None,
            api_key_sid_secondary: None,
            api_key_secret_secondary: None,
            webchat_captcha_secret: None,
            webchat_customer_secret: None,
        }
    }

    /// The keys whose tokens are accepted, the one that signs new ones first.
    #[must_use]
    pub fn api_keys(&self) -> Vec<ApiKey> {
        let key = |sid: &Option<ApiKeySid>, secret: &Option<Secret>| {
            Some(ApiKey { sid: sid.clone()?, secret: secret.clone()? })
        };
        key(&self.api_key_sid, &self.api_key_secret)
            .into_iter()
            .chain(key(&self.api_key_sid_secondary, &self.api_key_secret_secondary))
            .collect()
    }

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
        client: Lazy<aws_sdk_secretsmanager::Client>,
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
        "the secret of TWILIO_SECRET_ARN must be JSON with a text `auth_token` (and perhaps others, and a list \
         `outbound_api_keys`); it is wrong at line {line}, column {column}"
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
    /// Whoever is at reading the secret: others wait for what they get.
    reading: tokio::sync::Mutex<()>,
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
        Self { source, clock, cached: RwLock::default(), reading: tokio::sync::Mutex::default() }
    }

    /// The credentials. Where they are due to be read again and cannot be, the old ones serve on.
    pub async fn current(&self) -> Result<Arc<Credentials>, SecretsError> {
        if let Some(fresh) = self.fresh() {
            return Ok(fresh);
        }
        let _reading = self.reading.lock().await;
        if let Some(fresh) = self.fresh() {
            return Ok(fresh);
        }
        let (old, forced_at) = match &*self.cached.read().unwrap_or_else(PoisonError::into_inner) {
            Some(cached) => (Some(Arc::clone(&cached.credentials)), cached.forced_at),
            None => (None, None),
        };
        let now = self.clock.now();
        match (self.read().await, old) {
            (Ok(credentials), _) => Ok(self.keep(credentials, now, forced_at)),
            (Err(error), Some(old)) => {
                tracing::error!(%error, "going on with the secret read before");
                Ok(old)
            }
            (Err(error), None) => Err(error),
        }
    }

    /// The credentials, where they were read lately.
    fn fresh(&self) -> Option<Arc<Credentials>> {
        let cached = self.cached.read().unwrap_or_else(PoisonError::into_inner);
        let fresh = cached.as_ref().filter(|cached| self.clock.now().since(cached.read_at) < FRESH_FOR);
        fresh.map(|cached| Arc::clone(&cached.credentials))
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
                let changed = new != *old;
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
                    tracing::error!(reason = crate::aws::reason(&error), "Secrets Manager");
                    SecretsError::Unreadable
                })?;
                let text = answer.secret_string().ok_or(SecretsError::Unreadable)?;
                serde_json::from_str(text)
                    .map_err(|error| SecretsError::Malformed { line: error.line(), column: error.column() })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use bytes::Bytes;
    use futures_util::future::BoxFuture;

    use super::*;
    use crate::{
        clock::TokioClock,
        transport::{Transport, TransportError},
    };

    /// A Secrets Manager that gives the next of its answers, and the last for ever.
    #[derive(Debug)]
    struct Manager {
        answers: Vec<(u16, &'static str)>,
        asked: AtomicUsize,
    }

    impl Transport for Manager {
        fn send(
            &self,
            _: http::Request<Bytes>,
        ) -> BoxFuture<'_, Result<http::Response<Bytes>, TransportError>> {
            let (status, secret) =
                self.answers[self.asked.fetch_add(1, Ordering::SeqCst).min(self.answers.len() - 1)];
            let body = serde_json::json!({"SecretString": secret, "__type": "InternalServiceError"});
            Box::pin(async move {
                tokio::task::yield_now().await;
                Ok(http::Response::builder().status(status).body(Bytes::from(body.to_string())).unwrap())
            })
        }
    }

    const OLD: (u16, &str) = (200, r#"{"auth_token":"old"}"#);
    const NEW: (u16, &str) = (200, r#"{"auth_token":"new","auth_token_secondary":"old","unknown":1}"#);

    async fn secrets(answers: &[(u16, &'static str)]) -> (Arc<Manager>, Secrets) {
        let manager = Arc::new(Manager { answers: answers.to_vec(), asked: AtomicUsize::new(0) });
        let clock: Arc<dyn Clock> = Arc::new(TokioClock::starting_at(Timestamp::from_seconds(1_800_000_000)));
        let transport: Arc<dyn Transport> = Arc::clone(&manager) as _;
        let aws = crate::aws::local(&clock, &transport, "http://secrets.local").await;
        let client = Lazy::new(move || aws_sdk_secretsmanager::Client::new(&aws));
        let source = SecretSource::SecretsManager { client, arn: "arn:aws:secretsmanager:x".to_owned() };
        (manager, Secrets::new(source, clock))
    }

    async fn token(secrets: &Secrets) -> String {
        secrets.current().await.unwrap().auth_token.expose().to_owned()
    }

    #[tokio::test(start_paused = true)]
    async fn the_secret_is_read_once_and_again_on_schedule() {
        let (manager, secrets) = secrets(&[OLD, NEW]).await;
        assert_eq!((token(&secrets).await, token(&secrets).await), ("old".to_owned(), "old".to_owned()));
        assert_eq!(manager.asked.load(Ordering::SeqCst), 1);
        tokio::time::advance(FRESH_FOR).await;
        assert_eq!(token(&secrets).await, "new");
        assert_eq!(secrets.current().await.unwrap().signing_tokens().len(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_wants_it_while_it_is_read_waits_for_it() {
        let (manager, secrets) = secrets(&[OLD]).await;
        tokio::join!(token(&secrets), token(&secrets), token(&secrets));
        assert_eq!(manager.asked.load(Ordering::SeqCst), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_has_it_read_at_once_but_a_storm_of_them_does_not() {
        let (manager, secrets) = secrets(&[OLD, NEW]).await;
        token(&secrets).await;
        assert!(secrets.refresh().await, "it has changed");
        assert_eq!(token(&secrets).await, "new");
        for _ in 0..100 {
            assert!(!secrets.refresh().await);
        }
        assert_eq!(manager.asked.load(Ordering::SeqCst), 2);
        tokio::time::advance(FORCE_AT_MOST_EVERY).await;
        assert!(!secrets.refresh().await, "read again, but the same");
        assert_eq!(manager.asked.load(Ordering::SeqCst), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn the_old_secret_serves_on_while_the_new_cannot_be_read() {
        let (_, secrets) = secrets(&[OLD, (500, ""), (500, ""), (500, ""), (200, "not json"), NEW]).await;
        token(&secrets).await;
        tokio::time::advance(FRESH_FOR).await;
        assert_eq!(token(&secrets).await, "old");
        assert_eq!(token(&secrets).await, "old");
        assert_eq!(token(&secrets).await, "new");
    }

    #[tokio::test(start_paused = true)]
    async fn a_malformed_secret_is_an_error_that_does_not_repeat_it() {
        let (_, secrets) = secrets(&[(200, r#"{"auth_tokn":"s3cret"}"#)]).await;
        let error = secrets.current().await.unwrap_err().to_string();
        assert!(error.contains("auth_token") && !error.contains("s3cret"), "{error}");
    }

    /// Whoever fills in the secret leaves some of it empty. Anybody could sign with an empty key.
    #[test]
    fn what_is_left_empty_is_no_key() {
        let empty = r#"{"auth_token": "t", "auth_token_secondary": "", "outbound_api_keys": ["", "k", " "],
            "api_key_sid": "", "api_key_secret": "", "api_key_sid_secondary": null, "webchat_captcha_secret": " ",
            "webchat_customer_secret": ""}"#;
        let credentials: Credentials = serde_json::from_str(empty).unwrap();
        let expected =
            Credentials { outbound_api_keys: vec![Secret::new("k")], ..Credentials::of(Secret::new("t")) };
        assert_eq!(credentials, expected);
        assert_eq!((credentials.signing_tokens().len(), credentials.api_keys().len()), (1, 0));
        for nothing in [r#"{"auth_token": ""}"#, r#"{"auth_token": null}"#, "{}"] {
            assert!(serde_json::from_str::<Credentials>(nothing).is_err(), "{nothing}");
        }
    }

    #[test]
    fn secrets_do_not_print_themselves() {
        let credentials: Credentials = serde_json::from_str(NEW.1).unwrap();
        let printed = format!("{credentials:?}");
        assert!(!printed.contains("new") && !printed.contains("old"), "{printed}");
    }
}
