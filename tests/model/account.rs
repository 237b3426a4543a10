//! What Twilio holds: one conversation, the Interactions made for it, and the requests for one that are on the way.

use shared::{
    clock::Timestamp,
    conversation::{
        Conversation, Finding, Interaction, Picture,
        picture::{Channel, Judgement, Question, SeenTask, judge},
    },
    twilio::ChannelStatus,
};

use crate::record::number;

/// What Twilio holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Account {
    /// Whether the conversation is closed.
    pub(crate) over: bool,
    /// The Interactions, in the order in which they were made: the first is number 1.
    pub(crate) interactions: Vec<Status>,
    /// Requests that Twilio has not carried out yet.
    pub(crate) requests: Vec<Request>,
}

/// How the channel of an Interaction stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Status {
    SettingUp,
    /// Being set up for ever.
    Hung,
    Active,
    Failed(u32),
    Closed,
}

/// A request for an Interaction.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Request {
    /// Which process sent it.
    pub(crate) from: usize,
    /// As whom.
    pub(crate) owner: String,
    /// The end of the lease under which it was sent.
    pub(crate) lease_until: Timestamp,
}

impl Status {
    pub(crate) fn lives(self) -> bool {
        let status = match self {
            Self::SettingUp | Self::Hung => ChannelStatus::SetUp,
            Self::Active => ChannelStatus::Active,
            Self::Failed(_) => ChannelStatus::Failed,
            Self::Closed => ChannelStatus::Closed,
        };
        status.lives()
    }
}

impl Account {
    pub(crate) fn status(&self, interaction: u8) -> Status {
        self.interactions[usize::from(interaction) - 1]
    }

    pub(crate) fn set(&mut self, interaction: u8, status: Status) {
        self.interactions[usize::from(interaction) - 1] = status;
    }

    /// The Interactions that live, oldest first.
    pub(crate) fn living(&self) -> impl Iterator<Item = u8> {
        (1..).zip(&self.interactions).filter(|(_, status)| status.lives()).map(|(number, _)| number)
    }

    /// Twilio makes an Interaction.
    pub(crate) fn make(&mut self) -> u8 {
        self.interactions.push(Status::SettingUp);
        u8::try_from(self.interactions.len()).expect("few are made")
    }

    /// A set-up comes to its end.
    pub(crate) fn set_up(&mut self, interaction: u8, guard: bool) {
        let older = self.living().next().is_some_and(|oldest| oldest < interaction);
        let status = if self.over {
            Status::Failed(45376)
        } else if guard && older {
            Status::Failed(45353)
        } else {
            Status::Active
        };
        self.set(interaction, status);
    }

    /// The conversation closes, and the channels that stand with it unless Twilio leaves them.
    pub(crate) fn close(&mut self, with_channels: bool) {
        self.over = true;
        for status in &mut self.interactions {
            match *status {
                Status::Active if with_channels => *status = Status::Closed,
                // Whatever would still come up does not any more.
                Status::Hung => *status = Status::Failed(45376),
                _ => {}
            }
        }
    }

    /// A look at a conversation that is looked after: the real questions, answered at one moment.
    pub(crate) fn look(&self, record: &Conversation, now: Timestamp) -> (Finding, Picture) {
        let mut picture = Picture::default();
        loop {
            let question = match judge(record, &picture, now) {
                Judgement::Is(finding) => return (finding, picture),
                Judgement::Ask(question) => question,
            };
            let known = record.interaction.as_ref().map(|known| number(known.sid.as_str()));
            match question {
                Question::Conversation => picture.over = Some(self.over),
                Question::Channel => {
                    picture.channel = Some(match known.map(|known| self.status(known)) {
                        None => Channel::Gone,
                        Some(Status::SettingUp | Status::Hung) => Channel::SettingUp,
                        Some(Status::Active) => Channel::Active,
                        Some(Status::Failed(code)) => Channel::Failed(Some(code)),
                        Some(Status::Closed) => Channel::Closed,
                    });
                }
                Question::Agents => picture.agents = Some(Vec::new()),
                Question::Task(task) => {
                    let lives = self.status(number(task.as_str())).lives();
                    picture.tasks.insert(task, if lives { SeenTask::Live } else { SeenTask::Gone });
                }
                Question::Tasks => {
                    let failed = record.failed.as_ref().map(|failed| number(failed.as_str()));
                    let other = self.living().find(|other| Some(*other) != known && Some(*other) != failed);
                    picture.other = other.map(|other| interaction(other, now));
                    picture.asked_for_tasks = true;
                }
                Question::Invites => picture.invited = Some(Vec::new()),
                Question::Created => picture.asked_for_created = true,
                Question::EndOf(task) => drop(picture.ends.insert(task, None)),
                Question::Messages => picture.customer_wrote = Some(true),
            }
        }
    }
}

/// An Interaction, as Twilio names it.
pub(crate) fn interaction(number: u8, since: Timestamp) -> Interaction {
    Interaction {
        sid: format!("KD{number:032x}").parse().expect("well formed"),
        channel: Some(format!("UO{number:032x}").parse().expect("well formed")),
        task: Some(format!("WT{number:032x}").parse().expect("well formed")),
        since,
    }
}
