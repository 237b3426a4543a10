//! What goes wrong, and how often. Every decision follows from the seed, the moment and whom it is about, so that
//! taking an act out of a plan changes the others as little as can be.

use std::{fmt, time::Duration};

use bytes::Bytes;
use fastrand::Rng;
use http::{HeaderValue, Response, StatusCode, header::RETRY_AFTER};
use serde_json::json;

/// How bad it is.
#[derive(Clone, Debug)]
pub struct Weather {
    /// How often each trouble strikes, in thousandths.
    pub troubles: Vec<(Trouble, u16)>,
    /// From when until when (milliseconds after the beginning) one trouble strikes more often than that.
    pub bursts: Vec<(u64, u64, Trouble, u16)>,
}

/// Something that goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// No connection to Twilio can be made.
    TwilioNotReached,
    /// A request to Twilio is lost on its way.
    TwilioLostBefore,
    /// Twilio has done what was asked, and its answer is lost.
    TwilioLostAfter,
    /// Twilio has done what was asked, and answers with a page.
    TwilioGarbled,
    /// Twilio answers 429.
    TwilioThrottles,
    /// Twilio answers 500 or 503, and has done nothing.
    TwilioFails,
    /// Twilio answers 500, and has done what was asked.
    TwilioFailsAfter,
    /// Twilio refuses for good what it would take otherwise.
    TwilioRefuses,
    /// Twilio does what was asked, and never answers.
    TwilioIsSilent,
    /// Twilio takes seconds to begin, or to answer.
    TwilioIsSlow,
    /// Twilio makes an Interaction up to a minute later, when nobody waits for it any more. Only where Twilio itself
    /// guards against a second one: without it, nobody can.
    TwilioIsLate,
    /// An Interaction is accepted and its channel does not come up.
    SetUpFails,
    /// A request to DynamoDB is lost on its way.
    TableLostBefore,
    /// DynamoDB has done what was asked, and its answer is lost.
    TableLostAfter,
    /// DynamoDB answers that it is throttled.
    TableThrottles,
    /// DynamoDB answers 500.
    TableFails,
    /// DynamoDB says that somebody else is writing to the same item.
    TableConflicts,
    /// DynamoDB takes a second or two.
    TableIsSlow,
    /// The process is killed.
    Killed,
    /// The process is frozen for longer than a lease.
    Frozen,
    /// A webhook never arrives.
    WebhookLost,
    /// It arrives twice.
    WebhookDoubled,
    /// It arrives up to ten minutes late.
    WebhookLate,
    /// A sweep does not take place.
    SweepMissed,
}

const ALL: [Trouble; 24] = [
    Trouble::TwilioNotReached,
    Trouble::TwilioLostBefore,
    Trouble::TwilioLostAfter,
    Trouble::TwilioGarbled,
    Trouble::TwilioThrottles,
    Trouble::TwilioFails,
    Trouble::TwilioFailsAfter,
    Trouble::TwilioRefuses,
    Trouble::TwilioIsSilent,
    Trouble::TwilioIsSlow,
    Trouble::TwilioIsLate,
    Trouble::SetUpFails,
    Trouble::TableLostBefore,
    Trouble::TableLostAfter,
    Trouble::TableThrottles,
    Trouble::TableFails,
    Trouble::TableConflicts,
    Trouble::TableIsSlow,
    Trouble::Killed,
    Trouble::Frozen,
    Trouble::WebhookLost,
    Trouble::WebhookDoubled,
    Trouble::WebhookLate,
    Trouble::SweepMissed,
];

/// What becomes of a request.
#[derive(Debug)]
pub(super) struct Fate {
    /// How long until it is carried out, or would be.
    pub(super) before: Duration,
    /// How long its answer takes.
    pub(super) after: Duration,
    /// What is done with it.
    pub(super) what: Deed,
}

/// What is done with a request.
#[derive(Debug)]
pub(super) enum Deed {
    /// Carried out and answered.
    Done,
    /// No connection.
    NotSent,
    /// Not carried out, and no answer.
    LostBefore,
    /// Carried out, and the connection breaks.
    LostAfter,
    /// Carried out, and nothing comes back at all.
    Silent,
    /// Not carried out; this is answered.
    Refused(Response<Bytes>),
    /// Carried out; this is answered instead of what it should be.
    Instead(Response<Bytes>),
}

/// What becomes of a request once nothing goes wrong any more.
pub(super) const CALM: Fate =
    Fate { before: Duration::from_millis(1), after: Duration::from_millis(1), what: Deed::Done };

/// What becomes of a request for what Twilio does not show.
pub(super) fn hidden() -> Fate {
    Fate { what: Deed::Refused(twilio_error(404, 20404)), ..CALM }
}

impl Fate {
    /// Whether it is carried out and answered at once.
    pub(super) fn is_good(&self) -> bool {
        matches!(self.what, Deed::Done) && self.before + self.after < Duration::from_millis(400)
    }
}

/// What an invocation has to live through.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Lot {
    /// The request before or after which it is killed, two steps to each.
    pub(super) killed_at: Option<usize>,
    /// Where it is frozen, and for how long.
    pub(super) frozen_at: Option<(usize, Duration)>,
}

