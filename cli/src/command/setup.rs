//! `flexglue setup`: Twilio's side, shown as a plan, made, and undone.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anstream::println;
use clap::Args;
use serde_json::{Value, json};
use shared::{clock::Deadline, parts::Parts, twilio::attachments};

use super::paint::{BAD, FAINT, GOOD, HEADING, WARNING, paint, wrap};
use crate::{
    live::{Live, say_what_goes_wrong},
    setup::{Change, Done, Owner, Setting, SetupError, begin, load, make, plan, unmake},
};

/// Options of `flexglue setup`.
///
/// Exits 0 where all is as it is to be, or only a plan was asked for, 1 where something was left that is somebody else's, and
/// 2 where something could not be done.
#[derive(Debug, Args)]
pub(super) struct Setup {
    /// Makes what the plan says; without it nothing is changed
    #[arg(long)]
    apply: bool,
    /// Takes what somebody else uses, too
    #[arg(long)]
    force: bool,
    /// Channels on which files are to be allowed (sms, whatsapp, web)
    #[arg(long, value_delimiter = ',', value_name = "CHANNELS")]
    attachments: Vec<String>,
    /// Where what was before is written, behind what is there already; flexglue-setup-TIME.json unless it is said
    #[arg(long, value_name = "FILE", conflicts_with = "undo")]
    journal: Option<PathBuf>,
    /// Restores what such a file holds
    #[arg(long, value_name = "FILE", conflicts_with_all = ["apply", "attachments"])]
    undo: Option<PathBuf>,
    /// Prints one JSON object for each step, on a line of its own
    #[arg(long)]
    json: bool,
}

/// How long one step may take, and the plan.
const LIMIT: Duration = Duration::from_secs(20);

impl Setup {
    pub(super) async fn run(self, stack: Option<&str>) -> anyhow::Result<ExitCode> {
        say_what_goes_wrong();
        let live = Live::new(stack).await?;
        match &self.undo {
            Some(file) => self.undo(&live, file).await,
            None => self.set_up(&live).await,
        }
    }

    async fn set_up(&self, live: &Live) -> anyhow::Result<ExitCode> {
        let Parts { rescuer, .. } = Parts::new("flexglue", &live.settings, &live.world);
        let twilio = &rescuer.opener.twilio;
        let changes = plan(twilio, &live.settings, &self.attachments, Deadline::within(LIMIT)).await?;
        if changes.is_empty() && !self.json {
            println!("{}", paint(GOOD, "All is as it is to be."));
        }
        let now = live.world.clock.now().as_seconds();
        let path =
            self.journal.clone().unwrap_or_else(|| PathBuf::from(format!("flexglue-setup-{now}.json")));
        let mut journal = begin(&path, &live.settings.account)?;
        let before = journal.changes.len();
        let mut code = 0;
        for change in &changes {
            let done = if self.apply {
                let journal = (&mut journal, path.as_path());
                let made =
                    make(twilio, &live.settings, change, self.force, journal, Deadline::within(LIMIT)).await;
                Some(made)
            } else {
                None
            };
            code = code.max(code_of(done.as_ref()));
            self.show(change, done.as_ref(), false);
        }
        if !self.json && journal.changes.len() > before {
            println!("\nWhat was before: flexglue setup --undo {}", path.display());
        } else if !self.json && !self.apply && !changes.is_empty() {
            println!("\nNothing was changed. To make it: {}", paint(HEADING, "flexglue setup --apply"));
        }
        Ok(ExitCode::from(code))
    }

    async fn undo(&self, live: &Live, file: &Path) -> anyhow::Result<ExitCode> {
        let Parts { rescuer, .. } = Parts::new("flexglue", &live.settings, &live.world);
        let journal = load(file, &live.settings.account)?;
        let mut code = 0;
        for change in journal.changes.iter().rev() {
            let twilio = &rescuer.opener.twilio;
            let undone = unmake(twilio, &live.settings, change, self.force, Deadline::within(LIMIT)).await;
            code = code.max(code_of(Some(&undone)));
            self.show(change, Some(&undone), true);
        }
        Ok(ExitCode::from(code))
    }

