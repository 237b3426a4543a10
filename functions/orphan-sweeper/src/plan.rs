//! `{"dry_run": true}`: says what a sweep would do, and changes nothing. Twilio is asked as much as for a real
//! one.

use futures_util::{StreamExt as _, stream};
use shared::{
    clock::Deadline,
    conversation::{Finding, Stage},
    ledger::Due,
    reaching::Reacher,
    rescue::Plan,
    sid::ConversationSid,
};

use crate::{AT_ONCE, OrphanSweeper, Planned, SHORTEST, SweepReport};

const FORGOTTEN: &str = "nothing: it is forgotten";

impl OrphanSweeper {
    pub(crate) async fn plan(
        &self,
        due: Vec<Due>,
        mut report: SweepReport,
        deadline: Deadline,
    ) -> SweepReport {
        report.left = due.len();
        report.plan =
            stream::iter(due).map(|due| self.would(due, deadline)).buffered(AT_ONCE).collect().await;
        self.plan_discovery(&mut report, deadline).await;
        tracing::info!(?report, "a sweep that changes nothing");
        report
    }

    async fn would(&self, due: Due, deadline: Deadline) -> Planned {
        match due {
            Due::Conversation(sid) => {
                let would = self.would_settle(&sid, deadline).await;
                Planned { conversation_sid: Some(sid), would, ..Planned::default() }
            }
            Due::Reach(id) => {
                let (conversation_sid, would) = match self.rescuer.opener.ledger.reach(&id, deadline).await {
                    Ok(Some(reach)) => (reach.conversation.clone(), Reacher::would(&reach).to_owned()),
                    Ok(None) => (None, FORGOTTEN.to_owned()),
                    Err(error) => (None, format!("not known: {error}")),
                };
                Planned { conversation_sid, outbound_id: Some(id), would, ..Planned::default() }
            }
            Due::WebChat(guest) => {
                let chat = self.rescuer.opener.ledger.web_chat(&guest, deadline).await;
                let (conversation_sid, would) = match chat {
                    Ok(Some(chat)) => (chat.conversation.clone(), chat.would().to_owned()),
                    Ok(None) => (None, FORGOTTEN.to_owned()),
                    Err(error) => (None, format!("not known: {error}")),
                };
                Planned { conversation_sid, guest: Some(guest), would, ..Planned::default() }
            }
        }
    }

    async fn would_settle(&self, sid: &ConversationSid, deadline: Deadline) -> String {
        if deadline.remaining() < SHORTEST {
            return "not looked at: the time is over".to_owned();
        }
        let record = match self.rescuer.opener.ledger.get(sid, deadline).await {
            Ok(Some(record)) => record,
            Ok(None) => return FORGOTTEN.to_owned(),
            Err(error) => return format!("not known: {error}"),
        };
        match record.stage {
            Stage::Claimed { .. } => "create its Interaction, unless Twilio has it already".to_owned(),
            Stage::Waiting | Stage::Refused { .. } => "create its Interaction".to_owned(),
            Stage::Closing => "close what was made for it after it was closed".to_owned(),
            Stage::SettingUp | Stage::Open | Stage::Orphaned { .. } => {
                match self.rescuer.plan(&record, deadline).await {
                    Some(plan) => describe(&plan),
                    None => "not known: Twilio cannot be asked".to_owned(),
                }
            }
            Stage::Seen | Stage::Closed => "nothing".to_owned(),
        }
    }
}

fn describe(plan: &Plan) -> String {
    if !plan.steps.is_empty() {
        return plan.steps.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    }
    match &plan.finding {
        Finding::Over => "record that it is closed",
        Finding::SettingUp => "nothing yet: its Interaction is being set up",
        Finding::Failed(_) => "create its Interaction again",
        Finding::Other(_) => "record the Interaction that Twilio has",
        Finding::Served => "nothing: an agent is in it",
        Finding::Waiting => "nothing: a task waits for an agent",
        Finding::Resting | Finding::Unopened | Finding::HalfClosed | Finding::Orphaned(_) => {
            "nothing: it is to be left alone"
        }
    }
    .to_owned()
}
