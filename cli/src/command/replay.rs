//! `flexglue replay`: takes recorded events once more.

use std::{fs, io::Read as _, process::ExitCode};

use anstream::println;
use anyhow::{Context as _, ensure};
use clap::Args;
use shared::config::SecretSettings;

use super::paint::{BAD, FAINT, GOOD, paint};
use crate::{
    live::{Live, say_what_goes_wrong},
    replay::{Replay, Replayed, read},
};

/// Options of `flexglue replay`.
///
/// Exits 0 where all were taken, 1 where one was not, and 2 where they could not be read.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// A file of Lambda events (JSON, one after the other), of what `aws sqs receive-message` prints, or of webhooks' forms, a
    /// line each; `-` reads standard input
    file: String,
    /// Prints one JSON object for each, on a line of its own
    #[arg(long)]
    json: bool,
}

impl Arguments {
    pub(super) async fn run(self, stack: Option<&str>) -> anyhow::Result<ExitCode> {
        say_what_goes_wrong();
        let mut text = String::new();
        if self.file == "-" {
            std::io::stdin().read_to_string(&mut text)?;
        } else {
            text = fs::read_to_string(&self.file).with_context(|| format!("{} cannot be read", self.file))?;
        }
        let recorded = read(&text)?;
        let live = Live::new(stack).await?;
        ensure!(
            !matches!(&live.settings.secrets, SecretSettings::Given(credentials) if credentials.login.is_some()),
            "signatures are checked with the auth token: set TWILIO_SECRET_ARN or TWILIO_AUTH_TOKEN"
        );
        let mut replay = Replay::new(&live.settings, &live.world);
        let mut all = true;
        for entry in &recorded {
            let replayed = replay.take(entry).await;
            all &= replayed.as_ref().is_none_or(|replayed| replayed.taken);
            if self.json {
                println!("{}", serde_json::to_string(&replayed)?);
            } else {
                show(replayed.as_ref());
            }
        }
        Ok(if all { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

fn show(replayed: Option<&Replayed>) {
    let Some(Replayed { function, status, said, taken }) = replayed else {
        return println!("{}", paint(FAINT, "· the same again"));
    };
    let (sign, style) = if *taken { ("✓", GOOD) } else { ("✗", BAD) };
    let status = status.map_or_else(String::new, |status| format!(" {status}"));
    println!("{} {}{status}: {said}", paint(style, sign), function.unwrap_or("no function"));
}
