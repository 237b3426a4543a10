//! Hears every log line of ours, and knows what may be in none of them.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use flexglue::local::system::{API_KEY, OUTBOUND_API_KEY};
use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
    subscriber::DefaultGuard,
};
use tracing_subscriber::{
    layer::{Context, Layer, SubscriberExt as _},
    registry::Registry,
};

use super::people::{PRIVATE, PRIVATE_NUMBERS};
use crate::rig::Rig;

/// Listens to one run.
#[derive(Clone, Debug)]
pub(super) struct Ear {
    secrets: Arc<[String]>,
    heard: Arc<Mutex<Option<String>>>,
}

impl Ear {
    pub(super) fn new(rig: &Rig) -> Self {
        let account = rig.system.twilio.settings();
        let secrets = [
            account.auth_token.as_str(),
            API_KEY.1,
            OUTBOUND_API_KEY,
            PRIVATE,
            PRIVATE_NUMBERS,
            // Our own numbers.
            "5557770000",
            // What every JWT begins with.
            "eyJ",
        ];
        Self { secrets: secrets.map(str::to_owned).into(), heard: Arc::default() }
    }

    /// Listens on this thread until the guard is dropped.
    pub(super) fn listen(&self) -> DefaultGuard {
        tracing::subscriber::set_default(Registry::default().with(self.clone()))
    }

    /// The first line that should not have been.
    pub(super) fn heard(&self) -> Option<String> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn hear(&self, line: &str) {
        if let Some(secret) = self.secrets.iter().find(|secret| line.contains(*secret)) {
            let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
            heard.get_or_insert_with(|| format!("a log line holds {secret}: {line}"));
        }
    }
}

/// All fields of a line.
#[derive(Default)]
struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        use fmt::Write as _;
        // Writing to a string cannot fail.
        let _ = write!(self.0, "{}={value:?} ", field.name());
    }
}

/// The crates whose every line is heard.
const OURS: [&str; 6] = [
    "shared",
    "inbound_webhook",
    "outbound_participant",
    "orphan_sweeper",
    "taskrouter_events",
    "webchat_token",
];

impl<S: Subscriber> Layer<S> for Ear {
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        let target = metadata.target().split("::").next().unwrap_or_default();
        OURS.contains(&target) || *metadata.level() <= tracing::Level::WARN
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, _: &Id, _: Context<'_, S>) {
        let mut line = Line::default();
        attributes.record(&mut line);
        self.hear(&line.0);
    }

    fn on_record(&self, _: &Id, values: &Record<'_>, _: Context<'_, S>) {
        let mut line = Line::default();
        values.record(&mut line);
        self.hear(&line.0);
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut line = Line::default();
        event.record(&mut line);
        self.hear(&line.0);
    }
}
