//! The events of tasks: kept for who asks (`history`), and posted to the workspace's callback URL.
//! See <https://www.twilio.com/docs/taskrouter/api/event/reference>.

use http::Method;

use crate::taskrouter::history::TaskEvent;
use crate::taskrouter::reservations::Reservation;
use crate::taskrouter::tasks::{Task, TaskStatus};
use crate::taskrouter::workspace::WORKSPACE_NAME;
use crate::webhooks::{self, Draft};
use crate::world::World;

/// An event of a task: `task.canceled`, `workflow.timeout` …
pub(crate) fn task(world: &mut World, kind: &'static str, task_sid: &str) {
    publish(world, kind, task_sid, None);
}

/// An event of a reservation: `reservation.accepted` …
pub(crate) fn reservation(world: &mut World, kind: &'static str, task_sid: &str, reservation: &Reservation) {
    publish(world, kind, task_sid, Some(reservation));
}

/// Keeps the event, and posts it if the workspace wants that.
fn publish(world: &mut World, kind: &'static str, task_sid: &str, reservation: Option<&Reservation>) {
    let Some(data) = world.tasks.get(task_sid).map(|task| data(task, reservation, world.now)) else { return };
    let event = TaskEvent {
        sid: world.sids.draw("EV"),
        kind,
        description: format!("Task {task_sid}: {kind}"),
        resource_type: if reservation.is_some() { "reservation" } else { "task" },
        resource_sid: reservation.map_or(task_sid, |reservation| reservation.sid.as_str()).to_owned(),
        at_ms: world.now,
        data,
    };
    post(world, &event);
    world.history.record(event);
}

/// What is told of a task and its reservation.
fn data(task: &Task, reservation: Option<&Reservation>, now: u64) -> Vec<(&'static str, String)> {
    let mut data = vec![
        ("TaskSid", task.sid.clone()),
        ("TaskAttributes", task.attributes_json()),
        ("TaskAge", task.age_s(now).to_string()),
        ("TaskPriority", task.priority.to_string()),
        ("TaskAssignmentStatus", task.status.as_str().to_owned()),
        ("TaskChannelUniqueName", task.task_channel.clone()),
        ("TaskQueueSid", task.queue_sid.clone()),
        ("WorkflowSid", task.workflow_sid.clone()),
    ];
    let reason = task.reason.clone().unwrap_or_default();
    match task.status {
        TaskStatus::Canceled => data.push(("TaskCanceledReason", reason)),
        TaskStatus::Completed => data.push(("TaskCompletedReason", reason)),
        _ => {}
    }
    if let Some(reservation) = reservation {
        data.extend([
            ("ReservationSid", reservation.sid.clone()),
            ("WorkerSid", reservation.worker_sid.clone()),
            ("WorkerName", reservation.worker_name.clone()),
        ]);
    }
    data
}

fn post(world: &mut World, event: &TaskEvent) {
    let settings = &world.settings;
    let Some(url) = settings.event_callback_url.clone() else { return };
    if !settings.events_filter.is_empty() && !settings.events_filter.iter().any(|name| name == event.kind) {
        return;
    }
    let mut params = vec![
        ("EventType", event.kind.to_owned()),
        ("EventDescription", event.description.clone()),
        ("AccountSid", settings.account_sid.clone()),
        ("WorkspaceSid", settings.workspace_sid.clone()),
        ("WorkspaceName", WORKSPACE_NAME.to_owned()),
        ("ResourceType", event.resource_type.to_owned()),
        ("ResourceSid", event.resource_sid.clone()),
        ("Timestamp", (event.at_ms / 1000).to_string()),
        ("TimestampMs", event.at_ms.to_string()),
    ];
    params.extend(event.data.iter().cloned());
    if settings.task_events_carry_sid {
        params.push(("Sid", event.sid.clone()));
    }
    let draft = Draft {
        event_type: event.kind,
        url: &url,
        method: Method::POST,
        params,
        idempotency_token: Some(token(&event.sid)),
    };
    webhooks::queue(world, draft);
}

/// What marks every attempt to post the event: a UUID, made of the digits of its sid.
fn token(sid: &str) -> String {
    let digits = sid.trim_start_matches("EV");
    let part = |range| digits.get(range).unwrap_or_default();
    [part(0..8), part(8..12), part(12..16), part(16..20), part(20..32)].join("-")
}

#[cfg(test)]
mod tests {
    use crate::testing::{CUSTOMER, OURS, Sim};

    #[test]
    fn an_event_tells_of_the_task_and_what_it_belongs_to() {
        let sim = Sim::new();
        let sid = sim.twilio.customer_writes(CUSTOMER, OURS, "hello").conversation_sid;
        sim.events();
        sim.interact(&sid);
        let webhook = sim.webhooks().remove(0);
        let task = sim.twilio.tasks().pop().expect("open");
        let settings = sim.twilio.settings();
        for (name, value) in [
            ("EventType", "task.created"),
            ("AccountSid", &settings.account_sid),
            ("WorkspaceSid", &settings.workspace_sid),
            ("WorkflowSid", &settings.workflow_sid),
            ("TaskQueueSid", &settings.queue_sid),
            ("ResourceType", "task"),
            ("ResourceSid", &task.sid),
            ("TaskSid", &task.sid),
            ("TaskAssignmentStatus", "pending"),
            ("TaskChannelUniqueName", "chat"),
            ("Timestamp", "1767323045"),
            ("TaskAttributes", &task.attributes_json()),
        ] {
            assert_eq!(webhook.param(name), Some(value), "{name}");
        }
        assert!(webhook.param("Sid").is_some_and(|sid| sid.starts_with("EV")));
        let request = sim.twilio.webhook_request(&webhook);
        assert_eq!(request.uri(), "https://example.com/webhooks/taskrouter");
    }

    #[test]
    fn the_sid_of_an_event_may_be_missing() {
        let sim = Sim::with(|settings| settings.task_events_carry_sid = false);
        sim.interact(&sim.conversation());
        assert_eq!(sim.webhooks()[0].param("Sid"), None);
    }

    #[test]
    fn the_workspace_decides_which_events_are_sent_and_whether_any() {
        let filtered = Sim::with(|settings| settings.events_filter = vec!["task.canceled".to_owned()]);
        filtered.interact(&filtered.conversation());
        filtered.clock.advance(200);
        assert_eq!(filtered.events(), ["task.canceled"]);
        let silent = Sim::with(|settings| settings.event_callback_url = None);
        silent.interact(&silent.conversation());
        assert!(silent.events().is_empty());
    }
}
