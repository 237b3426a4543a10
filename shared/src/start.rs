//! How every function's process starts and ends.

use std::{error::Error, process::ExitCode, sync::Arc};

use crate::{clock::SystemClock, telemetry};

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
