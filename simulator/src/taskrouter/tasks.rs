//! The life of a task: pending, reserved, assigned, wrapping, and completed or canceled.
//! See <https://www.twilio.com/docs/taskrouter/lifecycle-task-state>.

use serde_json::{Map, Value};

use crate::agenda::Effect;
use crate::dates::DAY_MS;
use crate::flex::{participants, transfers};
use crate::settings::Settings;
use crate::taskrouter::events;
use crate::taskrouter::reservations::{Reservation, ReservationStatus};
use crate::taskrouter::workflow;
use crate::world::World;

/// A task.
#[derive(Debug, Clone, PartialEq)]
pub struct Task {
    /// `WT…`
    pub sid: String,
    /// Where it stands.
    pub status: TaskStatus,
    /// What routing decides on.
    pub attributes: Map<String, Value>,
    /// `WW…`
    pub workflow_sid: String,
    /// `WQ…`
    pub queue_sid: String,
    /// The unique name of its task channel.
    pub task_channel: String,
    /// The higher, the earlier.
    pub priority: i64,
    /// How many seconds it may live.
    pub timeout_s: u64,
    /// `WK…` of the only worker who may have it.
    pub routing_target: Option<String>,
    /// Why it ended.
    pub reason: Option<String>,
    /// `KD…`, the Interaction it belongs to.
    pub interaction_sid: Option<String>,
    /// Whether an invite opened it rather than the Interaction itself.
    pub by_invite: bool,
    /// To whom it was offered, and what they said.
    pub reservations: Vec<Reservation>,
    /// When it was opened, in milliseconds since the epoch.
    pub created_ms: u64,
    /// When it last changed, in milliseconds since the epoch.
    pub updated_ms: u64,
    pub(crate) assigned_ms: Option<u64>,
    /// The number of the workflow's step in which it is.
    pub(crate) step: usize,
    pub(crate) born: u64,
}

/// Where a task stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaskStatus {
    /// It waits for a worker.
    Pending,
    /// It is offered to one, or to several.
    Reserved,
    /// A worker has it.
    Assigned,
    /// The worker still writes notes.
    Wrapping,
    /// It was done.
    Completed,
    /// Nobody did it.
    Canceled,
}

impl TaskStatus {
    /// Every status, by the name the API gives it.
    pub(crate) const NAMES: [&str; 6] =
        ["pending", "reserved", "assigned", "wrapping", "completed", "canceled"];

    /// The name the API gives it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Reserved => "reserved",
            Self::Assigned => "assigned",
            Self::Wrapping => "wrapping",
            Self::Completed => "completed",
            Self::Canceled => "canceled",
        }
    }

    /// Whether the task is over.
    #[must_use]
    pub fn is_over(self) -> bool {
        matches!(self, Self::Completed | Self::Canceled)
    }
}

impl Task {
    /// The attributes in the form the API gives them: JSON in a string.
    pub(crate) fn attributes_json(&self) -> String {
        Value::Object(self.attributes.clone()).to_string()
    }

    pub(crate) fn task_channel_sid(&self, settings: &Settings) -> Option<String> {
        let channel =
            settings.task_channels.iter().find(|channel| channel.unique_name == self.task_channel)?;
        Some(channel.sid.clone())
    }

    pub(crate) fn age_s(&self, now: u64) -> u64 {
        now.saturating_sub(self.created_ms) / 1000
    }
}

/// A task to be opened.
pub(crate) struct NewTask {
    pub(crate) attributes: Map<String, Value>,
    pub(crate) workflow_sid: String,
    pub(crate) queue_sid: String,
    pub(crate) task_channel: String,
    pub(crate) priority: i64,
    pub(crate) timeout_s: u64,
    pub(crate) routing_target: Option<String>,
    pub(crate) interaction_sid: String,
    pub(crate) by_invite: bool,
}

/// Opens a task, and plans when its workflow and its own time-out give up on it.
pub(crate) fn open(world: &mut World, new: NewTask) -> String {
    let sid = world.sids.draw("WT");
    let ttl_ms = new.timeout_s.saturating_mul(1000);
    let task = Task {
        sid: sid.clone(),
        status: TaskStatus::Pending,
        attributes: new.attributes,
        workflow_sid: new.workflow_sid,
        queue_sid: new.queue_sid,
        task_channel: new.task_channel,
        priority: new.priority,
        timeout_s: new.timeout_s,
        routing_target: new.routing_target,
        reason: None,
        interaction_sid: Some(new.interaction_sid),
        by_invite: new.by_invite,
        reservations: Vec::new(),
        created_ms: world.now,
        updated_ms: world.now,
        assigned_ms: None,
        step: 0,
        born: world.birth(),
    };
    world.tasks.insert(sid.clone(), task);
    events::task(world, "task.created", &sid);
    workflow::enter(world, &sid);
    world.plan_in(ttl_ms, Effect::TaskExpires(sid.clone()));
    sid
}

/// Gives the task a new status, if it is not over yet. Tells whether it did.
pub(crate) fn become_status(world: &mut World, sid: &str, to: TaskStatus, reason: Option<&str>) -> bool {
    let now = world.now;
    let Some(task) = world.tasks.get_mut(sid) else { return false };
    if task.status.is_over() || task.status == to {
        return false;
    }
    task.status = to;
    task.updated_ms = now;
    if let Some(reason) = reason {
        task.reason = Some(reason.to_owned());
    }
    if to == TaskStatus::Assigned {
        task.assigned_ms = Some(now);
        world.plan_in(DAY_MS, Effect::TaskExpires(sid.to_owned()));
    }
    true
}

