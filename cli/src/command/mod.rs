//! The subcommands, one file each.

mod adopt;
mod completions;
mod demo;
mod dev;
mod doctor;
mod explain;
pub(crate) mod paint;
mod replay;
mod setup;
mod sign;
mod sweep;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The glue between Twilio Flex Conversations and AWS Lambda, on one machine.
#[derive(Debug, Parser)]
#[command(name = "flexglue", version, about, after_help = EXAMPLES)]
pub struct Cli {
    /// The stack whose functions' variables are used, where the environment does not say otherwise
    #[arg(long, global = true, env = "FLEXGLUE_STACK", value_name = "NAME")]
    stack: Option<String>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Tells the life of a conversation: what happened, where it stands, who should act
    Explain(explain::Explain),
    /// Looks whether an account and a table are as flexglue needs them, and says what mends them
    Doctor(doctor::Doctor),
    /// Shows what is to be changed at Twilio, and with --apply makes it
    Setup(setup::Setup),
    /// Has a conversation served that nobody serves
    Adopt(adopt::Adopt),
    /// Runs the sweeper once, now
    Sweep(sweep::Sweep),
    /// Takes recorded events once more
    Replay(replay::Arguments),
    /// Tells the whole story on embedded parts, and exits 1 if a promise breaks
    Demo(demo::Demo),
    /// Serves every function on one port, beside the embedded DynamoDB and a simulated Twilio
    Dev(dev::Dev),
    /// Signs a request as Twilio would, and prints the event that Lambda makes of it
    Sign(sign::Sign),
    /// Prints a completion script for a shell
    Completions(completions::Completions),
}

/// What most people come for.
const EXAMPLES: &str = "Most often:
  flexglue explain CH…         what happened to a conversation, and who should act
  flexglue explain +15551230001
  flexglue doctor              is the account as it must be?
  flexglue demo                all of it on this machine, without an account

The commands that work on a real account take the variables that the functions have (--stack finds them), and AWS's
credentials from wherever its own tools find them.";

impl Cli {
    /// Runs what was asked for.
    ///
    /// # Errors
    /// Where it could not be begun at all.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let stack = self.stack.as_deref();
        match self.command {
            Command::Explain(explain) => explain.run(stack).await,
            Command::Doctor(doctor) => doctor.run(stack).await,
            Command::Setup(setup) => setup.run(stack).await,
            Command::Adopt(adopt) => adopt.run(stack).await,
            Command::Sweep(sweep) => sweep.run(stack).await,
            Command::Replay(replay) => replay.run(stack).await,
            Command::Demo(demo) => demo.run().await,
            Command::Dev(dev) => dev.run().await,
            Command::Sign(sign) => sign.run(),
            Command::Completions(completions) => Ok(completions.run()),
        }
    }
}
