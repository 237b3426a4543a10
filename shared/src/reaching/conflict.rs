//! The customer is in a conversation already: which one, and what becomes of it.

use super::{
    Reacher, Taken,
    steps::{WAIT_FOR_OTHERS, has_interaction},
};
use crate::{
    clock::Deadline,
    closing::Trouble,
    conversation::{Agent, Conversation, Interaction, Stage},
    opening::contact_of,
    reach::{Initiator, OnConflict, Reach, Refusal},
    routing::routing_parameter,
    sid::ConversationSid,
    telemetry::Metric,
    twilio::{
        CallError, ChannelParticipantResource, ChannelStatus, ConversationState, ParticipantConversation,
        Refusal as Refused, ScopedWebhookResource, TaskResource, TaskStanding,
    },
};

/// The conversation that holds the pair of addresses, as far as Twilio tells. It may tell nothing but that there
/// is one: a query goes through one service, and the pair may be in another.
#[derive(Debug, Default)]
pub(super) struct Holder {
    pub(super) conversation: Option<ConversationSid>,
    state: Option<ConversationState>,
    /// Whether it belongs to the Flex Chat Service, so that something can be done about it.
    is_ours: bool,
}

impl Holder {
    pub(super) fn is_closed(&self) -> bool {
        self.state == Some(ConversationState::Closed)
    }
}

/// More pages than anybody's past conversations fill.
const MOST_PAGES: usize = 100;

impl Reacher {
    /// The conversation that holds the pair, among all that the customer was ever in. Inactive ones hold it too.
    pub(super) async fn holder(&self, reach: &Reach, asking: Deadline) -> Result<Option<Holder>, CallError> {
        let mut next = None;
        for _ in 0..MOST_PAGES {
            let twilio = &self.opener.twilio;
            let page = twilio.participant_conversations(&reach.request.to, next.as_ref(), asking).await?;
            if let Some(row) = page.items.into_iter().find(|row| holds_pair(row, &reach.request.from)) {
                return Ok(Some(Holder {
                    is_ours: row.chat_service_sid.is_none_or(|service| service == self.service),
                    conversation: Some(row.conversation_sid),
                    state: Some(row.conversation_state),
                }));
            }
            next = page.next;
            if next.is_none() {
                break;
            }
        }
        Ok(None)
    }

    /// The conversation that Twilio's refusal speaks of: by the SID in its text, which nobody promises to be
    /// there, else as Twilio lists it.
    pub(super) async fn holder_named_by(
        &self,
        reach: &Reach,
        error: &CallError,
        asking: Deadline,
    ) -> Result<Option<Holder>, CallError> {
        let CallError::Refused(Refused::Rejected { message, .. }) = error else { return Ok(None) };
        let Some(named) = conversation_in(message) else { return self.holder(reach, asking).await };
        let shown = self.opener.twilio.conversation(&named, asking).await?;
        Ok(Some(Holder {
            is_ours: shown.is_some(),
            state: shown.map(|shown| shown.state),
            conversation: Some(named),
        }))
    }

    /// Does what was asked for where the pair is taken.
    pub(super) async fn meets(
        &self,
        reach: &Reach,
        holder: Holder,
        asking: Deadline,
    ) -> Result<Taken, Trouble> {
        let Some(sid) = holder.conversation.clone().filter(|_| holder.is_ours) else {
            return Ok(Taken::Refused(Refusal::taken(holder.conversation, holder.state, None)));
        };
        match reach.request.on_conflict {
            OnConflict::Reject => self.taken(&holder, &sid, asking).await,
            OnConflict::Join => Ok(Taken::with(move |next| next.joins(sid))),
            OnConflict::Replace if self.somebody_else_is_in(&sid, asking).await? => {
                self.taken(&holder, &sid, asking).await
            }
            OnConflict::Replace => {
                tracing::info!(conversation_sid = %sid, reach = %reach.id, "closed, to make room for a reach");
                self.opener.close(&sid, asking).await?;
                self.opener.metrics.count(Metric::ConversationReplaced);
                // Before it was made, a conversation may follow; afterwards the participant is tried again.
                Ok(if reach.conversation.is_none() { Taken::done() } else { Taken::Again(WAIT_FOR_OTHERS) })
            }
        }
    }

