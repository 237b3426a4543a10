//! `flexglue sweep`: what orphan-sweeper does once a minute, now and from here. It may run beside the function: whose
//! conditional write wins has the record.

use std::{process::ExitCode, time::Duration};

use anstream::println;
use clap::Args;
use orphan_sweeper::{OrphanSweeper, Planned, SweepReport, SweepRequest};
use shared::clock::Deadline;

use super::paint::{BAD, HEADING, paint};
use crate::live::{Live, say_what_goes_wrong};

/// Options of `flexglue sweep`.
#[derive(Debug, Args)]
pub(super) struct Sweep {
    /// Says what it would do, and changes nothing
    #[arg(long)]
    dry_run: bool,
    /// Takes in what TaskRouter told in so many hours past, as after an outage; its log goes back 30 days
    #[arg(long, default_value_t = 0, value_name = "HOURS", value_parser = clap::value_parser!(u32).range(0..=720))]
    backfill_hours: u32,
    /// How long it may take; what is left over then is the next sweep's
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u64).range(5..=3600))]
    seconds: u64,
    /// Prints the report as JSON
    #[arg(long)]
    json: bool,
}

impl Sweep {
    pub(super) async fn run(self, stack: Option<&str>) -> anyhow::Result<ExitCode> {
        say_what_goes_wrong();
        let live = Live::new(stack).await?;
        let sweeper = OrphanSweeper::new(&live.settings, &live.world);
        let request = SweepRequest { dry_run: self.dry_run, backfill_hours: self.backfill_hours };
        let report = sweeper.sweep(request, Deadline::within(Duration::from_secs(self.seconds))).await;
        if self.json {
            println!("{}", serde_json::to_string(&report)?);
        } else {
            show(&report, self.dry_run);
        }
        Ok(if report.errors == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

fn show(report: &SweepReport, dry_run: bool) {
    let SweepReport { due, finished, compensated, adopted, reinvited, closed, left, errors, plan } = report;
    let heading = if dry_run { format!("{due} due; nothing was changed") } else { format!("{due} due") };
    println!("{}", paint(HEADING, heading));
    for Planned { conversation_sid, outbound_id, guest, would } in plan {
        let conversation = conversation_sid.iter().map(ToString::to_string);
        let reach = outbound_id.iter().map(|id| format!("outbound reach {id}"));
        let chat = guest.iter().map(|guest| format!("web chat of {guest}"));
        let which: Vec<String> = conversation.chain(reach).chain(chat).collect();
        println!("  {}\n    {would}", which.join(", "));
    }
    for (count, what) in [
        (finished, "finished: what was left half-way is done"),
        (compensated, "compensated: an Interaction that did not come up was made again"),
        (adopted, "adopted: no webhook had told of them"),
        (reinvited, "reinvited: agents were invited again"),
        (closed, "closed"),
        (left, "left: nothing was to be done now"),
    ] {
        if *count > 0 && !dry_run {
            println!("  {count:>6} {what}");
        }
    }
    if *errors > 0 {
        println!("{}", paint(BAD, format!("  {errors:>6} could not be dealt with, and stay due")));
    }
}
