//! What must be true once all is at rest.

use std::{collections::BTreeSet, sync::Arc};

use http::Method;
use serde_json::Value;
use simulator::{Conversation, ConversationState, Message};

use super::{centre::Centre, people};
use crate::outbound::Told;

/// Everything.
pub(super) async fn everything(centre: &Arc<Centre>) -> Result<(), String> {
    let reaches = centre.lock(&centre.people).reaches.len();
    centre.watch.check_interactions(&centre.rig.system.twilio);
    let events = events(centre).await;
    let conversations = centre.rig.system.twilio.conversations();
    centre.watch.there_were(conversations.len());
    for conversation in &conversations {
        of_conversation(centre, conversation, &events)?;
    }
    for reach in 0..reaches {
        of_reach(centre, reach, &conversations)?;
    }
    Ok(())
}

fn of_conversation(centre: &Centre, conversation: &Conversation, events: &[Value]) -> Result<(), String> {
    let sid = &conversation.sid;
    // Attributes may have been overwritten since.
    let tasks: BTreeSet<_> = events
        .iter()
        .filter(|event| event["event_type"] == "task.created")
        .filter(|event| task_attributes(event)["conversationSid"] == sid.as_str())
        .filter_map(|event| event["event_data"]["task_sid"].as_str())
        .collect();
    let of_this =
        |event: &&Value| event["event_data"]["task_sid"].as_str().is_some_and(|task| tasks.contains(task));
    let mut reinvites: Vec<&str> = events
        .iter()
        .filter(of_this)
        .filter(|event| event["event_type"] == "task.created")
        .filter(|event| task_attributes(event)["flexglueReinvites"].as_u64().is_some_and(|number| number > 0))
        .filter_map(|event| event["event_data"]["task_sid"].as_str())
        .filter(|task| !centre.lock(&centre.people).tasks_of_theirs.contains(*task))
        .collect();
    reinvites.sort_unstable();
    reinvites.dedup();
    let most = centre.plan.account.max_reinvites;
    if reinvites.len() > usize::try_from(most).unwrap_or_default() {
        return Err(format!("agents were invited to {sid} again {} times of {most}", reinvites.len()));
    }
    if conversation.state == ConversationState::Closed {
        return Ok(());
    }
    if centre.watch.somebody_is_there(centre, sid) || waits_for_a_reply(centre, conversation) {
        return Ok(());
    }
    let end = events.iter().filter(of_this).find(|event| {
        matches!(
            event["event_type"].as_str(),
            Some("task.completed" | "task.canceled" | "task.deleted" | "task.system-deleted")
        )
    });
    match end.and_then(|end| end["event_type"].as_str()) {
        // An agent parked it, or left it on purpose.
        Some("task.completed") => Ok(()),
        other => {
            Err(format!("{sid} is open, nobody is in it or on the way, and its last task ended by {other:?}"))
        }
    }
}

/// Whether a conversation is a reminder that its customer has not replied to.
fn waits_for_a_reply(centre: &Centre, conversation: &Conversation) -> bool {
    let is_theirs = |message: &Message| {
        let author = message.author.as_str();
        author.contains(people::PRIVATE_NUMBERS)
    };
    let reminds = centre.lock(&centre.people).reaches.iter().any(|reach| {
        reach.body["initiated_by"] == "system"
            && reach.told.last().is_some_and(|told| told.text("conversation_sid") == conversation.sid)
    });
    reminds && !conversation.messages.iter().any(is_theirs)
}

/// A reach came to one end, the same whoever asks, and its message was sent once at most.
fn of_reach(centre: &Centre, number: usize, conversations: &[Conversation]) -> Result<(), String> {
    let reach = centre.lock(&centre.people).reaches[number].clone();
    let Some(last) = reach.told.last() else { return Err(format!("{} was never answered", reach.key)) };
    if !people::is_final(last) {
        return Err(format!("{} has come to no end: {last:?}", reach.key));
    }
    let names = |told: &&Told| matches!(told.status, 200 | 201);
    let mut made: Vec<_> =
        reach.told.iter().filter(names).map(|told| told.text("conversation_sid")).collect();
    made.dedup();
    if made.len() > 1 {
        return Err(format!("{} was answered with several conversations: {made:?}", reach.key));
    }
    if !made.is_empty() && !matches!(last.status, 200 | 201) {
        return Err(format!("{} was made and is now answered {last:?}", reach.key));
    }
    let said = reach.body["message"]["body"].as_str();
    let sent: usize = conversations
        .iter()
        .map(|one| one.messages.iter().filter(|message| message.body.as_deref() == said).count())
        .sum();
    if sent > 1 {
        return Err(format!("the message of {} was sent {sent} times", reach.key));
    }
    if let Some(made) = made.first() {
        let Some(conversation) = conversations.iter().find(|one| one.sid == *made) else {
            return Err(format!("{} was answered with a conversation that is not there", reach.key));
        };
        let there = conversation.messages.iter().any(|message| message.body.as_deref() == said);
        // The answer says so where Twilio refused the message.
        if !there && last.body.get("message").is_none() {
            return Err(format!("the message of {} was never sent: {last:?}", reach.key));
        }
    }
    Ok(())
}

/// Everything that happened to tasks, newest first.
async fn events(centre: &Centre) -> Vec<Value> {
    let workspace = centre.rig.system.twilio.settings().workspace_sid;
    let mut path = format!("/v1/Workspaces/{workspace}/Events?Minutes=43000&PageSize=1000");
    let mut events = Vec::new();
    loop {
        let page = centre.rig.rest(Method::GET, &path, "").await;
        events.extend(page["events"].as_array().cloned().unwrap_or_default());
        match page["meta"]["next_page_url"].as_str().and_then(|url| url.split_once("/v1/")) {
            Some((_, rest)) => path = format!("/v1/{rest}"),
            None => return events,
        }
    }
}

fn task_attributes(event: &Value) -> Value {
    let text = event["event_data"]["task_attributes"].as_str().unwrap_or_default();
    serde_json::from_str(text).unwrap_or_default()
}