    fn show(&self, change: &Change, done: Option<&Result<Done, SetupError>>, back: bool) {
        if self.json {
            println!("{}", in_json(change, done));
            return;
        }
        let (from, to) = if back { (&change.will_be, &change.is) } else { (&change.is, &change.will_be) };
        let (sign, style, note) = match done {
            Some(Ok(Done::Made)) => ("✓", GOOD, String::new()),
            Some(Ok(Done::WasSo)) => ("✓", GOOD, "it was so already".to_owned()),
            Some(Ok(Done::Left)) if back => (
                "!",
                WARNING,
                "somebody has changed it since, and it was left: --force restores it".to_owned(),
            ),
            Some(Ok(Done::Left)) => {
                ("!", WARNING, "it is somebody else's, and was left: --force takes it".to_owned())
            }
            Some(Err(error)) => ("✗", BAD, error.to_string()),
            None if change.owner == Owner::SomebodyElse => {
                ("!", WARNING, "it is somebody else's: only --force takes it".to_owned())
            }
            None => ("+", HEADING, String::new()),
        };
        println!("{} {}", paint(style, sign), name_of(from));
        for line in wrap(&format!("is {}", in_words(from)), "    ") {
            println!("{}", paint(FAINT, line));
        }
        for line in wrap(&format!("will be {}", in_words(to)), "    ") {
            println!("{line}");
        }
        if !note.is_empty() {
            for line in wrap(&note, "    ") {
                println!("{}", paint(style, line));
            }
        }
    }
}

fn code_of(done: Option<&Result<Done, SetupError>>) -> u8 {
    match done {
        None | Some(Ok(Done::Made | Done::WasSo)) => 0,
        Some(Ok(Done::Left)) => 1,
        Some(Err(_)) => 2,
    }
}

fn in_json(change: &Change, done: Option<&Result<Done, SetupError>>) -> Value {
    let mut object = json!(change);
    match done {
        None => object["done"] = Value::Null,
        Some(Ok(done)) => object["done"] = json!(done),
        Some(Err(error)) => object["error"] = error.to_string().into(),
    }
    object
}

fn name_of(setting: &Setting) -> String {
    match setting {
        Setting::Address { name, .. } => format!("address {name}"),
        Setting::Workspace { .. } => "event callback of the workspace".to_owned(),
        Setting::ClosedTimer { .. } => "close timer of conversations".to_owned(),
        Setting::Channels { .. } => "files".to_owned(),
    }
}

fn in_words(setting: &Setting) -> String {
    match setting {
        Setting::Address { creation, .. } if !creation.enabled => "switched off".to_owned(),
        Setting::Address { creation, .. } => match (creation.kind.as_deref(), &creation.studio_flow_sid) {
            (Some("webhook"), _) => format!(
                "{} {} ({})",
                creation.webhook_method.as_deref().unwrap_or("POST"),
                creation.webhook_url.as_deref().unwrap_or_default(),
                creation.webhook_filters.join(", ")
            ),
            (Some("studio"), Some(flow)) => format!("the Studio flow {flow}"),
            _ => "nobody is told".to_owned(),
        },
        Setting::Workspace { event_callback_url, .. } if event_callback_url.is_empty() => {
            "nobody is told".to_owned()
        }
        Setting::Workspace { event_callback_url, events_filter } => {
            let events = if events_filter.is_empty() { "everything" } else { events_filter };
            format!("{event_callback_url} ({})", events.replace(',', ", "))
        }
        Setting::ClosedTimer { timer } if timer.is_empty() => "never".to_owned(),
        Setting::ClosedTimer { timer } => timer.clone(),
        Setting::Channels { channel_configs } => {
            let channels = channel_configs.iter().filter_map(attachments);
            let words =
                channels.map(|(kind, enabled)| format!("{kind} {}", if enabled { "on" } else { "off" }));
            words.collect::<Vec<_>>().join(", ")
        }
    }
}