/// What becomes of a webhook.
#[derive(Debug)]
pub(super) struct Delivery {
    /// Each copy, and how late it is.
    pub(super) copies: Vec<Duration>,
}

/// One roll of the dice for one thing at one moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Roll {
    /// The run's seed.
    pub(super) seed: u64,
    /// Milliseconds after the beginning.
    pub(super) now_ms: u64,
    /// Whom it is about, such as a machine's number.
    pub(super) whom: u64,
}

impl Roll {
    fn dice(self, what: &str) -> Rng {
        // FNV-1a over everything that the decision is to depend on, and over nothing else.
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        let numbers = [self.seed, self.now_ms, self.whom].into_iter().flat_map(u64::to_le_bytes);
        for byte in numbers.chain(what.bytes()) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        Rng::with_seed(hash)
    }
}

impl Weather {
    /// Some troubles, each more or less, and bursts of them. Many a run knows only one or two: what needs a rare
    /// coincidence would else be drowned.
    pub(super) fn drawn(draw: &mut Rng, over_ms: u64, duplicate_guard: bool) -> Self {
        let share = [0, 1, 3, 5][draw.usize(0..4)];
        let mut troubles = Vec::new();
        for trouble in ALL {
            let may = trouble != Trouble::TwilioIsLate || duplicate_guard;
            if draw.u8(0..8) < share && may {
                troubles.push((trouble, [8, 30, 100, 250][draw.usize(0..4)]));
            }
        }
        let bursts = (0..draw.usize(0..4))
            .filter_map(|_| {
                let from = draw.u64(0..over_ms.max(1));
                let until = from + draw.u64(1000..900_000);
                let trouble = ALL[draw.usize(0..ALL.len())];
                let may = trouble != Trouble::TwilioIsLate || duplicate_guard;
                may.then(|| (from, until, trouble, draw.u16(300..1000)))
            })
            .collect();
        Self { troubles, bursts }
    }

    /// How often a trouble strikes at a moment, in thousandths.
    fn chance(&self, trouble: Trouble, now_ms: u64) -> u16 {
        let always = self.troubles.iter().filter(|(found, _)| *found == trouble).map(|(_, chance)| *chance);
        let bursts = self
            .bursts
            .iter()
            .filter(|(from, until, found, _)| *found == trouble && (*from..*until).contains(&now_ms));
        always.chain(bursts.map(|(.., chance)| *chance)).max().unwrap_or(0)
    }

    fn strikes(&self, trouble: Trouble, roll: Roll, dice: &mut Rng) -> bool {
        dice.u16(0..1000) < self.chance(trouble, roll.now_ms)
    }

    /// What becomes of a request to Twilio.
    pub(super) fn on_twilio(&self, roll: Roll, route: &str) -> Fate {
        let dice = &mut roll.dice(route);
        let (mut before, mut after) = (ms(dice.u64(0..150)), ms(dice.u64(0..150)));
        let mut what = Deed::Done;
        let strikes = |trouble, dice: &mut Rng| self.strikes(trouble, roll, dice);
        if strikes(Trouble::TwilioIsSlow, dice) {
            *(if dice.bool() { &mut before } else { &mut after }) += ms(dice.u64(0..2_500));
        }
        if strikes(Trouble::TwilioIsLate, dice) {
            let late = ms(dice.u64(0..60_000));
            // Of nothing else does Twilio drop the second one.
            if route == "POST Interactions" {
                before += late;
            }
        }
        if strikes(Trouble::TwilioNotReached, dice) {
            what = Deed::NotSent;
        } else if strikes(Trouble::TwilioLostBefore, dice) {
            what = Deed::LostBefore;
        } else if strikes(Trouble::TwilioLostAfter, dice) {
            what = Deed::LostAfter;
        } else if strikes(Trouble::TwilioIsSilent, dice) {
            what = Deed::Silent;
        } else if strikes(Trouble::TwilioGarbled, dice) {
            what = Deed::Instead(answer(200, "<html>Service temporarily unavailable</html>".to_owned()));
        } else if strikes(Trouble::TwilioFailsAfter, dice) {
            what = Deed::Instead(twilio_error(500, 20500));
        } else if strikes(Trouble::TwilioThrottles, dice) {
            let mut refused = twilio_error(429, 20429);
            if dice.bool() {
                refused.headers_mut().insert(RETRY_AFTER, HeaderValue::from(dice.u16(1..30)));
            }
            what = Deed::Refused(refused);
        } else if strikes(Trouble::TwilioFails, dice) {
            let status = [500, 503][dice.usize(0..2)];
            what = Deed::Refused(twilio_error(status, 20503));
        } else if route.starts_with("POST") && strikes(Trouble::TwilioRefuses, dice) {
            what = Deed::Refused(twilio_error(400, 20001));
        }
        Fate { before, after, what }
    }

    /// Whether the set-up of an Interaction that is asked for fails.
    pub(super) fn set_up_fails(&self, roll: Roll) -> bool {
        self.strikes(Trouble::SetUpFails, roll, &mut roll.dice("set-up"))
    }

