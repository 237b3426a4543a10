//! The subcommands, one file each.

mod adopt;
mod demo;
mod dev;
mod doctor;
mod explain;
pub(crate) mod paint;
mod setup;
mod sign;
mod sweep;

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
    /// Looks whether an account and a table are as flexglue needs them, and says what mends them
    Doctor(doctor::Doctor),
    /// Shows what is to be changed at Twilio, and with --apply makes it
    Setup(setup::Setup),
    /// Tells the life of a conversation: what happened, where it stands, who should act
    Explain(explain::Explain),
    /// Has a conversation served that nobody serves
    Adopt(adopt::Adopt),
    /// Runs the sweeper once, now
    Sweep(sweep::Sweep),
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
            Command::Doctor(doctor) => doctor.run().await,
            Command::Setup(setup) => setup.run().await,
            Command::Explain(explain) => explain.run().await,
            Command::Adopt(adopt) => adopt.run().await,
            Command::Sweep(sweep) => sweep.run().await,
            Command::Sign(sign) => sign.run(),
        }
    }
}
