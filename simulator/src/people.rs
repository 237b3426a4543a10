//! What people do: customers write, agents accept and leave.

mod handing_over;
mod reach;
mod signing_in;

use serde_json::Value;

use crate::answer::Refusal;
use crate::conversations::events::{self, Source};
use crate::conversations::messages::{self, Draft as MessageDraft};
use crate::conversations::participants::{self, Binding};
use crate::conversations::resource::{self, Draft};
use crate::conversations::scoped_webhooks;
use crate::conversations::{ConversationState, Reason};
use crate::flex::channels::{self, TasksEnd};
use crate::flex::participants as flex_participants;
use crate::flex::web_chats::{self, Draft as WebChatDraft};
use crate::taskrouter::{reservations, tasks};
use crate::twilio::Twilio;
use crate::world::World;

/// A message that arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// `CH…`
    pub conversation_sid: String,
    /// `IM…`
    pub message_sid: String,
    /// The number of the message within its conversation.
    pub index: u64,
}

impl Twilio {
    /// A customer writes from their number to one of ours; both are `+1555…` or `whatsapp:+1555…`.
    ///
    /// The message goes to the open conversation that has the pair. Without one a conversation is made, with
    /// what the address configuration of `to` attaches; without a configuration nothing is attached to it.
    #[expect(clippy::must_use_candidate, reason = "what matters is that they wrote")]
    pub fn customer_writes(&self, from: &str, to: &str, body: &str) -> Written {
        let world = &mut *self.world();
        let sid = match participants::holder(world, from, to) {
            Some(sid) => sid,
            None => auto_create(world, from, to),
        };
        write(world, &sid, from, body, Source::of(&Binding::new(from, to)))
    }

    /// Another chat service of the account has an active conversation with this pair of addresses. Gives its
    /// `CH…`.
    ///
    /// The pair is taken (50416), and what the customer writes goes there; but our service does not list the
    /// conversation, and by its sid it is not found. Whether a pair really is taken across services no source
    /// confirms. What holds the pair already is not asked: it should be free.
    #[expect(clippy::must_use_candidate, reason = "the pair is taken whether or not the sid is used")]
    pub fn conversation_elsewhere(&self, from: &str, to: &str) -> String {
        let world = &mut *self.world();
        let draft = Draft { created_by: Some(from.to_owned()), elsewhere: true, ..Draft::default() };
        let sid = resource::open(world, draft);
        participants::add(world, &sid, None, Some(Binding::new(from, to)), None);
        sid
    }

    /// A user of the chat SDK writes.
    ///
    /// Refused with 404 if there is no such conversation and with 50377 if it is closed.
    pub fn customer_writes_in(
        &self,
        conversation: &str,
        author: &str,
        body: &str,
    ) -> Result<Written, Refusal> {
        write_in_chat(&mut self.world(), conversation, author, body)
    }

    /// A web chat begins, as `POST /v2/WebChats` begins one: a conversation with a user, pre-engagement data
    /// in its attributes under `pre_engagement_data`, and what the address configuration `address` attaches,
    /// which need not be there. Gives its `CH…`.
    #[expect(clippy::must_use_candidate, reason = "the chat begins whether or not its sid is used")]
    pub fn create_chat_conversation(
        &self,
        address: &str,
        identity: &str,
        pre_engagement_data: &Value,
    ) -> String {
        let draft = WebChatDraft {
            address,
            identity,
            friendly_name: Some("Webchat widget"),
            customer_name: None,
            pre_engagement: Some(pre_engagement_data.to_string()),
        };
        web_chats::begin(&mut self.world(), &draft)
    }

    /// `TaskRouter` offers the task to a worker. Refused unless it is pending.
    pub fn task_is_offered(&self, task: &str, worker: &str) -> Result<(), Refusal> {
        reservations::offer(&mut self.world(), task, worker).map(drop)
    }

