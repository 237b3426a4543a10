//! What happens in one run: drawn from a seed, and a value of its own, so that it can be shortened.

use std::fmt;

use fastrand::Rng;

use super::weather::Weather;

/// A run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What it was drawn from, and everything that is drawn while it runs.
    pub seed: u64,
    /// How the account is set up.
    pub account: Account,
    /// What people do, in the order of time.
    pub acts: Vec<Act>,
    /// What goes wrong.
    pub weather: Weather,
    /// How often sweeps come, in milliseconds.
    pub sweeps_each_ms: u64,
    /// Whether webhooks still arrive once people are quiet.
    pub webhooks_to_the_end: bool,
}

/// What no source confirms of Twilio, and what operators choose.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
pub struct Account {
    pub(super) every_event: bool,
    /// Whether Twilio drops a second Interaction on one conversation itself.
    pub duplicate_guard: bool,
    pub(super) list_hides_task_attributes: bool,
    /// Whether Twilio lists the invites of a channel.
    pub shows_invites: bool,
    pub(super) closing_ends_channel: bool,
    pub(super) task_events_carry_sid: bool,
    pub(super) conflict_names_conversation: bool,
    pub(super) pre_engagement_as_text: bool,
    pub(super) problem_json: bool,
    pub(super) set_up_ms: u64,
    pub(super) workflow_timeout_s: Option<u64>,
    pub(super) attribute_queries_per_second: Option<usize>,
    pub(super) closed_timer: Option<&'static str>,
    pub(super) max_reinvites: u32,
}

/// Something that somebody does at a time.
#[derive(Clone, Debug)]
pub struct Act {
    /// Milliseconds after the beginning.
    pub at_ms: u64,
    /// What.
    pub what: What,
    /// Decides whatever is not decided yet, such as which of the tasks there are then.
    pub dice: u64,
}

/// What people do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum What {
    CustomerWrites { customer: u8, whatsapp: bool },
    ChatBegins,
    ChatIsWrittenIn,
    ChatIsRefreshed,
    ChatEnds,
    AgentAccepts,
    AgentRejects,
    AgentDoesNotAnswer,
    AgentParks,
    AgentLeaves,
    AgentWrites,
    AgentEnds,
    AgentInvites,
    AgentTransfers,
    TaskIsDeleted,
    AttributesAreOverwritten,
    TaskIsCanceled,
    InteractionIsUnparked,
    ConversationTimesOut,
    NumberBreaks { customer: u8 },
    BackEndReaches { customer: u8, kind: Kind, conflict: Conflict, at_once: bool },
    BackEndAsksAgain,
    SweepsOverlap,
}

/// Who begins an outbound reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Agent,
    Api,
    System,
}

/// What is to be done with a conversation that the customer is in already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conflict {
    Reject,
    Join,
    Replace,
}

impl Kind {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Api => "api",
            Self::System => "system",
        }
    }
}

impl Conflict {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Reject => "reject",
            Self::Join => "join",
            Self::Replace => "replace",
        }
    }
}

/// How many customers there are. Few, so that they meet themselves.
const CUSTOMERS: u8 = 3;

impl Plan {
    /// The run of a seed.
    #[must_use]
    pub fn of(seed: u64) -> Self {
        let mut draw = Rng::with_seed(seed);
        let mut account = Account::drawn(&mut draw);
        let mut acts = acts(&mut draw);
        // Drawn aside, so that all else is as it was before there was this.
        let aside = &mut Rng::with_seed(seed ^ 0x5eed);
        account.shows_invites = aside.u8(0..4) > 0;
        if aside.u8(0..4) == 0 {
            overwrite_attributes(&mut acts, aside);
        }
        let over_ms = acts.last().map_or(0, |act| act.at_ms);
        let weather = Weather::drawn(&mut draw, over_ms, account.duplicate_guard);
        // The schedule says once a minute; whoever invokes the sweeper by hand does so at any time.
        let sweeps_each_ms = [60_000, 60_000, 60_000, 10_000][draw.usize(0..4)];
        Self { seed, account, acts, weather, sweeps_each_ms, webhooks_to_the_end: draw.bool() }
    }

    /// When people are quiet and nothing goes wrong any more, in milliseconds after the beginning.
    #[must_use]
    pub fn over_ms(&self) -> u64 {
        self.acts.last().map_or(0, |act| act.at_ms) + 1000
    }
}

