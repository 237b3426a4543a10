//! What is known of a conversation, asked for side by side.

use std::collections::BTreeSet;

use futures_util::{StreamExt as _, stream};
use shared::{
    clock::{Deadline, Timestamp},
    conversation::{Contact, Conversation, Happening},
    ledger::LedgerError,
    opening::{contact_of, first_of_customer},
    rescue::{Plan, Rescuer},
    sid::{ConversationSid, InteractionChannelSid, InteractionSid, TaskSid, WorkerSid},
    twilio::{
        CallError, ChannelResource, ConversationResource, ConversationState, EVENTS_KEPT, EventQuery,
        EventResource, MessageResource, ScopedWebhookResource, TaskResource,
    },
};

/// What was asked for and what came of it; Twilio not knowing something counts as an empty answer.
#[derive(Debug)]
pub(super) struct Facts {
    pub now: Timestamp,
    pub record: Result<Option<Conversation>, LedgerError>,
    pub history: Result<Vec<Happening>, LedgerError>,
    pub conversation: Result<Option<ConversationResource>, CallError>,
    pub webhooks: Result<Vec<ScopedWebhookResource>, CallError>,
    pub customer: Result<Option<Contact>, CallError>,
    /// The newest first, 50 at most.
    pub messages: Result<Vec<MessageResource>, CallError>,
    /// The tasks that TaskRouter still shows: it forgets them five minutes after their end.
    pub tasks: Result<Vec<TaskResource>, CallError>,
    /// The Interaction that the record knows, else one that a task names.
    pub interaction: Option<Known>,
    pub channel: Result<Option<ChannelResource>, CallError>,
    /// The agents in the channel.
    pub agents: Result<Vec<Option<WorkerSid>>, CallError>,
    /// What TaskRouter's log tells of the tasks that are known, oldest first.
    pub events: Result<Vec<EventResource>, CallError>,
    /// How Twilio says it stands, and what flexglue would do, where that is asked for this record.
    pub plan: Option<Plan>,
}

/// An Interaction and its channel, where that is known.
#[derive(Debug)]
pub(super) struct Known {
    pub sid: InteractionSid,
    pub channel: Option<InteractionChannelSid>,
}

/// Tasks whose log is read: the newest. A conversation has one or two.
const MOST_TASKS: usize = 10;

/// Requests at once.
const AT_ONCE: usize = 4;

pub(super) async fn gather(rescuer: &Rescuer, sid: &ConversationSid, deadline: Deadline) -> Facts {
    let opener = &rescuer.opener;
    let (twilio, workspace) = (&opener.twilio, &opener.defaults.workspace);
    let (record, history, conversation, webhooks, participants, messages, tasks) = tokio::join!(
        Box::pin(opener.ledger.get(sid, deadline)),
        Box::pin(opener.ledger.history(sid, deadline)),
        Box::pin(twilio.conversation(sid, deadline)),
        Box::pin(twilio.scoped_webhooks(sid, deadline)),
        Box::pin(twilio.participants(sid, deadline)),
        Box::pin(twilio.newest_messages(sid, deadline)),
        Box::pin(twilio.tasks_of_conversation(workspace, sid, deadline)),
    );
    let known = record.as_ref().ok().and_then(Option::as_ref);
    let recorded = known.and_then(|record| record.interaction.as_ref());
    let interaction = recorded
        .map(|recorded| Known { sid: recorded.sid.clone(), channel: recorded.channel.clone() })
        .or_else(|| named_by(&tasks));
    let (channel, agents, events, plan) = tokio::join!(
        Box::pin(channel(rescuer, interaction.as_ref(), deadline)),
        Box::pin(agents(rescuer, interaction.as_ref(), deadline)),
        Box::pin(events(rescuer, known, &history, &tasks, deadline)),
        Box::pin(plan(rescuer, known, deadline)),
    );
    Facts {
        now: opener.clock.now(),
        webhooks: or_nothing(webhooks.map(|page| page.items)),
        customer: or_nothing(participants.map(|page| page.items))
            .map(|participants| Contact::among(participants.into_iter().map(contact_of))),
        messages: or_nothing(messages.map(|page| page.items)),
        record,
        history,
        conversation,
        tasks,
        interaction,
        channel,
        agents,
        events,
        plan,
    }
}