    /// `TaskRouter` offers the task to every worker at once, or to the only one it is for. Refused unless it
    /// is pending. The first who accepts has it, and the other offers are rescinded.
    pub fn task_is_offered_to_all(&self, task: &str) -> Result<(), Refusal> {
        reservations::offer_to_all(&mut self.world(), task)
    }

    /// The worker does not answer an offer of the task in time. It goes on as with a rejection.
    pub fn reservation_times_out(&self, task: &str, worker: &str) -> Result<(), Refusal> {
        reservations::time_out(&mut self.world(), task, worker)
    }

    /// The worker accepts the task, offered or not, and joins the conversation.
    ///
    /// Refused unless the channel is active and the task is pending or offered to this worker.
    pub fn agent_accepts(&self, task: &str, worker: &str) -> Result<(), Refusal> {
        reservations::accept(&mut self.world(), task, worker)
    }

    /// The worker rejects the task. It waits again once nobody else has an offer of it, unless it was for
    /// this worker only: then it is canceled.
    pub fn agent_rejects(&self, task: &str, worker: &str) -> Result<(), Refusal> {
        reservations::reject(&mut self.world(), task, worker)
    }

    /// The agent of a task writes through the SDK, which fires webhooks as customers' messages do.
    pub fn agent_writes(&self, task: &str, body: &str) -> Result<Written, Refusal> {
        let world = &mut *self.world();
        let (interaction_sid, worker_sid) = at_work(world, task)?;
        let identity = flex_participants::identity_of(world, &worker_sid).unwrap_or_default();
        let conversation = world
            .interactions
            .get(&interaction_sid)
            .map(|interaction| interaction.channel.conversation_sid.clone())
            .unwrap_or_default();
        write_in_chat(world, &conversation, &identity, body)
    }

    /// The agent parks the Interaction: the task is completed, the agent is gone, the conversation and its
    /// channel stay as they are.
    pub fn agent_parks(&self, task: &str) -> Result<(), Refusal> {
        let world = &mut *self.world();
        at_work(world, task)?;
        flex_participants::part(world, task);
        Ok(())
    }

    /// The agent leaves the conversation, which stays as it is, with its channel: Flex's
    /// `leaveConversation`. The task is wrapping and then completed.
    pub fn agent_leaves(&self, task: &str) -> Result<(), Refusal> {
        let world = &mut *self.world();
        at_work(world, task)?;
        flex_participants::remove_agent(world, task);
        tasks::wrap(world, task);
        tasks::complete(world, task, "completed");
        Ok(())
    }

    /// The agent ends the chat: channel and conversation are closed, the task is wrapping.
    pub fn agent_ends_chat(&self, task: &str) -> Result<(), Refusal> {
        let world = &mut *self.world();
        let (interaction_sid, _) = at_work(world, task)?;
        channels::close(world, &interaction_sid, TasksEnd::Wrapping);
        Ok(())
    }

    /// The agent's work on the task is done. The conversation stays as it is.
    pub fn task_completes(&self, task: &str) -> Result<(), Refusal> {
        let world = &mut *self.world();
        if world.tasks.get(task).is_none_or(|task| task.status.is_over()) {
            return Err(Refusal::not_found(&format!("/v1/Tasks/{task}")));
        }
        flex_participants::remove_agent(world, task);
        tasks::complete(world, task, "completed");
        Ok(())
    }

    /// Somebody deletes the task through the Task API.
    pub fn task_is_deleted(&self, task: &str) -> Result<(), Refusal> {
        let world = &mut *self.world();
        if !world.tasks.contains_key(task) {
            return Err(Refusal::not_found(&format!("/v1/Tasks/{task}")));
        }
        tasks::remove(world, task, "task.deleted");
        Ok(())
    }

    /// Closes a conversation behind everybody's back. Webhooks tell of it. Closed again is refused.
    pub fn close_conversation(&self, conversation: &str, reason: Reason) -> Result<(), Refusal> {
        resource::close(&mut self.world(), conversation, reason, true)
    }
}

