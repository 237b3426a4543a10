//! What the AWS SDK is given: no credential chain beyond what Lambda puts into the environment, and our own
//! HTTP client, clock and patience.

use std::{
    ops::Deref,
    sync::{Arc, LazyLock},
    time::Duration,
};

use aws_config::{
    BehaviorVersion, Region, SdkConfig,
    environment::{EnvironmentVariableCredentialsProvider, EnvironmentVariableRegionProvider},
    retry::RetryConfig,
    timeout::TimeoutConfig,
};
use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
use aws_runtime::env_config::file::{EnvConfigFileKind, EnvConfigFiles};
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_async::time::{SharedTimeSource, TimeSource};

use crate::{
    clock::Clock,
    transport::{SdkHttp, Transport},
};

/// The clock that requests are signed by.
#[derive(Debug)]
struct SigningClock(Arc<dyn Clock>);

impl TimeSource for SigningClock {
    fn now(&self) -> std::time::SystemTime {
        std::time::SystemTime::UNIX_EPOCH + Duration::from_millis(self.0.now().as_millis())
    }
}

/// A client that is made when it is first used. To make one the SDK parses what it knows of all regions of AWS, which takes
/// longer than all else that a start does.
#[derive(Clone, Debug)]
pub struct Lazy<C>(Arc<LazyLock<C, Box<dyn FnOnce() -> C + Send>>>);

impl<C> Lazy<C> {
    /// A client that is made like this.
    #[must_use]
    pub fn new(make: impl FnOnce() -> C + Send + 'static) -> Self {
        Self(Arc::new(LazyLock::new(Box::new(make))))
    }
}

impl<C> Deref for Lazy<C> {
    type Target = C;

    fn deref(&self) -> &C {
        &self.0
    }
}

/// How long one AWS call may take, first try and retries together. An invocation has four seconds for
/// everything; DynamoDB answers in one hundredth of one.
const CALL_LIMIT: Duration = Duration::from_millis(1500);
const TRY_LIMIT: Duration = Duration::from_millis(600);

fn common(
    loader: aws_config::ConfigLoader,
    clock: &Arc<dyn Clock>,
    transport: &Arc<dyn Transport>,
) -> aws_config::ConfigLoader {
    loader
        .http_client(SdkHttp(Arc::clone(transport)))
        .time_source(SharedTimeSource::new(SigningClock(Arc::clone(clock))))
        .retry_config(
            RetryConfig::standard().with_max_attempts(3).with_initial_backoff(Duration::from_millis(20)),
        )
        .timeout_config(
            TimeoutConfig::builder()
                .operation_timeout(CALL_LIMIT)
                .operation_attempt_timeout(TRY_LIMIT)
                .build(),
        )
}

/// Why a call failed, in a word or two. Never what was asked or answered: a refusal may quote an item.
#[must_use]
pub fn reason<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>) -> &str {
    match error {
        SdkError::ConstructionFailure(_) => "the request could not be made",
        SdkError::TimeoutError(_) => "no answer in time",
        SdkError::DispatchFailure(_) => "no connection, or it broke",
        SdkError::ResponseError(_) => "the answer could not be read",
        _ => error.code().unwrap_or("an error without a code"),
    }
}

/// No configuration file: the set may not be empty, so it holds one that is.
fn no_files() -> EnvConfigFiles {
    EnvConfigFiles::builder().with_contents(EnvConfigFileKind::Config, "").build()
}

/// The SDK's configuration in Lambda: region, credentials and endpoints from the environment
/// ([variables](https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html)), no file read.
pub async fn from_environment(clock: &Arc<dyn Clock>, transport: &Arc<dyn Transport>) -> SdkConfig {
    let loader = aws_config::defaults(BehaviorVersion::latest())
        .profile_files(no_files())
        .region(EnvironmentVariableRegionProvider::new())
        .credentials_provider(EnvironmentVariableCredentialsProvider::new());
    common(loader, clock, transport).load().await
}

/// The SDK's configuration for the embedded parts: a fixed region, credentials that open nothing, and
/// one endpoint for everything.
pub async fn local(clock: &Arc<dyn Clock>, transport: &Arc<dyn Transport>, endpoint: &str) -> SdkConfig {
    let credentials = Credentials::new("local", "local", None, None, "flexglue");
    let loader = aws_config::defaults(BehaviorVersion::latest())
        .profile_files(no_files())
        .region(Region::from_static("us-east-1"))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .endpoint_url(endpoint);
    common(loader, clock, transport).load().await
}
