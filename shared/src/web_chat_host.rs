//! Begins web chats, has them end, and closes what was left half-way. The same serves `webchat-token` and the sweeper.
//!
//! What follows what is pure ([`crate::web_chat`]); here it meets Twilio and the ledger. A chat whose beginning died
//! half-way, or whose answer was lost, is found by its guest: nobody else is in it, and nobody has a token for it, so
//! that it is closed and never finished. Its customer was told that it did not begin.

use std::time::Duration;

use crate::{
    clock::{Deadline, Timestamp},
    closing::Trouble,
    conversation::{self, Contact, Conversation},
    ledger::LedgerError,
    opening::Opener,
    personal::Personal,
    rescue::Ending,
    safeguard::Safeguard,
    sid::{AddressSid, ConversationSid},
    telemetry::Metric,
    twilio::{CallError, ConversationState, MessageContent, NewMessage, NewWebChat, Refusal},
    web_chat::{Guest, Refreshed, Stage, WebChat},
};

/// Begins, ends and looks after web chats. Cheap to clone.
#[derive(Clone, Debug)]
pub struct WebChatHost {
    /// Opens Interactions, and holds ledger, Twilio client, clock and counts.
    pub opener: Opener,
}

/// A chat that a customer asks for.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The address that it belongs to.
    pub address: AddressSid,
    /// The customer's name, for agents to see.
    pub customer_name: Personal<String>,
    /// What they filled in, a JSON text.
    pub pre_engagement: Personal<String>,
    /// Who they are to the site, where its back end has signed that.
    pub customer_id: Option<Personal<String>>,
    /// Their first message.
    pub query: Option<Personal<String>>,
    /// When the token ends that they are to get.
    pub token_until: Timestamp,
}

/// Why a chat has not begun.
#[derive(Debug, thiserror::Error)]
pub enum NotBegun {
    /// Twilio could not be asked, or did not do it for now.
    #[error("Twilio did not do it for now")]
    NotNow {
        /// What its `Retry-After` said, where it said anything.
        retry_after: Option<Duration>,
    },
    /// Twilio refused for good.
    #[error("Twilio refused with status {status}, code {code:?}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// Twilio's [error code](https://www.twilio.com/docs/api/errors).
        code: Option<u32>,
    },
    /// The table could not be written.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// How much of the time is kept for writing down what Twilio answered.
const RECORDING_TIME: Duration = Duration::from_millis(700);

/// With less time than this left, what was begun is left to the sweeper to close.
const SHORTEST: Duration = Duration::from_millis(1500);

impl WebChatHost {
    /// Begins a chat: the record, the conversation, the customer's first message. What of it cannot be made is closed
    /// again.
    pub async fn begin(&self, wanted: Wanted, deadline: Deadline) -> Result<WebChat, NotBegun> {
        let Opener { ledger, clock, random, .. } = &self.opener;
        let chat = WebChat::begin(Guest::drawn(&random.token()), clock.now());
        if !ledger.write_web_chat(None, &chat, deadline).await? {
            return Err(LedgerError::Contended.into());
        }
        let lease = chat.may_act_until().since(clock.now());
        let asking = deadline.leaving(RECORDING_TIME).or_sooner(lease);
        let mut made = None;
        let begun = self.make(&chat, wanted, &mut made, asking, deadline).await;
        match begun {
            Ok(open) => {
                self.opener.metrics.count(Metric::WebChatBegun);
                Ok(open)
            }
            Err(trouble) => {
                tracing::warn!(%trouble, "a web chat did not begin");
                self.opener.metrics.count(Metric::WebChatFailed);
                self.undo(&chat, made.as_ref(), &trouble, deadline).await;
                Err(not_begun(trouble))
            }
        }
    }