/// The Interaction and the worker of a task on which somebody works.
fn at_work(world: &World, task_sid: &str) -> Result<(String, String), Refusal> {
    let task = world.tasks.get(task_sid);
    let interaction =
        task.and_then(|task| task.interaction_sid.as_ref()).and_then(|sid| world.interactions.get(sid));
    interaction
        .and_then(|interaction| {
            let of_task =
                |worker: &&flex_participants::Participant| worker.task_sid.as_deref() == Some(task_sid);
            let agent = interaction.channel.participants.iter().find(of_task)?;
            Some((interaction.sid.clone(), agent.worker_sid.clone()?))
        })
        .ok_or_else(|| Refusal::new(400, 20001, format!("No agent is at work on task {task_sid}")))
}

/// Makes the conversation for a first message, as the address configuration says.
fn auto_create(world: &mut World, from: &str, to: &str) -> String {
    let draft = Draft { created_by: Some(from.to_owned()), ..Draft::default() };
    let sid = resource::open(world, draft);
    scoped_webhooks::attach_configured(world, &sid, to);
    let binding = Binding::new(from, to);
    let source = Source::of(&binding);
    let participant = participants::add(world, &sid, None, Some(binding), None);
    events::conversation(world, "onConversationAdded", &sid, source.clone());
    if let Some(participant) = participant {
        events::participant(world, "onParticipantAdded", &sid, &participant, source);
    }
    sid
}

fn write(world: &mut World, sid: &str, author: &str, body: &str, source: Source) -> Written {
    let draft =
        MessageDraft { author: author.to_owned(), body: Some(body.to_owned()), ..MessageDraft::default() };
    let message = messages::add(world, sid, draft);
    if let Some(message) = &message {
        messages::announce(world, sid, message, source);
    }
    Written {
        conversation_sid: sid.to_owned(),
        index: message.as_ref().map_or(0, |message| message.index),
        message_sid: message.map(|message| message.sid).unwrap_or_default(),
    }
}

fn write_in_chat(world: &mut World, sid: &str, author: &str, body: &str) -> Result<Written, Refusal> {
    match world.conversations.get(sid).map(|conversation| conversation.state) {
        None => Err(Refusal::not_found(&format!("/v1/Conversations/{sid}"))),
        Some(ConversationState::Closed) => Err(Refusal::new(400, 50377, "Conversation is closed")),
        Some(_) => Ok(write(world, sid, author, body, Source::Sdk(author.to_owned()))),
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::Sim;

    #[test]
    fn an_agent_who_leaves_lets_the_conversation_live() {
        let (sim, engaged) = Sim::attended();
        sim.twilio.agent_leaves(&engaged.task).expect("at work");
        assert_eq!(sim.events(), ["task.wrapup", "task.completed"]);
        assert_eq!(sim.state(&engaged.conversation), "active");
        assert_eq!(sim.get(&engaged.channel).1["status"], "active");
        assert_eq!(sim.twilio.participants(&engaged.conversation).len(), 1);
        assert_eq!(sim.twilio.interactions()[0].channel.participants.len(), 1);
        assert!(sim.twilio.agent_leaves(&engaged.task).is_err());
    }

    #[test]
    fn an_agent_who_ends_the_chat_completes_the_task_afterwards() {
        let (sim, engaged) = Sim::attended();
        sim.twilio.agent_ends_chat(&engaged.task).expect("at work");
        assert_eq!(
            (sim.state(&engaged.conversation), sim.task_status(&engaged.task)),
            ("closed", "wrapping")
        );
        sim.twilio.task_completes(&engaged.task).expect("wrapping");
        assert_eq!(sim.events(), ["task.wrapup", "task.completed"]);
        assert_eq!(
            (sim.state(&engaged.conversation), sim.task_status(&engaged.task)),
            ("closed", "completed")
        );
        assert!(sim.twilio.task_completes(&engaged.task).is_err());
        assert!(sim.twilio.agent_ends_chat(&engaged.task).is_err());
    }
}
