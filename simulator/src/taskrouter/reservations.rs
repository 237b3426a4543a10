//! Reservations: a task offered to a worker, and what the worker says to it.

use serde_json::{Value, json};

use crate::answer::{Answer, Refusal, Reply};
use crate::call::Call;
use crate::dates;
use crate::flex::channels::ChannelStatus;
use crate::flex::participants::{self, identity_of};
use crate::flex::transfers;
use crate::page::{Row, page};
use crate::parameters::{NONE, Published};
use crate::taskrouter::resource;
use crate::taskrouter::tasks::{self, TaskStatus};
use crate::taskrouter::{events, tasks::Task};
use crate::world::World;

/// A task offered to a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reservation {
    /// `WR…`
    pub sid: String,
    /// `WK…`
    pub worker_sid: String,
    /// The worker's friendly name.
    pub worker_name: String,
    /// What became of it.
    pub status: ReservationStatus,
    /// When it was offered, in milliseconds since the epoch.
    pub created_ms: u64,
    /// When it was answered, in milliseconds since the epoch.
    pub updated_ms: u64,
}

/// What became of an offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReservationStatus {
    /// The worker has not answered.
    Pending,
    /// The worker took the task.
    Accepted,
    /// The worker did not want it.
    Rejected,
    /// The worker did not answer in time.
    TimedOut,
    /// Another worker, to whom it was offered too, took the task.
    Rescinded,
    /// The task went away first.
    Canceled,
}

impl ReservationStatus {
    /// The name the API gives it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Accepted => "accepted",
            Self::Rejected => "rejected",
            Self::TimedOut => "timeout",
            Self::Rescinded => "rescinded",
            Self::Canceled => "canceled",
        }
    }
}

const LIST: Published = Published {
    required: &[],
    optional: &["ReservationStatus", "WorkerSid", "PageSize", "Page", "PageToken"],
    repeated: &[],
};

fn json(world: &World, task: &Task, reservation: &Reservation, url: &str) -> Value {
    json!({
        "account_sid": world.settings.account_sid,
        "workspace_sid": world.settings.workspace_sid,
        "sid": reservation.sid,
        "task_sid": task.sid,
        "worker_sid": reservation.worker_sid,
        "worker_name": reservation.worker_name,
        "reservation_status": reservation.status.as_str(),
        "date_created": dates::seconds(reservation.created_ms),
        "date_updated": dates::seconds(reservation.updated_ms),
        "url": url,
        "links": {},
    })
}

pub(super) fn list(world: &World, call: &Call, sid: &str) -> Reply {
    let parameters = LIST.read(&call.query)?;
    let (status, worker) = (parameters.text("ReservationStatus"), parameters.sid("WorkerSid", "WK")?);
    let task = resource::find(world, call, sid)?;
    let rows = task
        .reservations
        .iter()
        .filter(|reservation| {
            status.is_none_or(|status| reservation.status.as_str() == status)
                && worker.as_ref().is_none_or(|worker| reservation.worker_sid == *worker)
        })
        .map(|reservation| json(world, task, reservation, &format!("{}/{}", call.url(), reservation.sid)));
    page(call, "reservations", 50, 1000, Row::numbered(rows))
}

pub(super) fn fetch(world: &World, call: &Call, sid: &str, reservation_sid: &str) -> Reply {
    NONE.read(&call.query)?;
    let task = resource::find(world, call, sid)?;
    let reservation = task
        .reservations
        .iter()
        .find(|reservation| reservation.sid == reservation_sid)
        .ok_or_else(|| call.not_found())?;
    Ok(Answer::ok(json(world, task, reservation, &call.url())))
}

