//! The subcommands, one file each.

mod demo;
mod dev;
mod paint;
mod sign;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The glue between Twilio Flex Conversations and AWS Lambda, on one machine.
#[derive(Debug, Parser)]
#[command(name = "flexglue", version, about)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Tells the whole story on embedded parts, and exits 1 if a promise breaks
    Demo(demo::Demo),
    /// Serves every function on one port, beside the embedded DynamoDB and a simulated Twilio
    Dev(dev::Dev),
    /// Signs a request as Twilio would, and prints the event that Lambda makes of it
    Sign(sign::Sign),
}

impl Cli {
    /// Runs what was asked for.
    ///
    /// # Errors
    /// Where the parts could not be started at all.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        match self.command {
            Command::Demo(demo) => demo.run().await,
            Command::Dev(dev) => dev.run().await,
            Command::Sign(sign) => sign.run(),
        }
    }
}
