//! The events that `TaskRouter` posts to the workspace's callback URL.
//! See <https://www.twilio.com/docs/taskrouter/api/event/reference>.

use http::Method;

use crate::taskrouter::reservations::Reservation;
use crate::taskrouter::tasks::TaskStatus;
use crate::taskrouter::workspace::WORKSPACE_NAME;
use crate::webhooks;
use crate::world::World;

/// An event of a task: `task.canceled`, `workflow.timeout` …
pub(crate) fn task(world: &mut World, kind: &'static str, task_sid: &str) {
    publish(world, kind, task_sid, None);
}

/// An event of a reservation: `reservation.accepted` …
pub(crate) fn reservation(world: &mut World, kind: &'static str, task_sid: &str, reservation: &Reservation) {
    publish(world, kind, task_sid, Some(reservation));
}

fn publish(world: &mut World, kind: &'static str, task_sid: &str, reservation: Option<&Reservation>) {
    let settings = &world.settings;
    let Some(url) = settings.event_callback_url.clone() else { return };
    let wanted = settings.events_filter.is_empty() || settings.events_filter.iter().any(|name| name == kind);
    let Some(task) = world.tasks.get(task_sid).filter(|_| wanted) else { return };
    let resource_sid = reservation.map_or(task_sid, |reservation| reservation.sid.as_str());
    let resource_type = if reservation.is_some() { "reservation" } else { "task" };
    let mut params = vec![
        ("EventType", kind.to_owned()),
        ("EventDescription", format!("Task {task_sid}: {kind}")),
        ("AccountSid", settings.account_sid.clone()),
        ("WorkspaceSid", settings.workspace_sid.clone()),
        ("WorkspaceName", WORKSPACE_NAME.to_owned()),
        ("ResourceType", resource_type.to_owned()),
        ("ResourceSid", resource_sid.to_owned()),
        ("Timestamp", (world.now / 1000).to_string()),
        ("TimestampMs", world.now.to_string()),
        ("TaskSid", task.sid.clone()),
        ("TaskAttributes", task.attributes_json()),
        ("TaskAge", task.age_s(world.now).to_string()),
        ("TaskPriority", task.priority.to_string()),
        ("TaskAssignmentStatus", task.status.as_str().to_owned()),
        ("TaskChannelUniqueName", task.task_channel.clone()),
        ("TaskQueueSid", task.queue_sid.clone()),
        ("WorkflowSid", task.workflow_sid.clone()),
    ];
    let reason = task.reason.clone().unwrap_or_default();
    match task.status {
        TaskStatus::Canceled => params.push(("TaskCanceledReason", reason)),
        TaskStatus::Completed => params.push(("TaskCompletedReason", reason)),
        _ => {}
    }
    if let Some(reservation) = reservation {
        params.extend([
            ("ReservationSid", reservation.sid.clone()),
            ("WorkerSid", reservation.worker_sid.clone()),
            ("WorkerName", reservation.worker_name.clone()),
        ]);
    }
    if world.settings.task_events_carry_sid {
        params.push(("Sid", world.sids.draw("EV")));
    }
    let params = params.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    webhooks::queue(world, kind, &url, Method::POST, params);
}
