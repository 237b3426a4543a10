//! `flexglue explain`: the life of a conversation on one screen.

use std::{process::ExitCode, time::Duration};

use anstream::{print, println};
use clap::Args;
use jiff::tz::TimeZone;
use shared::{clock::Deadline, parts::Parts};

use crate::{
    explain::{Found, Name, State, explain, find, text},
    live::{Live, say_what_goes_wrong},
};

/// Options of `flexglue explain`.
///
/// Exits 0 where all is well, 1 where a customer waits whom nobody serves, and 2 where it could not be found out.
#[derive(Debug, Args)]
pub(super) struct Explain {
    /// A conversation (CH…), a task (WT…), an Interaction (KD…), or a customer's address (+1555…)
    name: Name,
    /// Prints it as JSON
    #[arg(long)]
    json: bool,
}

/// How long it may take. TaskRouter answers three questions for tasks a second.
const LIMIT: Duration = Duration::from_secs(30);

impl Explain {
    pub(super) async fn run(self, stack: Option<&str>) -> anyhow::Result<ExitCode> {
        say_what_goes_wrong();
        let live = Live::new(stack).await?;
        let Parts { rescuer, .. } = Parts::new("flexglue", &live.settings, &live.world);
        let deadline = Deadline::within(LIMIT);
        let Found { conversation, others } = find(&rescuer, &self.name, deadline).await?;
        let base = live.settings.public_base_url.as_ref();
        let explanation = Box::pin(explain(&rescuer, base, &conversation, deadline)).await;
        if self.json {
            println!("{}", serde_json::to_string(&explanation)?);
        } else {
            print!("{}", text(&explanation, &TimeZone::system()));
            if !others.is_empty() {
                println!("\nEarlier conversations of the same address:");
                for other in &others {
                    println!("  {other}");
                }
            }
        }
        Ok(ExitCode::from(match explanation.standing.state {
            State::NotKnown | State::Unknown => 2,
            state if state.is_broken() => 1,
            _ => 0,
        }))
    }
}
