//! What comes after: nothing goes wrong any more, and the sweeper alone comes to an end with all of it. Then
//! everybody goes home, and in time everything is forgotten.

use std::{sync::Arc, time::Duration};

use serde_json::Value;
use shared::clock::Timestamp;
use simulator::{ConversationState, Reason, TaskStatus};
use tokio::time::sleep;

use super::centre::Centre;

/// In which time all must be well after the last thing has gone wrong.
pub(super) const REST: Duration = Duration::from_hours(12);

/// The same, once more for what was asked for afterwards. Not so long that tasks come to the end of their day.
pub(super) const MORE_REST: Duration = Duration::from_hours(2);

/// Sweeps at first come once a minute, as they do; later less often than they really do.
const SWEEPS_EACH_MINUTE: usize = 12;

/// Sweeps until all is well. A run that needs more never ends.
const MOST_SWEEPS: usize = 400;

/// What was sent before is there by then, however late.
const UNDER_WAY: Duration = Duration::from_mins(11);

/// The sweeper comes until nothing is left to be done within `rest`.
pub(super) async fn come_to_rest(centre: &Arc<Centre>, rest: Duration) -> Result<(), String> {
    let began = centre.rig.system.clock.now();
    for sweeps in 0.. {
        let shortest = Duration::from_mins(if sweeps < SWEEPS_EACH_MINUTE { 1 } else { 40 });
        let now = centre.rig.system.clock.now();
        let Some(due) = next_due(centre).filter(|due| *due < began + rest) else {
            if now < began + UNDER_WAY {
                sleep(UNDER_WAY).await;
                continue;
            }
            return centre.is_well();
        };
        if sweeps > MOST_SWEEPS {
            break;
        }
        sleep(due.since(now).max(shortest)).await;
        centre.is_well()?;
        centre.sweep().await;
    }
    Err("the sweeper comes to no end".to_owned())
}

/// When the next record is due, or discovery goes round again for the first time.
fn next_due(centre: &Centre) -> Option<Timestamp> {
    let conversations = centre.rig.system.twilio.conversations();
    let mut open = conversations.iter().filter(|one| one.state != ConversationState::Closed);
    let unknown = open.any(|conversation| !centre.watch.knows(&conversation.sid));
    let discovered = unknown.then(|| centre.rig.system.clock.now() + Duration::from_mins(5));
    centre.watch.next_due().into_iter().chain(discovered).min()
}

/// Longer than anything is remembered of what is over.
const FORGOTTEN: Duration = Duration::from_hours(24 * 100);

/// Everybody goes home, and nobody tells us: every record comes to its end, and is forgotten.
pub(super) async fn end(centre: &Arc<Centre>) -> Result<(), String> {
    centre.tell(|| "everybody goes home".to_owned());
    centre.is_deaf();
    let twilio = &centre.rig.system.twilio;
    for conversation in twilio.conversations() {
        let _ = twilio.close_conversation(&conversation.sid, Reason::Timer);
    }
    for task in twilio.tasks() {
        if !matches!(task.status, TaskStatus::Canceled | TaskStatus::Completed) {
            let _ = twilio.task_is_deleted(&task.sid);
        }
    }
    for sweeps in 0.. {
        let now = centre.rig.system.clock.now();
        let Some(due) = centre.watch.next_due() else { break };
        if sweeps > MOST_SWEEPS {
            return Err(format!("something is due for ever, next at {due}"));
        }
        sleep(due.since(now).max(Duration::from_mins(1))).await;
        centre.sweep().await;
    }
    sleep(FORGOTTEN).await;
    let system = &centre.rig.system;
    system.dynamo.forget_expired().map_err(|error| error.to_string())?;
    let items = system.dynamo.items(&system.settings.table).map_err(|error| error.to_string())?;
    match items.iter().find(|item| item["pk"] != "walk") {
        None => centre.is_well(),
        Some(left) => {
            let Value::Object(left) = left else { return Err("an item is none".to_owned()) };
            Err(format!("this is never forgotten: {:?} {:?}", left.get("pk"), left.get("stage")))
        }
    }
}