impl Account {
    fn drawn(draw: &mut Rng) -> Self {
        Self {
            every_event: draw.bool(),
            duplicate_guard: draw.bool(),
            list_hides_task_attributes: draw.bool(),
            shows_invites: true,
            closing_ends_channel: draw.bool(),
            task_events_carry_sid: draw.bool(),
            conflict_names_conversation: draw.bool(),
            pre_engagement_as_text: draw.bool(),
            problem_json: draw.bool(),
            set_up_ms: draw.u64(0..20_000),
            workflow_timeout_s: [None, Some(0), Some(60), Some(900)][draw.usize(0..4)],
            attribute_queries_per_second: draw.bool().then_some(3),
            closed_timer: [None, None, Some("PT1H"), Some("PT24H")][draw.usize(0..4)],
            max_reinvites: draw.u32(0..4),
        }
    }
}

/// A plugin writes its own attributes over those of tasks that agents have accepted.
pub fn overwrite_attributes(acts: &mut Vec<Act>, draw: &mut Rng) {
    let accepted: Vec<_> =
        acts.iter().filter(|act| act.what == What::AgentAccepts).map(|act| act.at_ms).collect();
    for accepted in accepted {
        let at_ms = accepted + draw.u64(0..30_000);
        acts.push(Act { at_ms, what: What::AttributesAreOverwritten, dice: draw.u64(..) });
    }
    acts.sort_by_key(|act| act.at_ms);
}

fn acts(draw: &mut Rng) -> Vec<Act> {
    let mut at_ms = 0;
    // Some centres do everything, some are about one thing.
    let theme = draw.u8(0..6);
    (0..draw.usize(8..48))
        .map(|_| {
            // At once, a moment later, while something is under way, some minutes or much later.
            at_ms += match draw.u8(0..10) {
                0..=1 => 0,
                2..=4 => draw.u64(0..400),
                5..=6 => draw.u64(0..25_000),
                7..=8 => draw.u64(0..300_000),
                _ => draw.u64(0..1_500_000),
            };
            Act { at_ms, what: What::drawn(draw, theme), dice: draw.u64(..) }
        })
        .collect()
}

impl What {
    fn drawn(draw: &mut Rng, theme: u8) -> Self {
        let customer = draw.u8(0..CUSTOMERS);
        let themed = draw.bool();
        match theme {
            0 if themed => return Self::of_a_chat(draw),
            1 if themed => return Self::reach(draw, customer),
            2 if themed => return Self::of_a_task(draw),
            _ => {}
        }
        match draw.u8(0..32) {
            0..=7 => Self::CustomerWrites { customer, whatsapp: draw.u8(0..4) == 0 },
            8..=13 => Self::AgentAccepts,
            14..=22 => Self::of_a_task(draw),
            23..=25 => Self::of_a_chat(draw),
            26..=28 => Self::reach(draw, customer),
            29 => Self::ConversationTimesOut,
            30 => Self::NumberBreaks { customer },
            _ => Self::SweepsOverlap,
        }
    }

    fn of_a_task(draw: &mut Rng) -> Self {
        match draw.u8(0..14) {
            0 => Self::AgentRejects,
            1 => Self::AgentDoesNotAnswer,
            2 => Self::AgentParks,
            3..=4 => Self::AgentLeaves,
            5 => Self::AgentWrites,
            6 => Self::AgentEnds,
            7 => Self::AgentInvites,
            8 => Self::AgentTransfers,
            9 => Self::TaskIsDeleted,
            10..=11 => Self::TaskIsCanceled,
            12 => Self::InteractionIsUnparked,
            _ => Self::AgentAccepts,
        }
    }

    fn of_a_chat(draw: &mut Rng) -> Self {
        match draw.u8(0..6) {
            0..=1 => Self::ChatBegins,
            2..=3 => Self::ChatIsWrittenIn,
            4 => Self::ChatIsRefreshed,
            _ => Self::ChatEnds,
        }
    }

    fn reach(draw: &mut Rng, customer: u8) -> Self {
        if draw.u8(0..5) == 0 {
            return Self::BackEndAsksAgain;
        }
        Self::BackEndReaches {
            customer,
            kind: [Kind::Agent, Kind::Api, Kind::System][draw.usize(0..3)],
            conflict: [Conflict::Reject, Conflict::Join, Conflict::Replace][draw.usize(0..3)],
            at_once: draw.u8(0..3) == 0,
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "account: {:?}", self.account)?;
        writeln!(f, "weather: {}", self.weather)?;
        writeln!(f, "a sweep every {} s", self.sweeps_each_ms / 1000)?;
        writeln!(f, "webhooks arrive to the end: {}", self.webhooks_to_the_end)?;
        for act in &self.acts {
            writeln!(f, "{:>9} ms  {:?}", act.at_ms, act.what)?;
        }
        Ok(())
    }
}