/// Cancels a task that nobody finished. Offers of it lapse.
pub(crate) fn cancel(world: &mut World, sid: &str, reason: &str) {
    let offered = set_offers(world, sid, ReservationStatus::Canceled);
    if become_status(world, sid, TaskStatus::Canceled, Some(reason)) {
        for reservation in offered {
            events::reservation(world, "reservation.canceled", sid, &reservation);
        }
        events::task(world, "task.canceled", sid);
        transfers::task_failed(world, sid);
        forget_later(world, sid);
    }
}

/// Marks the task as done.
pub(crate) fn complete(world: &mut World, sid: &str, reason: &str) {
    if become_status(world, sid, TaskStatus::Completed, Some(reason)) {
        events::task(world, "task.completed", sid);
        forget_later(world, sid);
    }
}

/// The agent still writes notes.
pub(crate) fn wrap(world: &mut World, sid: &str) {
    if become_status(world, sid, TaskStatus::Wrapping, None) {
        events::task(world, "task.wrapup", sid);
    }
}

fn forget_later(world: &mut World, sid: &str) {
    world.plan_in(world.settings.task_removal_ms, Effect::TaskForgotten(sid.to_owned()));
}

/// Gives the offers that wait for an answer another status, and returns them.
pub(super) fn set_offers(world: &mut World, sid: &str, to: ReservationStatus) -> Vec<Reservation> {
    let now = world.now;
    let Some(task) = world.tasks.get_mut(sid) else { return Vec::new() };
    task.reservations
        .iter_mut()
        .filter(|reservation| reservation.status == ReservationStatus::Pending)
        .map(|reservation| {
            reservation.status = to;
            reservation.updated_ms = now;
            reservation.clone()
        })
        .collect()
}

/// The task lived as long as it may. One that waits is canceled; one that was assigned a day ago is deleted.
pub(crate) fn expire(world: &mut World, sid: &str) {
    if is_waiting(world, sid) {
        let lived_ms = world.tasks.get(sid).map_or(0, |task| world.now.saturating_sub(task.created_ms));
        let allowed_ms = world.tasks.get(sid).map_or(0, |task| task.timeout_s.saturating_mul(1000));
        if lived_ms >= allowed_ms {
            cancel(world, sid, "Task TTL Exceeded");
        }
        return;
    }
    let Some(task) = world.tasks.get(sid).filter(|task| !task.status.is_over()) else { return };
    if task.assigned_ms.is_some_and(|since| world.now.saturating_sub(since) >= DAY_MS) {
        remove(world, sid, "task.system-deleted");
    }
}

pub(super) fn is_waiting(world: &World, sid: &str) -> bool {
    world.tasks.get(sid).is_some_and(|task| matches!(task.status, TaskStatus::Pending | TaskStatus::Reserved))
}

/// Takes the task away at once, with its agent, and tells of it with the event given.
pub(crate) fn remove(world: &mut World, sid: &str, event: &'static str) {
    transfers::task_withdrawn(world, sid);
    participants::remove_agent(world, sid);
    events::task(world, event, sid);
    world.tasks.remove(sid);
}

#[cfg(test)]
mod tests {
    use crate::testing::Sim;

    #[test]
    fn a_task_that_nobody_accepts_is_canceled_when_its_time_is_over() {
        let sim = Sim::new();
        let engaged = sim.engaged();
        sim.clock.advance(super::DAY_MS);
        let canceled = sim.webhooks().remove(0);
        assert_eq!(canceled.event_type, "task.canceled");
        assert_eq!(canceled.param("TaskCanceledReason"), Some("Task TTL Exceeded"));
        assert_eq!(sim.task_status(&engaged.task), "canceled");
    }

    #[test]
    fn a_task_that_is_assigned_for_a_day_is_deleted() {
        let sim = Sim::new();
        let engaged = sim.engaged();
        sim.clock.advance(3_600_000);
        sim.twilio.agent_accepts(&engaged.task, &sim.worker(0)).expect("accepted");
        sim.events();
        sim.clock.advance(super::DAY_MS - 1);
        assert_eq!(sim.task_status(&engaged.task), "assigned");
        sim.clock.advance(1);
        assert_eq!(sim.task_status(&engaged.task), "gone");
        assert_eq!(sim.events(), ["task.system-deleted"]);
    }

    #[test]
    fn a_finished_task_is_forgotten_after_five_minutes() {
        let sim = Sim::new();
        let engaged = sim.engaged();
        sim.twilio.agent_accepts(&engaged.task, &sim.worker(0)).expect("accepted");
        sim.twilio.agent_ends_chat(&engaged.task).expect("at work");
        assert_eq!(sim.task_status(&engaged.task), "wrapping");
        sim.twilio.task_completes(&engaged.task).expect("open");
        sim.clock.advance(299_999);
        assert_eq!(sim.task_status(&engaged.task), "completed");
        sim.clock.advance(1);
        assert_eq!(sim.task_status(&engaged.task), "gone");
        let created_to_completed =
            ["reservation.created", "reservation.accepted", "task.wrapup", "task.completed"];
        assert_eq!(sim.events(), created_to_completed);
    }
}
