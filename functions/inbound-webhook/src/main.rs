//! The Lambda function: reads its configuration, and serves.

use std::{process::ExitCode, sync::Arc};

use inbound_webhook::InboundWebhook;
use shared::{
    config::Settings,
    gateway,
    parts::World,
    start::{self, Failure},
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    start::function("inbound-webhook", Box::pin(serve())).await
}

async fn serve() -> Result<(), Failure> {
    let settings = Settings::from_environment()?;
    let world = World::in_lambda().await?;
    let clock = Arc::clone(&world.clock);
    gateway::run(Arc::new(InboundWebhook::new(&settings, &world)), clock).await
}
