//! Where a conversation stands: whether somebody serves the customer, who should act, and what heals it.

use serde::Serialize;
use shared::{
    clock::Timestamp,
    conversation::{Cause, Conversation, Finding, Stage, Step, TaskEnd},
    rescue::Plan,
    sid::ConversationSid,
    twilio::{ChannelStatus, ScopedWebhookResource, TaskResource},
    webhook::{PublicBaseUrl, is_our_webhook},
};

use super::{chain::page_of, facts::Facts};

/// Where it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Standing {
    /// In a word.
    pub state: State,
    /// In a sentence or two.
    pub says: String,
    /// Who should act.
    pub acts: Acts,
    /// The command that heals it, where a person may.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub heals: Option<String>,
    /// When flexglue looks at it again, where it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub looks_again_at: Option<Timestamp>,
}

/// Where it stands, in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It is over.
    Closed,
    /// An agent is in it.
    Served,
    /// A task waits for an agent.
    Waiting,
    /// Its Interaction is being made.
    Opening,
    /// Nobody is in it, and that is on purpose.
    Resting,
    /// Nobody has said anything that asks for an agent.
    Quiet,
    /// Somebody else looks after it.
    SomebodyElses,
    /// Twilio does not do what it is asked; flexglue asks again.
    PutOff,
    /// Twilio refuses its Interaction.
    Refused,
    /// A customer waits, and nobody serves them; flexglue is at it.
    Orphaned,
    /// A customer waits, and nobody has told flexglue.
    Lost,
    /// Neither Twilio nor flexglue knows it.
    Unknown,
    /// It could not be found out.
    NotKnown,
}

impl State {
    /// Whether a customer waits whom nobody serves.
    #[must_use]
    pub const fn is_broken(self) -> bool {
        matches!(self, Self::Refused | Self::Orphaned | Self::Lost)
    }
}

/// Who should act.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Acts {
    /// There is nothing to be done.
    Nobody,
    /// flexglue does what is to be done, without anybody's help.
    Flexglue,
    /// An agent.
    Agent,
    /// The customer, by writing.
    Customer,
    /// Whoever looks after it: a flow, another back end.
    SomebodyElse,
    /// Whoever reads this.
    You,
}

impl Acts {
    /// In words.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Nobody => "nobody",
            Self::Flexglue => "flexglue",
            Self::Agent => "an agent",
            Self::Customer => "the customer",
            Self::SomebodyElse => "whoever looks after it",
            Self::You => "you",
        }
    }
}

fn stands(state: State, acts: Acts, says: impl Into<String>) -> Standing {
    Standing { state, says: says.into(), acts, heals: None, looks_again_at: None }
}

impl Standing {
    fn healed_by_adopting(self, sid: &ConversationSid) -> Self {
        Self { heals: Some(format!("flexglue adopt {sid}")), ..self }
    }

    /// What waits for its time is done by the next sweep after it.
    fn healed_when_due(self, record: &Conversation, facts: &Facts) -> Self {
        let due = record.due_at.is_some_and(|due| due <= facts.now);
        Self { heals: due.then(|| "flexglue sweep".to_owned()), ..self }
    }

    fn looked_at_again(self, record: &Conversation) -> Self {
        Self { looks_again_at: record.due_at, ..self }
    }
}

pub(super) fn standing(facts: &Facts, sid: &ConversationSid, base: Option<&PublicBaseUrl>) -> Standing {
    let record = match &facts.record {
        Ok(record) => record.as_ref(),
        Err(error) => {
            let says = format!("flexglue's table could not be asked: {error}.");
            return stands(State::NotKnown, Acts::You, says);
        }
    };
    let is_over = match &facts.conversation {
        Ok(None) if record.is_none() => {
            let says = "Neither Twilio nor flexglue knows this conversation. Is it of this account?";
            return stands(State::Unknown, Acts::You, says);
        }
        Ok(_) => facts.is_over() == Some(true),
        Err(error) => {
            return stands(State::NotKnown, Acts::You, format!("Twilio could not be asked: {error}."));
        }
    };
    match record {
        Some(record) if is_over => over(record).looked_at_again(record),
        None if is_over => stands(State::Closed, Acts::Nobody, "It is over."),
        Some(record) if !matches!(record.stage, Stage::Seen) => {
            recorded(record, facts, sid).looked_at_again(record)
        }
        seen => unrecorded(seen, facts, sid, base),
    }
}