    /// What becomes of a request to DynamoDB.
    pub(super) fn on_table(&self, roll: Roll, operation: &str) -> Fate {
        let dice = &mut roll.dice(operation);
        let (mut before, mut after) = (ms(dice.u64(0..8)), ms(dice.u64(0..8)));
        let mut what = Deed::Done;
        let strikes = |trouble, dice: &mut Rng| self.strikes(trouble, roll, dice);
        if strikes(Trouble::TableIsSlow, dice) {
            *(if dice.bool() { &mut before } else { &mut after }) += ms(dice.u64(0..2_000));
        }
        if strikes(Trouble::TableLostBefore, dice) {
            what = Deed::LostBefore;
        } else if strikes(Trouble::TableLostAfter, dice) {
            what = Deed::LostAfter;
        } else if strikes(Trouble::TableThrottles, dice) {
            what = Deed::Refused(table_error(400, "ProvisionedThroughputExceededException"));
        } else if strikes(Trouble::TableFails, dice) {
            what = Deed::Refused(table_error(500, "InternalServerError"));
        } else if strikes(Trouble::TableConflicts, dice) {
            what = Deed::Refused(conflict(operation));
        }
        Fate { before, after, what }
    }

    /// What an invocation has to live through.
    pub(super) fn lot(&self, roll: Roll, function: &str) -> Lot {
        let dice = &mut roll.dice(function);
        // A sweep that finds something begins with thirty-two steps; most else is over after ten.
        let step = |dice: &mut Rng| {
            let most = if function == "sweep" { dice.usize(30..90) } else { dice.usize(2..24) };
            dice.usize(0..most)
        };
        let killed_at = self.strikes(Trouble::Killed, roll, dice).then(|| step(dice));
        let frozen_at =
            self.strikes(Trouble::Frozen, roll, dice).then(|| (step(dice), ms(dice.u64(5_000..70_000))));
        Lot { killed_at, frozen_at }
    }

    /// What becomes of a webhook.
    pub(super) fn on_webhook(&self, roll: Roll, event: &str) -> Delivery {
        let dice = &mut roll.dice(event);
        if self.strikes(Trouble::WebhookLost, roll, dice) {
            return Delivery { copies: Vec::new() };
        }
        let copies = if self.strikes(Trouble::WebhookDoubled, roll, dice) { dice.usize(2..4) } else { 1 };
        let copies = (0..copies)
            .map(|_| {
                // Usually within moments, so that webhooks of one moment come in any order.
                let late = self.strikes(Trouble::WebhookLate, roll, dice);
                ms(if late { dice.u64(0..600_000) } else { dice.u64(0..200) })
            })
            .collect();
        Delivery { copies }
    }

    /// Whether a sweep does not take place.
    pub(super) fn sweep_is_missed(&self, roll: Roll) -> bool {
        self.strikes(Trouble::SweepMissed, roll, &mut roll.dice("missed"))
    }
}

/// How much the clock of a machine is ahead of another's at most. With the lateness of
/// [`Trouble::TwilioIsSlow`] it stays within what an owner's lease leaves to both: five seconds.
pub(super) const MOST_SKEW: Duration = Duration::from_secs(2);

/// How far the clock of a machine is ahead.
pub(super) fn skew(seed: u64, machine: u64) -> Duration {
    let most = u64::try_from(MOST_SKEW.as_millis()).unwrap_or_default();
    ms(Roll { seed, now_ms: 0, whom: machine }.dice("clock").u64(0..=most))
}

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn answer(status: u16, body: String) -> Response<Bytes> {
    let mut answer = Response::new(Bytes::from(body));
    *answer.status_mut() = StatusCode::from_u16(status).expect("a status");
    answer
}

fn twilio_error(status: u16, code: u32) -> Response<Bytes> {
    answer(status, json!({"code": code, "message": "as the weather has it", "status": status}).to_string())
}

fn table_error(status: u16, name: &str) -> Response<Bytes> {
    let kind = format!("com.amazonaws.dynamodb.v20120810#{name}");
    answer(status, json!({"__type": kind, "message": "as the weather has it"}).to_string())
}

/// Somebody else is writing to the same item: each kind of write says it in its own way.
fn conflict(operation: &str) -> Response<Bytes> {
    match operation {
        "TransactWriteItems" => answer(
            400,
            json!({
                "__type": "com.amazonaws.dynamodb.v20120810#TransactionCanceledException",
                "message": "Transaction cancelled",
                "CancellationReasons": [{"Code": "TransactionConflict"}, {"Code": "None"}],
            })
            .to_string(),
        ),
        "PutItem" | "UpdateItem" => table_error(400, "TransactionConflictException"),
        _ => table_error(400, "ThrottlingException"),
    }
}

impl fmt::Display for Weather {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.troubles.is_empty() && self.bursts.is_empty() {
            return f.write_str("fine");
        }
        for (trouble, chance) in &self.troubles {
            write!(f, "{trouble:?} {chance}‰, ")?;
        }
        for (from, until, trouble, chance) in &self.bursts {
            write!(f, "{trouble:?} {chance}‰ from {from} to {until} ms, ")?;
        }
        Ok(())
    }
}