/// Offers a task to a worker. One that is offered already stays with whom it is.
pub(crate) fn offer(world: &mut World, task_sid: &str, worker_sid: &str) -> Result<Reservation, Refusal> {
    let worker_name = identity_of(world, worker_sid).ok_or_else(|| missing(worker_sid))?;
    let task = world.tasks.get(task_sid).ok_or_else(|| missing(task_sid))?;
    if task.routing_target.as_deref().is_some_and(|only| only != worker_sid) {
        return Err(Refusal::new(400, 20001, format!("Task {task_sid} is for another worker")));
    }
    let pending = task.reservations.iter().find(|reservation| {
        reservation.status == ReservationStatus::Pending && reservation.worker_sid == worker_sid
    });
    if let Some(pending) = pending {
        return Ok(pending.clone());
    }
    refuse_unless_pending(task)?;
    Ok(reserve(world, task_sid, worker_sid, worker_name))
}

/// Offers a task to every worker who may have it.
pub(crate) fn offer_to_all(world: &mut World, task_sid: &str) -> Result<(), Refusal> {
    let task = world.tasks.get(task_sid).ok_or_else(|| missing(task_sid))?;
    refuse_unless_pending(task)?;
    let only = task.routing_target.clone();
    let mut workers = world.settings.workers.clone();
    workers.retain(|worker| only.as_ref().is_none_or(|only| worker.sid == *only));
    for worker in workers {
        reserve(world, task_sid, &worker.sid, worker.identity);
    }
    Ok(())
}

fn missing(what: &str) -> Refusal {
    Refusal::not_found(&format!("/v1/Workspaces/{what}"))
}

fn refuse_unless_pending(task: &Task) -> Result<(), Refusal> {
    if task.status == TaskStatus::Pending {
        return Ok(());
    }
    Err(Refusal::new(400, 20001, format!("Task {} is {}, not pending", task.sid, task.status.as_str())))
}

fn reserve(world: &mut World, task_sid: &str, worker_sid: &str, worker_name: String) -> Reservation {
    let reservation = Reservation {
        sid: world.sids.draw("WR"),
        worker_sid: worker_sid.to_owned(),
        worker_name,
        status: ReservationStatus::Pending,
        created_ms: world.now,
        updated_ms: world.now,
    };
    if let Some(task) = world.tasks.get_mut(task_sid) {
        task.reservations.push(reservation.clone());
    }
    tasks::become_status(world, task_sid, TaskStatus::Reserved, None);
    events::reservation(world, "reservation.created", task_sid, &reservation);
    reservation
}

/// The worker takes the task and joins its conversation. Whom else it was offered to cannot have it.
pub(crate) fn accept(world: &mut World, task_sid: &str, worker_sid: &str) -> Result<(), Refusal> {
    refuse_unless_active(world, task_sid)?;
    let mut reservation = offer(world, task_sid, worker_sid)?;
    answer(world, task_sid, &mut reservation, ReservationStatus::Accepted);
    tasks::become_status(world, task_sid, TaskStatus::Assigned, None);
    participants::add_agent(world, task_sid, worker_sid, &reservation.sid);
    events::reservation(world, "reservation.accepted", task_sid, &reservation);
    for rescinded in tasks::set_offers(world, task_sid, ReservationStatus::Rescinded) {
        events::reservation(world, "reservation.rescinded", task_sid, &rescinded);
    }
    transfers::task_accepted(world, task_sid);
    Ok(())
}

/// The worker does not want the task. It waits for another, unless an invite meant this one: then it is
/// canceled, and the conversation is left without an agent.
pub(crate) fn reject(world: &mut World, task_sid: &str, worker_sid: &str) -> Result<(), Refusal> {
    let reservation = offer(world, task_sid, worker_sid)?;
    let reason = "Reservation rejected by the only worker";
    decline(world, task_sid, reservation, ReservationStatus::Rejected, reason);
    Ok(())
}

/// The worker did not answer in time. It goes on as if they had rejected the task.
pub(crate) fn time_out(world: &mut World, task_sid: &str, worker_sid: &str) -> Result<(), Refusal> {
    let reservation = offer(world, task_sid, worker_sid)?;
    let reason = "Reservation timed out for the only worker";
    decline(world, task_sid, reservation, ReservationStatus::TimedOut, reason);
    Ok(())
}

