//! Transfers: an agent hands a conversation over to another (cold) or brings them in (warm). Each is an
//! invite, whose task decides how the transfer ends.
//! See <https://www.twilio.com/docs/flex/developer/conversations/interactions-api/transfers-subresource>.

use serde_json::{Value, json};

use crate::answer::{Answer, Reply};
use crate::call::Call;
use crate::dates;
use crate::flex::{channels, participants};
use crate::page::{Row, page};
use crate::parameters::{NONE, PAGING};
use crate::taskrouter::events;
use crate::world::World;

/// A transfer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transfer {
    /// `UX…`
    pub sid: String,
    /// Whether the first agent stays: then it is warm, and else cold.
    pub warm: bool,
    /// Where it stands.
    pub status: TransferStatus,
    /// `UT…`, the agent who transfers.
    pub from: String,
    /// `UT…`, the agent who came, once they did.
    pub to: Option<String>,
    /// `WT…`, the task of the agent who transfers.
    pub from_task: String,
    /// `WT…`, the task that the transfer opened.
    pub to_task: String,
    /// When it was begun, in milliseconds since the epoch.
    pub created_ms: u64,
    /// When it last changed, in milliseconds since the epoch.
    pub updated_ms: u64,
}

/// Where a transfer stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransferStatus {
    /// Nobody has come yet.
    Active,
    /// The other agent came.
    Completed,
    /// Nobody came, and the first agent stayed.
    Failed,
}

impl TransferStatus {
    /// The name the API gives it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Completed => "completed",
            Self::Failed => "failed",
        }
    }
}

impl Transfer {
    fn json(&self, world: &World, kd: &str, uo: &str) -> Value {
        json!({
            "sid": self.sid,
            "type": if self.warm { "warm" } else { "cold" },
            "status": self.status.as_str(),
            "instance_sid": null,
            "account_sid": world.settings.account_sid,
            "interaction_sid": kd,
            "channel_sid": uo,
            "execution_sid": null,
            "from": self.from,
            "to": self.to,
            "date_created": dates::seconds(self.created_ms),
            "date_updated": dates::seconds(self.updated_ms),
            "url": format!(
                "https://flex-api.twilio.com/v1/Interactions/{kd}/Channels/{uo}/Transfers/{}",
                self.sid
            ),
        })
    }
}

pub(super) fn list(world: &World, call: &Call, kd: &str, uo: &str) -> Reply {
    PAGING.read(&call.query)?;
    let channel = &channels::find(world, call, kd, uo)?.channel;
    let rows = channel.transfers.iter().map(|transfer| transfer.json(world, kd, uo));
    page(call, "transfers", 50, 1000, Row::numbered(rows))
}

pub(super) fn fetch(world: &World, call: &Call, kd: &str, uo: &str, ux: &str) -> Reply {
    NONE.read(&call.query)?;
    let channel = &channels::find(world, call, kd, uo)?.channel;
    let transfer =
        channel.transfers.iter().find(|transfer| transfer.sid == ux).ok_or_else(|| call.not_found())?;
    Ok(Answer::ok(transfer.json(world, kd, uo)))
}

/// The transfer that still waits for this task.
fn awaited<'w>(world: &'w mut World, task_sid: &str) -> Option<&'w mut Transfer> {
    let interaction_sid = world.tasks.get(task_sid)?.interaction_sid.clone()?;
    let channel = &mut world.interactions.get_mut(&interaction_sid)?.channel;
    channel
        .transfers
        .iter_mut()
        .find(|transfer| transfer.to_task == task_sid && transfer.status == TransferStatus::Active)
}

/// Ends the transfer that waits for this task, if there is one, and tells of it as of the first task.
fn end(world: &mut World, task_sid: &str, to: TransferStatus, event: &'static str) -> Option<Transfer> {
    let now = world.now;
    let transfer = awaited(world, task_sid)?;
    transfer.status = to;
    transfer.updated_ms = now;
    let ended = transfer.clone();
    events::task(world, event, &ended.from_task);
    Some(ended)
}

/// Somebody came through this task. If they were to take the conversation over, the first agent goes.
pub(crate) fn task_accepted(world: &mut World, task_sid: &str) {
    let to = participants::of_task(world, task_sid).map(|participant| participant.sid.clone());
    if let Some(transfer) = awaited(world, task_sid) {
        transfer.to = to;
    }
    let ended = end(world, task_sid, TransferStatus::Completed, "task.transfer-completed");
    if let Some(transfer) = ended.filter(|transfer| !transfer.warm) {
        participants::part(world, &transfer.from_task);
    }
}

/// Nobody came through this task: the first agent stays.
pub(crate) fn task_failed(world: &mut World, task_sid: &str) {
    end(world, task_sid, TransferStatus::Failed, "task.transfer-failed");
}

/// Somebody takes this task away, with the transfer that waits for it.
pub(crate) fn task_withdrawn(world: &mut World, task_sid: &str) {
    end(world, task_sid, TransferStatus::Failed, "task.transfer-canceled");
}