    /// Has Twilio make the conversation, sends the first message, and records that the chat has begun. `made` is the
    /// conversation as soon as there is one.
    async fn make(
        &self,
        chat: &WebChat,
        wanted: Wanted,
        made: &mut Option<ConversationSid>,
        asking: Deadline,
        deadline: Deadline,
    ) -> Result<WebChat, Trouble> {
        let Opener { ledger, twilio, clock, .. } = &self.opener;
        let new = NewWebChat {
            address: wanted.address,
            identity: chat.guest.to_string(),
            customer_name: wanted.customer_name,
            pre_engagement: wanted.pre_engagement,
        };
        let answer = twilio.create_web_chat(new, asking).await?;
        let sid = answer.conversation_sid;
        *made = Some(sid.clone());
        if answer.identity != chat.guest.as_str() {
            // A token for the guest would lead nowhere.
            tracing::error!("Twilio has given a web chat's guest another identity than it was told");
            return Err(CallError::from(crate::twilio::Doubt::Unreadable).into());
        }
        tracing::Span::current().record("conversation_sid", sid.as_str());
        let contact = Contact {
            kind: Some("CHAT".to_owned()),
            identity: Some(chat.guest.to_string().into()),
            customer_id: wanted.customer_id,
            ..Contact::default()
        };
        let begun = |current: Option<&Conversation>| {
            Conversation::web_chat_begun(current, &sid, contact.clone(), clock.now())
        };
        ledger.record(None, asking, begun).await?;
        if let Some(query) = wanted.query {
            self.say(chat, &sid, query, asking).await?;
        }
        let open = chat.opened(sid, wanted.token_until, clock.now());
        if ledger.write_web_chat(Some(chat), &open, deadline).await? {
            return Ok(open);
        }
        // The lease is over, and the sweeper has it.
        Err(LedgerError::Contended.into())
    }

    /// Sends the customer's first message, once, with webhooks: `inbound-webhook` hears of it and opens the
    /// Interaction. Where the answer was lost, it is looked for.
    async fn say(
        &self,
        chat: &WebChat,
        sid: &ConversationSid,
        query: Personal<String>,
        asking: Deadline,
    ) -> Result<(), Trouble> {
        let twilio = &self.opener.twilio;
        let message = NewMessage {
            author: chat.guest.to_string(),
            content: MessageContent::Text(query),
            name: Some(chat.guest.to_string()),
            fire_webhooks: true,
        };
        let Err(error) = twilio.send_message(sid, message, asking).await else { return Ok(()) };
        if let CallError::Unknown(_) = error {
            let messages = twilio.newest_messages(sid, asking).await?.items;
            if messages.iter().any(|message| message.name().as_deref() == Some(chat.guest.as_str())) {
                return Ok(());
            }
        }
        Err(error.into())
    }

    /// Leaves nothing of a chat behind that did not begin. What cannot be done now is due, and the sweeper does it.
    async fn undo(
        &self,
        chat: &WebChat,
        made: Option<&ConversationSid>,
        trouble: &Trouble,
        deadline: Deadline,
    ) {
        let nothing_was_made = made.is_none() && matches!(trouble, Trouble::Twilio(CallError::Refused(_)));
        let undone = if nothing_was_made {
            self.is_over(chat, deadline).await.map(drop)
        } else {
            self.end_from(chat.clone(), made, deadline).await.map(drop)
        };
        if let Err(error) = undone {
            tracing::error!(%error, "a web chat is left to the sweeper to close");
        }
    }

    /// Has a chat end, as its customer wants. Once this is written it is a promise: what cannot be closed now is due.
    pub async fn end(&self, chat: WebChat, deadline: Deadline) -> Result<(), LedgerError> {
        if self.end_from(chat, None, deadline).await? {
            self.opener.metrics.count(Metric::WebChatEnded);
        }
        Ok(())
    }

