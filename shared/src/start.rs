//! How every function's process starts and ends.

use std::{error::Error, process::ExitCode, sync::Arc};

use crate::{
    clock::SystemClock,
    config::{ConfigError, Settings},
    gateway::{self, HttpFunction},
    parts::World,
    telemetry,
};

/// What may keep a function from serving.
pub type Failure = Box<dyn Error + Send + Sync>;

/// Starts logging and serves. A function that cannot serve says why, once, and ends with a failure, which Lambda
/// shows as an error of its init phase.
pub async fn function(name: &str, serve: impl Future<Output = Result<(), Failure>>) -> ExitCode {
    telemetry::start_logging(Arc::new(SystemClock), |variable| std::env::var(variable).ok());
    match serve.await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            telemetry::fatal(name, &*error);
            ExitCode::FAILURE
        }
    }
}

/// Starts a function that answers HTTP: reads its configuration, builds it, and serves until Lambda ends the
/// process.
pub async fn http_function<F: HttpFunction + 'static>(
    name: &str,
    build: impl FnOnce(&Settings, &World) -> Result<F, ConfigError>,
) -> ExitCode {
    let serve = async {
        let settings = Settings::from_environment()?;
        let world = World::in_lambda().await?;
        let clock = Arc::clone(&world.clock);
        gateway::run(Arc::new(build(&settings, &world)?), clock).await
    };
    function(name, Box::pin(serve)).await
}
