//! Everything that Twilio knows, and the passing of time in it.

use std::collections::BTreeMap;

use crate::agenda::{Agenda, Effect};
use crate::conversations::receipts::Unreachable;
use crate::conversations::{Conversation, timers};
use crate::faults::Faults;
use crate::flex::interactions::Interaction;
use crate::flex::set_up;
use crate::iam::tokens::FlexToken;
use crate::limits::Recent;
use crate::settings::Settings;
use crate::sids::Sids;
use crate::taskrouter::history::History;
use crate::taskrouter::tasks::{self, Task};
use crate::taskrouter::workflow;
use crate::webhooks::Outbox;

/// A call that reached Twilio.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestSeen {
    /// `GET`, `POST` or `DELETE`.
    pub method: String,
    /// The path with its query, as it was asked.
    pub path: String,
    /// The status that was sent, or none if no answer was.
    pub status: Option<u16>,
    /// When, in milliseconds since the epoch.
    pub at_ms: u64,
}

/// An entry of the Console's debugger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// The code, as in <https://www.twilio.com/docs/api/errors>.
    pub code: u32,
    /// What happened, in words.
    pub message: String,
    /// When, in milliseconds since the epoch.
    pub at_ms: u64,
}

/// The state. One lock guards it, so each call sees it whole.
pub(crate) struct World {
    pub(crate) settings: Settings,
    /// The time at which what is being done happens: an effect happens when it was due, however late it is
    /// looked at.
    pub(crate) now: u64,
    pub(crate) sids: Sids,
    pub(crate) conversations: BTreeMap<String, Conversation>,
    /// The addresses that nothing reaches, with the code that says why.
    pub(crate) unreachable: BTreeMap<String, (u32, Unreachable)>,
    pub(crate) interactions: BTreeMap<String, Interaction>,
    pub(crate) tasks: BTreeMap<String, Task>,
    /// What happened to tasks.
    pub(crate) history: History,
    /// The Flex tokens that were given out, by their text.
    pub(crate) flex_tokens: BTreeMap<String, FlexToken>,
    pub(crate) agenda: Agenda,
    pub(crate) outbox: Outbox,
    pub(crate) faults: Faults,
    pub(crate) requests: Vec<RequestSeen>,
    pub(crate) warnings: Vec<Warning>,
    /// The latest `EvaluateTaskAttributes` queries.
    pub(crate) attribute_queries: Recent,
    /// The latest web chats that began over REST.
    pub(crate) web_chats: Recent,
    births: u64,
}

impl World {
    pub(crate) fn new(settings: Settings) -> Self {
        Self {
            now: 0,
            sids: Sids::from_seed(settings.seed),
            settings,
            conversations: BTreeMap::new(),
            unreachable: BTreeMap::new(),
            interactions: BTreeMap::new(),
            tasks: BTreeMap::new(),
            history: History::default(),
            flex_tokens: BTreeMap::new(),
            agenda: Agenda::default(),
            outbox: Outbox::default(),
            faults: Faults::default(),
            requests: Vec::new(),
            warnings: Vec::new(),
            attribute_queries: Recent::default(),
            web_chats: Recent::default(),
            births: 0,
        }
    }

    /// Numbers what is made, so that things of one millisecond keep their order.
    pub(crate) fn birth(&mut self) -> u64 {
        self.births += 1;
        self.births
    }

    pub(crate) fn warn(&mut self, code: u32, message: impl Into<String>) {
        self.warnings.push(Warning { code, message: message.into(), at_ms: self.now });
    }

    /// Plans an effect so many milliseconds from now.
    pub(crate) fn plan_in(&mut self, ms: u64, effect: Effect) {
        self.agenda.plan(self.now.saturating_add(ms), effect);
    }

    /// Runs every effect that is due at `now`, each at its own time.
    pub(crate) fn run_to(&mut self, now: u64) {
        while let Some((due_ms, effect)) = self.agenda.take_due(now) {
            self.now = self.now.max(due_ms);
            match effect {
                Effect::SetUp(interaction) => set_up::run(self, &interaction),
                Effect::ConversationTimer(conversation) => timers::run(self, &conversation),
                Effect::WorkflowTimeout(task) => workflow::timeout(self, &task),
                Effect::StepTimeout(task) => workflow::step_timeout(self, &task),
                Effect::TaskExpires(task) => tasks::expire(self, &task),
                Effect::TaskForgotten(task) => {
                    self.tasks.remove(&task);
                }
            }
        }
        self.now = self.now.max(now);
    }

    /// When the next effect or webhook is due.
    pub(crate) fn next_due_ms(&self) -> Option<u64> {
        self.agenda.next_due_ms().into_iter().chain(self.outbox.next_due_ms()).min()
    }
}
