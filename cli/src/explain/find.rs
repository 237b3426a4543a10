//! Which conversation is meant: by its own SID, by a task's or an Interaction's, or by the customer's address.

use std::str::FromStr;

use shared::{
    clock::Deadline,
    conversation::contact::is_address,
    ledger::LedgerError,
    personal::Personal,
    rescue::Rescuer,
    sid::{ConversationSid, InteractionSid, TaskSid},
    twilio::{CallError, ChannelParticipantResource, ConversationState, InviteResource, Next, TaskResource},
};

/// What a person may call a conversation by.
#[derive(Clone, Debug)]
pub enum Name {
    /// `CH…`
    Conversation(ConversationSid),
    /// `WT…`: the task of an Interaction on it.
    Task(TaskSid),
    /// `KD…`: an Interaction on it.
    Interaction(InteractionSid),
    /// The customer's address, `+1555…` or `whatsapp:+1555…`.
    Address(Personal<String>),
}

impl FromStr for Name {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let conversation = text.parse().map(Self::Conversation).ok();
        let task = || text.parse().map(Self::Task).ok();
        let interaction = || text.parse().map(Self::Interaction).ok();
        let address = || is_address(text).then(|| Self::Address(text.to_owned().into()));
        conversation.or_else(task).or_else(interaction).or_else(address).ok_or(
            "expected a conversation (CH…), a task (WT…), an Interaction (KD…) or a customer's address (+1555…, \
             whatsapp:+1555…)",
        )
    }
}

/// The conversations of a name: the one that is meant, and others that could be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The one that is meant.
    pub conversation: ConversationSid,
    /// Others of the same address, which are over.
    pub others: Vec<ConversationSid>,
}

/// Why none was found.
#[derive(Debug, thiserror::Error)]
pub enum FindError {
    /// Twilio could not be asked.
    #[error("Twilio could not be asked: {0}")]
    Twilio(#[from] CallError),
    /// The table could not be asked.
    #[error("the table could not be asked: {0}")]
    Ledger(#[from] LedgerError),
    /// Nobody knows it.
    #[error("{0}")]
    Nobody(&'static str),
}

/// Pages of an address's conversations that are read.
const MOST_PAGES: usize = 20;

/// The conversation that is meant.
///
/// # Errors
/// Where there is none, or Twilio or the table could not be asked.
pub async fn find(rescuer: &Rescuer, name: &Name, deadline: Deadline) -> Result<Found, FindError> {
    let one = |conversation| Found { conversation, others: Vec::new() };
    match name {
        Name::Conversation(sid) => Ok(one(sid.clone())),
        Name::Task(task) => of_task(rescuer, task, deadline).await?.map(one).ok_or(FindError::Nobody(
            "nobody knows of which conversation this task is: TaskRouter forgets a task five minutes after its end, and \
             flexglue a month after it heard of it. Try the customer's address",
        )),
        Name::Interaction(interaction) => {
            of_interaction(rescuer, interaction, deadline).await?.map(one).ok_or(FindError::Nobody(
                "nobody knows of which conversation this Interaction is: Twilio tells it through its tasks alone. Try the \
                 customer's address",
            ))
        }
        Name::Address(address) => of_address(rescuer, address.as_str(), deadline).await,
    }
}

async fn of_task(
    rescuer: &Rescuer,
    task: &TaskSid,
    deadline: Deadline,
) -> Result<Option<ConversationSid>, FindError> {
    let opener = &rescuer.opener;
    if let Some(known) = opener.ledger.conversation_of_task(task, deadline).await? {
        return Ok(Some(known));
    }
    let task = opener.twilio.task(&opener.defaults.workspace, task, deadline).await?;
    Ok(task.as_ref().and_then(TaskResource::flex).and_then(|task| task.conversation))
}

/// Through the tasks of its invites, the first of which is that of the Interaction itself.
async fn of_interaction(
    rescuer: &Rescuer,
    interaction: &InteractionSid,
    deadline: Deadline,
) -> Result<Option<ConversationSid>, FindError> {
    let twilio = &rescuer.opener.twilio;
    let channels = match twilio.interaction_channels(interaction, deadline).await {
        Ok(channels) => channels.items,
        Err(error) if error.is_not_found() => Vec::new(),
        Err(error) => return Err(error.into()),
    };
    for channel in channels {
        let invites = twilio.invites(interaction, &channel.sid, deadline).await?.items;
        let participants = twilio.interaction_participants(interaction, &channel.sid, deadline).await?.items;
        let of_invites = invites.iter().filter_map(InviteResource::task_sid);
        let of_agents = participants.iter().filter_map(ChannelParticipantResource::task_sid);
        for task in of_invites.chain(of_agents) {
            if let Some(known) = of_task(rescuer, task, deadline).await? {
                return Ok(Some(known));
            }
        }
    }
    Ok(None)
}

/// The one that is not over; else the one that Twilio lists first.
async fn of_address(rescuer: &Rescuer, address: &str, deadline: Deadline) -> Result<Found, FindError> {
    let (mut open, mut over, mut next) = (None, Vec::new(), None::<Next>);
    for _ in 0..MOST_PAGES {
        let page = rescuer.opener.twilio.participant_conversations(address, next.as_ref(), deadline).await?;
        for found in page.items {
            if found.conversation_state != ConversationState::Closed && open.is_none() {
                open = Some(found.conversation_sid);
            } else {
                over.push(found.conversation_sid);
            }
        }
        next = page.next;
        if next.is_none() {
            break;
        }
    }
    let nobody = "Twilio knows no conversation of this address. Did the message arrive (Console, Monitor, Logs, \
                  Messaging)? Is the address that it was sent to configured (Console, Conversations, Addresses)?";
    match open {
        Some(conversation) => Ok(Found { conversation, others: over }),
        None if over.is_empty() => Err(FindError::Nobody(nobody)),
        None => Ok(Found { conversation: over.remove(0), others: over }),
    }
}