/// What Twilio does not know has nothing in it.
fn or_nothing<T>(listed: Result<Vec<T>, CallError>) -> Result<Vec<T>, CallError> {
    match listed {
        Err(error) if error.is_not_found() => Ok(Vec::new()),
        listed => listed,
    }
}

/// The Interaction that the newest task names.
fn named_by(tasks: &Result<Vec<TaskResource>, CallError>) -> Option<Known> {
    let task = tasks.as_ref().ok()?.iter().filter_map(TaskResource::flex).next_back()?;
    Some(Known { sid: task.interaction, channel: Some(task.channel) })
}

async fn channel(
    rescuer: &Rescuer,
    interaction: Option<&Known>,
    deadline: Deadline,
) -> Result<Option<ChannelResource>, CallError> {
    let Some(interaction) = interaction else { return Ok(None) };
    let twilio = &rescuer.opener.twilio;
    if let Some(channel) = &interaction.channel {
        return twilio.interaction_channel(&interaction.sid, channel, deadline).await;
    }
    let channels = twilio.interaction_channels(&interaction.sid, deadline).await;
    Ok(or_nothing(channels.map(|page| page.items))?.into_iter().next())
}

async fn agents(
    rescuer: &Rescuer,
    interaction: Option<&Known>,
    deadline: Deadline,
) -> Result<Vec<Option<WorkerSid>>, CallError> {
    let Some((interaction, channel)) = interaction.and_then(|known| Some((known, known.channel.as_ref()?)))
    else {
        return Ok(Vec::new());
    };
    let participants = rescuer.opener.twilio.interaction_participants(&interaction.sid, channel, deadline);
    let mut participants = or_nothing(participants.await.map(|page| page.items))?;
    participants.retain(|participant| participant.kind == "agent");
    Ok(participants.iter().map(|agent| agent.worker_sid().cloned()).collect())
}

/// What TaskRouter's log tells of every task that anybody has named.
async fn events(
    rescuer: &Rescuer,
    record: Option<&Conversation>,
    history: &Result<Vec<Happening>, LedgerError>,
    tasks: &Result<Vec<TaskResource>, CallError>,
    deadline: Deadline,
) -> Result<Vec<EventResource>, CallError> {
    let opener = &rescuer.opener;
    let mut named: Vec<TaskSid> = Vec::new();
    named.extend(history.iter().flatten().filter_map(|happening| happening.task.clone()));
    if let Some(record) = record {
        named.extend(record.last_end.as_ref().and_then(|end| end.task.clone()));
        named.extend(record.interaction.as_ref().and_then(|interaction| interaction.task.clone()));
    }
    named.extend(tasks.iter().flatten().map(|task| task.sid.clone()));
    let mut seen = BTreeSet::new();
    named.reverse();
    named.retain(|task| seen.insert(task.clone()));
    named.truncate(MOST_TASKS);
    let since = opener.clock.now() - EVENTS_KEPT;
    let workspace = &opener.defaults.workspace;
    let logs: Vec<_> = stream::iter(named)
        .map(async |task| {
            let query = EventQuery::OfTask(&task);
            opener.twilio.events(workspace, &query, since, None, deadline).await
        })
        .buffered(AT_ONCE)
        .collect()
        .await;
    let mut events = Vec::new();
    for log in logs {
        // Newest first.
        events.extend(log?.items.into_iter().rev());
    }
    events.sort_by_key(EventResource::at);
    Ok(events)
}

/// How it stands, for a record of which that is asked.
async fn plan(rescuer: &Rescuer, record: Option<&Conversation>, deadline: Deadline) -> Option<Plan> {
    match record.filter(|record| record.is_looked_after()) {
        Some(record) => rescuer.plan(record, deadline).await,
        None => None,
    }
}

impl Facts {
    /// Whether the conversation is over; `None` where Twilio cannot be asked.
    pub(super) fn is_over(&self) -> Option<bool> {
        let conversation = self.conversation.as_ref().ok()?;
        Some(conversation.as_ref().is_none_or(|it| it.state == ConversationState::Closed))
    }

    /// The oldest message of the customer, of those that were read.
    pub(super) fn first_of_customer(&self) -> Option<MessageResource> {
        let customer = self.customer.as_ref().ok()?.as_ref();
        first_of_customer(self.messages.as_ref().ok()?.clone(), customer)
    }
}