    async fn taken(
        &self,
        holder: &Holder,
        sid: &ConversationSid,
        asking: Deadline,
    ) -> Result<Taken, Trouble> {
        let record = self.opener.ledger.get(sid, asking).await?;
        let interaction = record.and_then(|record| record.interaction).map(|interaction| interaction.sid);
        Ok(Taken::Refused(Refusal::taken(Some(sid.clone()), holder.state, interaction)))
    }

    /// Whether somebody besides the customer takes part in a conversation.
    pub(super) async fn somebody_else_is_in(
        &self,
        sid: &ConversationSid,
        asking: Deadline,
    ) -> Result<bool, CallError> {
        match self.opener.twilio.participants(sid, asking).await {
            Ok(participants) => {
                Ok(participants.items.into_iter().map(contact_of).any(|one| one.address.is_none()))
            }
            Err(error) if error.is_not_found() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Brings an agent into the conversation that the customer is in. What was made for the reach before that
    /// showed is not needed.
    pub(super) async fn join(&self, reach: &Reach, asking: Deadline) -> Result<Taken, Trouble> {
        let Some(sid) = &reach.conversation else { return Ok(Taken::Refused(Refusal::ConversationOver)) };
        if let Some(spare) = &reach.spare {
            self.remove(spare, asking).await?;
        }
        let shown = self.opener.twilio.conversation(sid, asking).await?;
        let Some(shown) = shown.filter(|shown| shown.state != ConversationState::Closed) else {
            return Ok(Taken::Refused(Refusal::ConversationOver));
        };
        let seen = self.opener.ledger.get(sid, asking).await?;
        if seen.as_ref().is_some_and(|record| matches!(record.stage, Stage::Claimed { .. })) {
            // Whoever claimed it is opening it right now; or it was this reach, and its process died.
            return self.open_on(reach, sid, seen, asking).await;
        }
        let known = seen.as_ref().and_then(|record| record.interaction.clone());
        let interaction = match known {
            Some(known) => Some(known),
            None => self.opener.find_interaction(sid, asking).await?,
        };
        let taken = Refusal::taken(Some(sid.clone()), Some(shown.state), None);
        match (&reach.request.initiator, interaction) {
            (Initiator::System { webhook }, interaction) => {
                if interaction.is_none() {
                    self.expect_reply(reach, sid, asking).await?;
                    let attached = self.opener.twilio.scoped_webhooks(sid, asking).await?;
                    if !attached.items.iter().any(ScopedWebhookResource::hears_replies) {
                        self.opener.twilio.attach_webhook(sid, &webhook.webhook(), asking).await?;
                    }
                }
                Ok(has_interaction(interaction))
            }
            (_, None) => self.open_on(reach, sid, seen, asking).await,
            (initiator, Some(interaction)) => {
                let agent = match initiator {
                    Initiator::Agent(agent) => Some(agent),
                    _ => None,
                };
                self.invite(reach, seen, interaction, agent, taken, asking).await
            }
        }
    }

    /// Has somebody invited into an Interaction: the agent who asks, unless they are in it; or, where none in
    /// particular does, anybody, unless somebody is in it or on the way. Never adds anybody directly.
    async fn invite(
        &self,
        reach: &Reach,
        seen: Option<Conversation>,
        mut interaction: Interaction,
        agent: Option<&Agent>,
        taken: Refusal,
        asking: Deadline,
    ) -> Result<Taken, Trouble> {
        let Some(sid) = &reach.conversation else { return Ok(Taken::Refused(taken)) };
        let twilio = &self.opener.twilio;
        let channel = match &interaction.channel {
            Some(channel) => twilio.interaction_channel(&interaction.sid, channel, asking).await?,
            None => twilio.interaction_channels(&interaction.sid, asking).await?.items.into_iter().next(),
        };
        let Some(channel) = channel else { return Ok(Taken::Refused(taken)) };
        match channel.status {
            // It is about to stand, or to be made again.
            ChannelStatus::SetUp => return Ok(Taken::Again(WAIT_FOR_OTHERS)),
            ChannelStatus::Failed => return Ok(Taken::NotNow(None)),
            ChannelStatus::Closed => return Ok(Taken::Refused(taken)),
            _ => {}
        }
        interaction.channel = Some(channel.sid.clone());
        let workspace = &self.opener.defaults.workspace;
        let tasks = twilio.tasks_of_conversation(workspace, sid, asking).await?;
        // An earlier try of this very reach, whose answer was lost.
        let is_this = |task: &&TaskResource| {
            task.flex().is_some_and(|flex| flex.reach.as_deref() == Some(reach.id.as_str()))
        };
        if let Some(task) = tasks.iter().find(is_this) {
            interaction.task = Some(task.sid.clone());
            return Ok(has_interaction(Some(interaction)));
        }
        let participants = twilio.interaction_participants(&interaction.sid, &channel.sid, asking).await?;
        let living: Vec<_> = tasks.iter().filter(|task| task.standing() == TaskStanding::Live).collect();
        if let Some(there) = participants.items.iter().find(|one| is_there(one, agent, &living)) {
            interaction.task = there.task_sid().cloned();
            return Ok(has_interaction(Some(interaction)));
        }
        if agent.is_none()
            && let Some(waiting) = living.first()
        {
            interaction.task = Some(waiting.sid.clone());
            return Ok(has_interaction(Some(interaction)));
        }
        let routing = routing_parameter(&self.routing(reach), workspace);
        let invite = twilio.create_invite(&interaction.sid, &channel.sid, &routing, asking).await?;
        interaction.task = invite.task_sid().cloned();
        let now = self.opener.clock.now();
        let invited =
            |current: Option<&Conversation>| Conversation::invited(current, sid, interaction.clone(), now);
        // The invite stands whether or not this can be written: TaskRouter tells of its task too.
        if let Err(error) = self.opener.ledger.record(seen, asking, invited).await {
            tracing::warn!(%error, "an invite could not be recorded with its conversation");
        }
        Ok(has_interaction(Some(interaction)))
    }
}

/// Whether this is the agent who is wanted, or any where none in particular is, and can answer: whose task was taken
/// away cannot.
fn is_there(one: &ChannelParticipantResource, wanted: Option<&Agent>, living: &[&TaskResource]) -> bool {
    let is_wanted = wanted.is_none_or(|wanted| one.worker_sid() == Some(&wanted.worker));
    let can_answer = one.task_sid().is_none_or(|task| living.iter().any(|living| living.sid == *task));
    one.kind == "agent" && is_wanted && can_answer
}

fn holds_pair(row: &ParticipantConversation, proxy_address: &str) -> bool {
    let proxy = row.participant_messaging_binding.as_ref().and_then(|pair| pair.proxy_address.as_ref());
    row.conversation_state != ConversationState::Closed
        && proxy.is_some_and(|proxy| proxy.as_str() == proxy_address)
}

/// The conversation that a text names.
fn conversation_in(text: &str) -> Option<ConversationSid> {
    let word = |word: &str| word.parse().ok();
    text.split(|letter: char| !letter.is_ascii_alphanumeric()).find_map(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_is_there_who_is_wanted_and_can_answer() {
        let one = |kind: &str, worker: u8, task: Option<u8>| -> ChannelParticipantResource {
            let routing = serde_json::json!({
                "worker_sid": format!("WK{worker:032x}"),
                "task_sid": task.map(|task| format!("WT{task:032x}")),
            });
            let sid = "UT00000000000000000000000000000001";
            let whole = serde_json::json!({"sid": sid, "type": kind, "routing_properties": routing});
            serde_json::from_value(whole).unwrap()
        };
        let task = TaskResource::with_attributes("WT00000000000000000000000000000001".parse().unwrap(), None);
        let wanted = Agent {
            worker: "WK00000000000000000000000000000001".parse().unwrap(),
            queue: "WQ00000000000000000000000000000001".parse().unwrap(),
        };
        for (participant, by_name, by_anybody) in [
            (one("agent", 1, Some(1)), true, true),
            (one("agent", 1, None), true, true),
            (one("agent", 2, Some(1)), false, true),
            (one("agent", 1, Some(2)), false, false),
            (one("supervisor", 1, Some(1)), false, false),
        ] {
            assert_eq!(is_there(&participant, Some(&wanted), &[&task]), by_name, "{participant:?}");
            assert_eq!(is_there(&participant, None, &[&task]), by_anybody, "{participant:?}");
        }
    }

    #[test]
    fn the_conversation_is_found_in_whatever_words_name_it() {
        let sid = "CH1b8e780f14db45b6b44b070bb3f9172c";
        for text in [
            format!("A binding for this participant and proxy address already exists in Conversation {sid}"),
            format!("conversation '{sid}'."),
            sid.to_owned(),
        ] {
            assert_eq!(conversation_in(&text).unwrap().as_str(), sid);
        }
        for text in ["", "another Conversation", "CH12", &format!("x{sid}"), &format!("{sid}0")] {
            assert_eq!(conversation_in(text), None, "{text}");
        }
    }
}
