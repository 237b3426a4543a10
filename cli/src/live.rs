//! The real thing, from an operator's machine: an account at Twilio and a table in AWS, as the functions' own variables
//! name them.

use std::{io, io::IsTerminal as _, sync::Arc};

use anyhow::{Context as _, ensure};
use aws_config::BehaviorVersion;
use shared::{
    clock::{Clock, SystemClock},
    config::Settings,
    parts::World,
    random::SystemRandom,
    transport::{HttpsTransport, SdkHttp, Transport},
};
use tracing::level_filters::LevelFilter;

/// What the commands that touch a real account are handed.
pub struct Live {
    /// The variables.
    pub settings: Settings,
    /// The way to Twilio and AWS.
    pub world: World,
}

impl Live {
    /// As the environment says. AWS's credentials and region are looked for wherever AWS's own tools look
    /// ([settings](https://docs.aws.amazon.com/sdkref/latest/guide/standardized-credentials.html)): variables, profiles,
    /// single sign-on, a process, the instance.
    ///
    /// # Errors
    /// Where a variable is missing or malformed; all of them are named.
    pub async fn from_environment() -> anyhow::Result<Self> {
        let settings = Settings::from_environment().context(
            "flexglue takes the variables that the functions have (docs/runbook.md says how to get them)",
        )?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let transport: Arc<dyn Transport> = Arc::new(HttpsTransport::from_environment()?);
        let aws = aws_config::defaults(BehaviorVersion::latest())
            .http_client(SdkHttp(Arc::clone(&transport)))
            .load()
            .await;
        ensure!(
            aws.region().is_some_and(|region| !region.as_ref().is_empty()),
            "AWS_REGION, or the profile of AWS_PROFILE, must name the table's region"
        );
        let world = World {
            clock,
            random: Arc::new(SystemRandom),
            twilio: Arc::clone(&transport),
            web: transport,
            aws,
            // What is done by hand is not counted among what the functions do.
            emit: Arc::new(|_| {}),
        };
        Ok(Self { settings, world })
    }
}

/// Has what goes wrong on the way said on standard error, where it disturbs no output.
pub(crate) fn say_what_goes_wrong() {
    let colours =
        io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let subscriber = tracing_subscriber::fmt()
        .with_writer(io::stderr)
        .with_ansi(colours)
        .with_max_level(LevelFilter::WARN)
        .with_target(false)
        .without_time()
        .finish();
    // Set already: then somebody else says it.
    drop(tracing::subscriber::set_global_default(subscriber));
}