    /// Has a chat end, whatever it has become since it was seen: another tab may have got a token, or ended it.
    /// Whether it was for us to end it.
    async fn end_from(
        &self,
        seen: WebChat,
        conversation: Option<&ConversationSid>,
        deadline: Deadline,
    ) -> Result<bool, LedgerError> {
        let mut chat = Some(seen);
        while let Some(seen) = chat {
            let Some(ending) = seen.ends(conversation, self.opener.clock.now()) else { break };
            if self.opener.ledger.write_web_chat(Some(&seen), &ending, deadline).await? {
                if deadline.remaining() > SHORTEST {
                    self.finish(&ending, deadline).await;
                }
                return Ok(true);
            }
            chat = self.opener.ledger.web_chat(&seen.guest, deadline).await?;
        }
        Ok(false)
    }

    /// Until when another token of a chat's customer is good, which is written down where it outlives those before.
    /// `None` where they may not have one.
    pub async fn refresh(
        &self,
        seen: WebChat,
        token_ttl: Duration,
        session: Duration,
        deadline: Deadline,
    ) -> Result<Option<Timestamp>, LedgerError> {
        let mut chat = Some(seen);
        while let Some(seen) = chat {
            match seen.refreshed(token_ttl, session, self.opener.clock.now()) {
                Refreshed::Not => break,
                Refreshed::Within(until) => return Ok(Some(until)),
                Refreshed::Beyond(next, until) => {
                    if self.opener.ledger.write_web_chat(Some(&seen), &next, deadline).await? {
                        return Ok(Some(until));
                    }
                }
            }
            chat = self.opener.ledger.web_chat(&seen.guest, deadline).await?;
        }
        Ok(None)
    }

    /// Closes what is to be closed, and says so; what goes wrong is left to the sweeper.
    async fn finish(&self, ending: &WebChat, deadline: Deadline) {
        if let Err(trouble) = self.close(ending, deadline).await {
            tracing::warn!(%trouble, "a web chat is left to the sweeper to close");
        }
    }

    /// Closes a chat that is to be closed, or that nobody came back to. `false` where somebody else has written
    /// meanwhile, or where it may yet turn up at Twilio.
    async fn close(&self, chat: &WebChat, deadline: Deadline) -> Result<bool, Trouble> {
        let asking = deadline.leaving(RECORDING_TIME);
        let sids = if let Some(sid) = &chat.conversation {
            vec![sid.clone()]
        } else {
            // The answer to its making was lost, or never came.
            if !Safeguard::LookForGuest.is_on() {
                return self.is_over(chat, deadline).await.map_err(Trouble::from);
            }
            let found = self.opener.twilio.conversations_of_identity(chat.guest.as_str(), asking).await?;
            found.items.into_iter().map(|row| row.conversation_sid).collect()
        };
        if sids.is_empty() && chat.may_yet_turn_up(self.opener.clock.now()) {
            return Ok(false);
        }
        for sid in sids {
            self.opener.close(&sid, asking).await?;
        }
        Ok(self.is_over(chat, deadline).await?)
    }

    async fn is_over(&self, chat: &WebChat, deadline: Deadline) -> Result<bool, LedgerError> {
        let over = chat.over(self.opener.clock.now());
        self.opener.ledger.write_web_chat(Some(chat), &over, deadline).await
    }

    /// Brings a chat that is due to its end: the sweeper's part.
    pub async fn settle(&self, guest: &Guest, deadline: Deadline) -> Result<Ending, LedgerError> {
        let now = self.opener.clock.now();
        let chat = self.opener.ledger.web_chat(guest, deadline).await?;
        // The index lags: somebody may have dealt with it.
        let Some(chat) = chat.filter(|chat| chat.due_at.is_some_and(|due| due <= now)) else {
            return Ok(Ending::Left);
        };
        let settled = match chat.stage {
            // Nobody has a token for it, and its owner's lease is over. First that nobody ever gets one.
            Stage::Starting => {
                let Some(ending) = chat.ends(None, now) else { return Ok(Ending::Left) };
                if !self.opener.ledger.write_web_chat(Some(&chat), &ending, deadline).await? {
                    return Ok(Ending::Left);
                }
                self.opener.metrics.count(Metric::WebChatAbandoned);
                let closed = self.close(&ending, deadline).await;
                return self.settled(&ending, closed, deadline).await;
            }
            Stage::Open { .. } => self.close_if_silent(&chat, deadline).await,
            Stage::Ending => self.close(&chat, deadline).await,
            Stage::Over => return Ok(Ending::Left),
        };
        self.settled(&chat, settled, deadline).await
    }