fn over(record: &Conversation) -> Standing {
    match record.stage {
        Stage::Closed | Stage::Seen => stands(State::Closed, Acts::Nobody, "It is over."),
        _ => stands(
            State::Closed,
            Acts::Flexglue,
            "It is over at Twilio, which flexglue finds out when it looks.",
        ),
    }
}

/// A conversation for which flexglue has asked for an Interaction, or is about to.
fn recorded(record: &Conversation, facts: &Facts, sid: &ConversationSid) -> Standing {
    match &record.stage {
        Stage::Claimed { lease_until, .. } if facts.now < *lease_until => {
            stands(State::Opening, Acts::Flexglue, "Its Interaction is being asked for right now.")
        }
        Stage::Claimed { .. } => {
            let says = "Whoever asked for its Interaction is gone, and may or may not have got it. flexglue takes over, and \
                        asks Twilio first.";
            stands(State::PutOff, Acts::Flexglue, says).healed_when_due(record, facts)
        }
        Stage::Waiting => {
            let says = "Twilio could not be asked for its Interaction. flexglue asks again.";
            stands(State::PutOff, Acts::Flexglue, says).healed_when_due(record, facts)
        }
        Stage::Refused { status, code } => {
            let page = code.map_or_else(|| format!("status {status}"), page_of);
            let says = format!(
                "Twilio refuses its Interaction: {page}. Something must be mended there; flexglue asks again, and gives \
                 up after a day."
            );
            stands(State::Refused, Acts::You, says).healed_by_adopting(sid)
        }
        Stage::Closing | Stage::Closed => {
            let says = "flexglue was told that it is over, and Twilio shows it open.";
            stands(State::NotKnown, Acts::You, says)
        }
        Stage::SettingUp | Stage::Open | Stage::Orphaned { .. } => {
            let says = "It has its Interaction; Twilio could not be asked how that stands.";
            let not_known = || stands(State::NotKnown, Acts::You, says);
            facts.plan.as_ref().map_or_else(not_known, |plan| looked_at(record, plan, facts, sid))
        }
        // Not for here.
        Stage::Seen => stands(State::Quiet, Acts::Customer, "Nothing asks for an agent."),
    }
}

/// How Twilio says that it stands.
fn looked_at(record: &Conversation, plan: &Plan, facts: &Facts, sid: &ConversationSid) -> Standing {
    let orphaned = |says: String| {
        let standing = stands(State::Orphaned, Acts::Flexglue, says);
        // What has begun goes on at its time, and not before.
        match record.stage {
            Stage::Orphaned { .. } => standing.healed_when_due(record, facts),
            _ => standing.healed_by_adopting(sid),
        }
    };
    match &plan.finding {
        Finding::Served => stands(State::Served, Acts::Agent, "An agent is in it."),
        Finding::Waiting => stands(State::Waiting, Acts::Agent, "A task waits for an agent to accept it."),
        Finding::SettingUp => {
            let says = "Twilio sets its Interaction up. flexglue looks whether it has come up.";
            stands(State::Opening, Acts::Flexglue, says)
        }
        Finding::Resting => {
            let says = "Nobody is in it, and somebody wanted it so: it was parked, paused or left.";
            stands(State::Resting, Acts::Customer, says)
        }
        Finding::Over => stands(State::Closed, Acts::Flexglue, "It is over at Twilio."),
        Finding::Other(other) => {
            let says =
                format!("Twilio has another Interaction on it, {}. flexglue takes note of it.", other.sid);
            stands(State::Waiting, Acts::Flexglue, says)
        }
        Finding::Unopened => {
            stands(State::Quiet, Acts::Nobody, "It has no Interaction, and none is to be made.")
        }
        Finding::Failed(code) => {
            let why = code.map_or_else(String::new, |code| format!(" ({})", page_of(code)));
            let then = match record.set_up_failures {
                0 => "flexglue makes it once again",
                _ => "flexglue has tried twice: it tells the customer, and closes the conversation",
            };
            orphaned(format!("Its Interaction did not come up{why}. {then}."))
        }
        Finding::HalfClosed => {
            orphaned("Its channel is closed and the conversation is not. flexglue closes it.".to_owned())
        }
        Finding::Orphaned(end) => {
            orphaned(format!("Nobody serves the customer: {}. {}", why(record, end), what_is_done(plan)))
        }
    }
}

