//! The Lambda function: reads its configuration, and serves.

use std::{process::ExitCode, sync::Arc};

use inbound_webhook::InboundWebhook;
use shared::{clock::SystemClock, config::Settings, gateway, parts::World, telemetry};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    telemetry::start_logging(Arc::new(SystemClock), |name| std::env::var(name).ok());
    match serve().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            telemetry::fatal("inbound-webhook", &*error);
            ExitCode::FAILURE
        }
    }
}

async fn serve() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let settings = Settings::from_environment()?;
    let world = World::in_lambda().await?;
    let clock = Arc::clone(&world.clock);
    gateway::run(Arc::new(InboundWebhook::new(&settings, &world)), clock).await
}