/// One offer of the task came to nothing. It waits again when it was the last one.
fn decline(
    world: &mut World,
    task_sid: &str,
    mut reservation: Reservation,
    status: ReservationStatus,
    reason: &str,
) {
    answer(world, task_sid, &mut reservation, status);
    let Some(task) = world.tasks.get(task_sid) else { return };
    let only_this = task.routing_target.is_some();
    let is_offered = task.reservations.iter().any(|other| other.status == ReservationStatus::Pending);
    if !is_offered {
        tasks::become_status(world, task_sid, TaskStatus::Pending, None);
    }
    let kind =
        if status == ReservationStatus::TimedOut { "reservation.timeout" } else { "reservation.rejected" };
    events::reservation(world, kind, task_sid, &reservation);
    if only_this {
        tasks::cancel(world, task_sid, reason);
    }
}

fn answer(world: &mut World, task_sid: &str, reservation: &mut Reservation, status: ReservationStatus) {
    reservation.status = status;
    reservation.updated_ms = world.now;
    let kept = world
        .tasks
        .get_mut(task_sid)
        .and_then(|task| task.reservations.iter_mut().find(|kept| kept.sid == reservation.sid));
    if let Some(kept) = kept {
        kept.clone_from(reservation);
    }
}

/// Until the channel is set up there is nothing that an agent could join.
fn refuse_unless_active(world: &World, task_sid: &str) -> Result<(), Refusal> {
    let interaction = world
        .tasks
        .get(task_sid)
        .and_then(|task| task.interaction_sid.as_ref())
        .and_then(|sid| world.interactions.get(sid));
    match interaction.map(|interaction| interaction.channel.status) {
        Some(status) if status != ChannelStatus::Active => {
            let message = format!("The channel of task {task_sid} is {}", status.as_str());
            Err(Refusal::new(400, 20001, message))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{CUSTOMER, OURS, Sim, text};

    /// What became of each offer of the task.
    fn statuses(sim: &Sim, task: &str) -> Vec<&'static str> {
        let task = sim.twilio.task(task).expect("known");
        task.reservations.iter().map(|reservation| reservation.status.as_str()).collect()
    }

    #[test]
    fn a_rejected_task_waits_for_another_worker() {
        let sim = Sim::new();
        let engaged = sim.engaged();
        sim.twilio.task_is_offered(&engaged.task, &sim.worker(0)).expect("pending");
        assert_eq!(sim.task_status(&engaged.task), "reserved");
        assert!(sim.twilio.agent_accepts(&engaged.task, &sim.worker(1)).is_err());
        sim.twilio.agent_rejects(&engaged.task, &sim.worker(0)).expect("offered");
        assert_eq!(sim.task_status(&engaged.task), "pending");
        sim.twilio.agent_accepts(&engaged.task, &sim.worker(1)).expect("pending");
        let expected =
            ["reservation.created", "reservation.rejected", "reservation.created", "reservation.accepted"];
        assert_eq!(sim.events(), expected);
        let workspace = sim.twilio.settings().workspace_sid;
        let path = format!("/v1/Workspaces/{workspace}/Tasks/{}/Reservations", engaged.task);
        let (_, body) = sim.get(&format!("{path}?ReservationStatus=accepted"));
        assert_eq!(body["reservations"].as_array().map(Vec::len), Some(1));
        assert_eq!(text(&body["reservations"][0]["worker_sid"]), sim.worker(1));
        assert_eq!(sim.get(&format!("{path}/{}", text(&body["reservations"][0]["sid"]))).0, 200);
    }

    #[test]
    fn an_offer_that_is_not_answered_leaves_the_task_waiting() {
        let sim = Sim::new();
        let engaged = sim.engaged();
        sim.twilio.task_is_offered(&engaged.task, &sim.worker(0)).expect("pending");
        assert!(sim.twilio.reservation_times_out(&engaged.task, &sim.worker(1)).is_err());
        sim.twilio.reservation_times_out(&engaged.task, &sim.worker(0)).expect("offered");
        assert_eq!(sim.task_status(&engaged.task), "pending");
        assert_eq!(sim.events(), ["reservation.created", "reservation.timeout"]);
        assert_eq!(statuses(&sim, &engaged.task), ["timeout"]);
    }

    #[test]
    fn an_offer_to_the_only_worker_that_is_not_answered_ends_the_task() {
        let sim = Sim::new();
        let engaged = sim.engaged();
        let routing = sim.routing(&serde_json::json!({ "worker_sid": sim.worker(1) }));
        let (_, body) = sim.post(&format!("{}/Invites", engaged.channel), &[("Routing", &routing)]);
        let task = text(&body["routing"]["properties"]["sid"]);
        sim.twilio.task_is_offered_to_all(&task).expect("pending");
        assert_eq!(statuses(&sim, &task), ["pending"]);
        sim.twilio.reservation_times_out(&task, &sim.worker(1)).expect("offered");
        assert_eq!(
            sim.events(),
            ["task.created", "reservation.created", "reservation.timeout", "task.canceled"]
        );
        assert_eq!(sim.state(&engaged.conversation), "active");
    }

    #[test]
    fn of_many_to_whom_a_task_is_offered_the_first_who_accepts_has_it() {
        let sim = Sim::with(|settings| {
            let more = crate::Worker { sid: format!("WK{:032x}", 0xc), identity: "carol".to_owned() };
            settings.workers.push(more);
        });
        let engaged = sim.engaged();
        sim.twilio.task_is_offered_to_all(&engaged.task).expect("pending");
        assert!(sim.twilio.task_is_offered_to_all(&engaged.task).is_err());
        sim.twilio.agent_rejects(&engaged.task, &sim.worker(0)).expect("offered");
        assert_eq!(sim.task_status(&engaged.task), "reserved");
        sim.twilio.agent_accepts(&engaged.task, &sim.worker(1)).expect("offered");
        assert!(sim.twilio.agent_accepts(&engaged.task, &sim.worker(2)).is_err());
        assert_eq!(statuses(&sim, &engaged.task), ["rejected", "accepted", "rescinded"]);
        let created = ["reservation.created"; 3];
        let answered = ["reservation.rejected", "reservation.accepted", "reservation.rescinded"];
        assert_eq!(sim.events(), [created, answered].concat());
    }

    #[test]
    fn a_task_that_all_decline_waits_again() {
        let sim = Sim::new();
        let engaged = sim.engaged();
        sim.twilio.task_is_offered_to_all(&engaged.task).expect("pending");
        sim.twilio.reservation_times_out(&engaged.task, &sim.worker(0)).expect("offered");
        assert_eq!(sim.task_status(&engaged.task), "reserved");
        sim.twilio.agent_rejects(&engaged.task, &sim.worker(1)).expect("offered");
        assert_eq!(sim.task_status(&engaged.task), "pending");
    }

    #[test]
    fn nobody_can_accept_before_the_channel_is_set_up() {
        let sim = Sim::new();
        let sid = sim.twilio.customer_writes(CUSTOMER, OURS, "hello").conversation_sid;
        let task = text(&sim.interact(&sid).1["routing"]["properties"]["sid"]);
        assert!(sim.twilio.agent_accepts(&task, &sim.worker(0)).is_err());
        sim.clock.advance(200);
        sim.twilio.agent_accepts(&task, &sim.worker(0)).expect("set up");
        assert!(sim.twilio.agent_accepts(&task, &sim.worker(0)).is_err());
    }

    #[test]
    fn an_agents_message_fires_as_a_customers_does() {
        let sim = Sim::new();
        let engaged = sim.engaged();
        assert!(sim.twilio.agent_writes(&engaged.task, "hi").is_err());
        sim.twilio.agent_accepts(&engaged.task, &sim.worker(0)).expect("accepted");
        sim.events();
        sim.twilio.agent_writes(&engaged.task, "hi").expect("at work");
        let webhook = sim.webhooks().remove(0);
        let identity = sim.twilio.settings().workers[0].identity.clone();
        assert_eq!(
            (webhook.param("Source"), webhook.param("Author")),
            (Some("SDK"), Some(identity.as_str()))
        );
    }
}
