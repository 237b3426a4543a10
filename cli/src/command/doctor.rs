//! `flexglue doctor`: whether an account and a table are as flexglue needs them.

use std::{process::ExitCode, time::Duration};

use anstream::{print, println};
use clap::Args;
use shared::clock::Deadline;

use crate::{
    doctor::{Verdict, examine, text},
    live::Live,
};

/// Options of `flexglue doctor`.
///
/// Exits 0 where nothing is broken, 1 where something is, and 2 where something could not be looked at.
#[derive(Debug, Args)]
pub(super) struct Doctor {
    /// Prints it as JSON
    #[arg(long)]
    json: bool,
    /// How long it may take
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=300))]
    seconds: u64,
}

impl Doctor {
    pub(super) async fn run(self, stack: Option<&str>) -> anyhow::Result<ExitCode> {
        let live = Live::new(stack).await?;
        let deadline = Deadline::within(Duration::from_secs(self.seconds));
        let examination = Box::pin(examine(&live.settings, &live.world, deadline)).await;
        if self.json {
            println!("{}", serde_json::to_string(&examination)?);
        } else {
            print!("{}", text(&examination));
        }
        Ok(ExitCode::from(match examination.verdict {
            Verdict::Good | Verdict::Warning => 0,
            Verdict::Broken => 1,
            Verdict::Unknown => 2,
        }))
    }
}