fn why(record: &Conversation, end: &TaskEnd) -> String {
    if let Stage::Orphaned { cause: Cause::SetUpFailed, .. } = record.stage {
        return "its Interaction did not come up, twice".to_owned();
    }
    let task =
        end.task.as_ref().map_or_else(|| "the last task".to_owned(), |task| format!("the task {task}"));
    match end.event {
        Some(event) => format!("{task} ended by {}", event.as_str()),
        None => format!("{task} was completed, and nobody closed the conversation"),
    }
}

/// What flexglue does about it.
fn what_is_done(plan: &Plan) -> String {
    let steps = plan.steps.iter().map(|step| match step {
        Step::Tell(_) => "tells them",
        Step::Reinvite => "invites agents again",
        Step::Close => "closes it",
    });
    let steps: Vec<&str> = steps.collect();
    if steps.is_empty() {
        "flexglue goes on.".to_owned()
    } else {
        format!("flexglue {}.", steps.join(", then "))
    }
}

/// A conversation for which flexglue has not asked for an Interaction.
fn unrecorded(
    record: Option<&Conversation>,
    facts: &Facts,
    sid: &ConversationSid,
    base: Option<&PublicBaseUrl>,
) -> Standing {
    let elsewhere = facts.tasks.iter().flatten().filter_map(TaskResource::flex).next_back();
    let lives = matches!(&facts.channel, Ok(Some(channel)) if channel.status.lives());
    if let Some(task) = elsewhere.filter(|_| lives) {
        let says =
            format!("Somebody else made its Interaction, {}; flexglue was not asked.", task.interaction);
        let parked = matches!(&facts.channel, Ok(Some(channel)) if channel.status == ChannelStatus::Inactive);
        let acts = if parked { Acts::Customer } else { Acts::SomebodyElse };
        return stands(State::SomebodyElses, acts, says);
    }
    let webhooks = facts.webhooks.as_deref().unwrap_or_default();
    if let Some(who) = somebody_else(webhooks, base) {
        let says = format!("Its messages go to {who}: flexglue has nothing to do with it.");
        return stands(State::SomebodyElses, Acts::SomebodyElse, says);
    }
    if facts.messages.is_err() {
        return stands(State::NotKnown, Acts::You, "Twilio did not say whether the customer has written.");
    }
    if facts.first_of_customer().is_none() {
        return stands(
            State::Quiet,
            Acts::Customer,
            "The customer has not written: nothing asks for an agent.",
        );
    }
    if record.is_some_and(|record| record.looked_at.is_some()) {
        let says = "Discovery has looked at it, and left it alone: somebody has answered, or an Interaction of somebody \
                    else's is noted in its attributes. Where that is wrong, adopt it.";
        return stands(State::SomebodyElses, Acts::SomebodyElse, says).healed_by_adopting(sid);
    }
    let why = if webhooks.is_empty() {
        "it has neither webhook nor flow, as when its address is not configured"
    } else {
        "its webhook was lost"
    };
    let says = format!(
        "The customer wrote, and flexglue was not told: {why}. Discovery opens it when it next walks through Twilio's list."
    );
    stands(State::Lost, Acts::Flexglue, says).healed_by_adopting(sid)
}

/// Who but flexglue hears of its messages.
fn somebody_else(webhooks: &[ScopedWebhookResource], base: Option<&PublicBaseUrl>) -> Option<String> {
    if let Some(flow) = webhooks.iter().find_map(ScopedWebhookResource::flow) {
        return Some(format!("the Studio flow {flow}"));
    }
    let hearing = || webhooks.iter().filter(|webhook| webhook.hears_messages());
    let ours = hearing().any(|webhook| webhook.url().is_some_and(|url| is_our_webhook(url, base)));
    (hearing().next().is_some() && !ours).then(|| "another back end".to_owned())
}