    async fn settled(
        &self,
        chat: &WebChat,
        settled: Result<bool, Trouble>,
        deadline: Deadline,
    ) -> Result<Ending, LedgerError> {
        match settled {
            Ok(true) => Ok(Ending::Closed),
            // Where nobody else has written meanwhile, it is due still, and looked for in the next sweep.
            Ok(false) => Ok(Ending::Left),
            Err(Trouble::Ledger(error)) => Err(error),
            Err(Trouble::Twilio(error)) => {
                tracing::warn!(%error, "a web chat is looked at again later");
                let later = chat.put_off(self.opener.clock.now());
                self.opener.ledger.write_web_chat(Some(chat), &later, deadline).await?;
                Ok(Ending::Left)
            }
        }
    }

    /// Every token of it is over, so that its customer can never come back. Closes it if they have said nothing, and
    /// nobody else is in it; otherwise its conversation's own record is looked after like any other. Whether it was
    /// closed.
    async fn close_if_silent(&self, chat: &WebChat, deadline: Deadline) -> Result<bool, Trouble> {
        let asking = deadline.leaving(RECORDING_TIME);
        if let Some(sid) = &chat.conversation
            && self.is_silent(&chat.guest, sid, asking).await?
        {
            self.opener.metrics.count(Metric::WebChatAbandoned);
            return self.close(chat, deadline).await;
        }
        self.is_over(chat, deadline).await?;
        Ok(false)
    }

    /// Whether a conversation is open in which the guest has said nothing, and nobody else takes part.
    async fn is_silent(
        &self,
        guest: &Guest,
        sid: &ConversationSid,
        asking: Deadline,
    ) -> Result<bool, Trouble> {
        let record = self.opener.ledger.get(sid, asking).await?;
        let is_untouched = record.is_none_or(|record| record.stage == conversation::Stage::Seen);
        if !is_untouched || !self.is_open(sid, asking).await? {
            return Ok(false);
        }
        // A webhook may have been lost.
        let twilio = &self.opener.twilio;
        let is_theirs =
            |who: &Option<Personal<String>>| who.as_ref().is_some_and(|who| who.as_str() == guest.as_str());
        let messages = twilio.newest_messages(sid, asking).await?.items;
        if messages.iter().any(|message| is_theirs(&message.author)) {
            return Ok(false);
        }
        let participants = twilio.participants(sid, asking).await?.items;
        Ok(participants.iter().all(|one| is_theirs(&one.identity)))
    }

    /// Whether a chat's conversation is open at Twilio.
    pub async fn is_open(&self, sid: &ConversationSid, deadline: Deadline) -> Result<bool, CallError> {
        let shown = self.opener.twilio.conversation(sid, deadline).await?;
        Ok(shown.is_some_and(|shown| shown.state != ConversationState::Closed))
    }

    /// Records that its conversation is over at Twilio: no token of it is refreshed any more.
    pub async fn has_been_closed(&self, chat: &WebChat, deadline: Deadline) -> Result<(), LedgerError> {
        // Where somebody else has written meanwhile, the next request finds the conversation closed again.
        self.is_over(chat, deadline).await.map(drop)
    }
}

fn not_begun(trouble: Trouble) -> NotBegun {
    match trouble {
        Trouble::Ledger(error) => error.into(),
        Trouble::Twilio(CallError::Refused(Refusal::Rejected { status, code, .. })) => {
            NotBegun::Refused { status, code }
        }
        Trouble::Twilio(CallError::Refused(Refusal::Throttled { retry_after })) => {
            NotBegun::NotNow { retry_after }
        }
        Trouble::Twilio(_) => NotBegun::NotNow { retry_after: None },
    }
}
