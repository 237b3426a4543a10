//! The events of the workspace over REST: all that happened, whether or not anybody was told of it.
//! See <https://www.twilio.com/docs/taskrouter/api/event>.

use std::collections::VecDeque;

use serde_json::{Map, Value, json};

use crate::answer::{Answer, Refusal, Reply};
use crate::call::Call;
use crate::dates::{self, DAY_MS};
use crate::page::{Row, page};
use crate::parameters::{NONE, Parameters, Published};
use crate::world::World;

/// How far back Twilio remembers.
const KEPT_MS: u64 = 30 * DAY_MS;
/// What is listed when a call says nothing of time.
const MINUTES: u64 = 15;

/// Something that happened to a task.
#[derive(Debug, Clone)]
pub(crate) struct TaskEvent {
    /// `EV…`
    pub(crate) sid: String,
    /// `task.canceled`, `workflow.timeout` …
    pub(crate) kind: &'static str,
    pub(crate) description: String,
    /// `task` or `reservation`.
    pub(crate) resource_type: &'static str,
    pub(crate) resource_sid: String,
    pub(crate) at_ms: u64,
    /// What is told of the task and its reservation, by the names that a callback has for it.
    pub(crate) data: Vec<(&'static str, String)>,
}

impl TaskEvent {
    fn data(&self, name: &str) -> Option<&str> {
        self.data.iter().find(|(key, _)| *key == name).map(|(_, value)| value.as_str())
    }

    fn json(&self, world: &World) -> Value {
        let settings = &world.settings;
        let workspace_sid = &settings.workspace_sid;
        let of_workspace = [("WorkspaceSid", workspace_sid.clone())];
        let event_data: Map<String, Value> = of_workspace
            .iter()
            .chain(&self.data)
            .map(|(name, value)| (snake_case(name), json!(value)))
            .collect();
        json!({
            "account_sid": settings.account_sid,
            "actor_sid": null,
            "actor_type": "system",
            "actor_url": null,
            "description": self.description,
            "event_data": event_data,
            "event_date": dates::seconds(self.at_ms),
            "event_date_ms": self.at_ms,
            "event_type": self.kind,
            "resource_sid": self.resource_sid,
            "resource_type": self.resource_type,
            "resource_url": null,
            "sid": self.sid,
            "source": "twilio",
            "source_ip_address": null,
            "url": format!("https://taskrouter.twilio.com/v1/Workspaces/{workspace_sid}/Events/{}", self.sid),
            "workspace_sid": workspace_sid,
        })
    }
}

/// `TaskSid` as `task_sid`.
fn snake_case(name: &str) -> String {
    let mut snake = String::with_capacity(name.len() + 4);
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}

/// The events of the last 30 days, oldest first.
#[derive(Debug, Default)]
pub(crate) struct History {
    events: VecDeque<TaskEvent>,
    /// How many older ones were dropped: the number of the first one kept.
    dropped: u64,
}

impl History {
    /// Keeps the event, and lets go of those that nobody can ask for any more.
    pub(crate) fn record(&mut self, event: TaskEvent) {
        let first_ms = event.at_ms.saturating_sub(KEPT_MS);
        while self.events.front().is_some_and(|oldest| oldest.at_ms < first_ms) {
            self.events.pop_front();
            self.dropped += 1;
        }
        self.events.push_back(event);
    }

    /// Those that Twilio still remembers, each with its number.
    fn remembered(&self, now: u64) -> impl Iterator<Item = (u64, &TaskEvent)> {
        let first_ms = now.saturating_sub(KEPT_MS);
        (self.dropped..).zip(&self.events).filter(move |(_, event)| event.at_ms >= first_ms)
    }
}

const LIST: Published = Published {
    required: &[],
    optional: &[
        "EndDate",
        "EventType",
        "Minutes",
        "ReservationSid",
        "StartDate",
        "TaskQueueSid",
        "TaskSid",
        "WorkerSid",
        "WorkflowSid",
        "TaskChannel",
        "Sid",
        "PageSize",
        "Page",
        "PageToken",
    ],
    repeated: &[],
};

/// Which moments a call asks for, both ends included. Without any word of time it is the last 15 minutes.
fn period(parameters: &Parameters<'_>, now: u64) -> Result<(u64, u64), Refusal> {
    let date = |name: &str| {
        parameters.text(name).map_or(Ok(None), |text| {
            let found = dates::parse(text).filter(|_| text.contains('T'));
            found.map(Some).ok_or_else(|| Refusal::invalid(format!("Invalid {name}: not an ISO 8601 date")))
        })
    };
    let (start, end) = (date("StartDate")?, date("EndDate")?);
    let minutes = parameters
        .text("Minutes")
        .map(|text| text.parse::<u64>().map_err(|_| Refusal::invalid("Invalid Minutes")))
        .transpose()?
        .or_else(|| (start.is_none() && end.is_none()).then_some(MINUTES));
    let since = minutes.map(|minutes| now.saturating_sub(minutes.saturating_mul(60_000)));
    Ok((start.max(since).unwrap_or(0), end.unwrap_or(u64::MAX)))
}

pub(super) fn list(world: &World, call: &Call) -> Reply {
    let parameters = LIST.read(&call.query)?;
    let (start, end) = period(&parameters, world.now)?;
    let sids = [
        ("ReservationSid", parameters.sid("ReservationSid", "WR")?),
        ("TaskQueueSid", parameters.sid("TaskQueueSid", "WQ")?),
        ("TaskSid", parameters.sid("TaskSid", "WT")?),
        ("WorkerSid", parameters.sid("WorkerSid", "WK")?),
        ("WorkflowSid", parameters.sid("WorkflowSid", "WW")?),
    ];
    let sid = parameters.sid("Sid", "EV")?;
    let kind = parameters.text("EventType");
    // The task channel may be named or given by its sid.
    let channel = parameters.text("TaskChannel").map(|asked| {
        let by_sid = world.settings.task_channels.iter().find(|channel| channel.sid == asked);
        by_sid.map_or(asked, |channel| &channel.unique_name)
    });
    let is_asked = |event: &TaskEvent| {
        (start..=end).contains(&event.at_ms)
            && kind.is_none_or(|kind| event.kind == kind)
            && sid.as_ref().is_none_or(|sid| event.sid == *sid)
            && channel.is_none_or(|channel| event.data("TaskChannelUniqueName") == Some(channel))
            && sids
                .iter()
                .all(|(name, sid)| sid.as_ref().is_none_or(|sid| event.data(name) == Some(sid.as_str())))
    };
    let rows = world
        .history
        .remembered(world.now)
        .filter(|(_, event)| is_asked(event))
        .map(|(number, event)| Row::newest_first(number, event.json(world)))
        .collect();
    page(call, "events", 50, 1000, rows)
}

pub(super) fn fetch(world: &World, call: &Call, sid: &str) -> Reply {
    NONE.read(&call.query)?;
    let (_, event) = world
        .history
        .remembered(world.now)
        .find(|(_, event)| event.sid == sid)
        .ok_or_else(|| call.not_found())?;
    Ok(Answer::ok(event.json(world)))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::testing::{Sim, code, text};
    use crate::{Times, WebhookFault, WebhookMisbehaviour};

    fn path(sim: &Sim) -> String {
        format!("/v1/Workspaces/{}/Events", sim.twilio.settings().workspace_sid)
    }

    fn rows(sim: &Sim, query: &str) -> Vec<Value> {
        let (status, body) = sim.get(&format!("{}?{query}", path(sim)));
        assert_eq!(status, 200, "{body}");
        body["events"].as_array().expect("rows").clone()
    }

    fn kinds(sim: &Sim, query: &str) -> Vec<String> {
        rows(sim, query).iter().map(|row| text(&row["event_type"])).collect()
    }

    #[test]
    fn an_event_is_kept_as_twilio_shows_it_and_as_its_callback_told_it() {
        let sim = Sim::new();
        let sid = sim.twilio.customer_writes(crate::testing::CUSTOMER, crate::testing::OURS, "hello");
        sim.events();
        sim.interact(&sid.conversation_sid);
        let callback = sim.webhooks().remove(0);
        let settings = sim.twilio.settings();
        let task = sim.twilio.tasks().remove(0);
        let row = rows(&sim, "").remove(0);
        let expected = json!({
            "account_sid": settings.account_sid,
            "actor_sid": null,
            "actor_type": "system",
            "actor_url": null,
            "description": callback.param("EventDescription"),
            "event_data": {
                "task_sid": task.sid,
                "task_attributes": task.attributes_json(),
                "task_age": "0",
                "task_priority": "0",
                "task_assignment_status": "pending",
                "task_channel_unique_name": "chat",
                "task_queue_sid": settings.queue_sid,
                "workflow_sid": settings.workflow_sid,
                "workspace_sid": settings.workspace_sid,
            },
            "event_date": "2026-01-02T03:04:05Z",
            "event_date_ms": crate::testing::START_MS,
            "event_type": "task.created",
            "resource_sid": task.sid,
            "resource_type": "task",
            "resource_url": null,
            "sid": callback.param("Sid"),
            "source": "twilio",
            "source_ip_address": null,
            "url": format!("https://taskrouter.twilio.com{}/{}", path(&sim), text(&row["sid"])),
            "workspace_sid": settings.workspace_sid,
        });
        assert_eq!(row, expected);
        assert_eq!(sim.get(&format!("{}/{}", path(&sim), text(&row["sid"]))), (200, expected));
        assert_eq!(sim.get(&format!("{}/EV{:032x}", path(&sim), 1)).0, 404);
    }

    #[test]
    fn events_that_nobody_was_told_of_are_listed_newest_first() {
        let sim = Sim::with(|settings| {
            settings.workflow_timeout_s = Some(60);
            settings.task_events_carry_sid = false;
            settings.events_filter = vec!["task.canceled".to_owned()];
        });
        let what = WebhookMisbehaviour::Lost;
        sim.twilio.misbehave_with_webhooks(WebhookFault { event: None, times: Times::Forever, what });
        sim.engaged();
        sim.clock.advance(60_000);
        assert!(sim.events().is_empty());
        assert_eq!(kinds(&sim, ""), ["task.canceled", "workflow.timeout", "task.created"]);
        let canceled = rows(&sim, "EventType=task.canceled").remove(0);
        assert_eq!(canceled["event_data"]["task_canceled_reason"], "Task canceled on Workflow timeout");
        let silent = Sim::with(|settings| settings.event_callback_url = None);
        let deleted = silent.engaged();
        silent.twilio.task_is_deleted(&deleted.task).expect("there");
        assert_eq!(kinds(&silent, &format!("TaskSid={}", deleted.task)), ["task.deleted", "task.created"]);
        assert!(kinds(&silent, &format!("TaskSid=WT{:032x}", 1)).is_empty());
    }

    #[test]
    fn events_are_asked_for_by_what_they_are_about() {
        let sim = Sim::new();
        let engaged = sim.engaged();
        sim.twilio.agent_accepts(&engaged.task, &sim.worker(0)).expect("accepted");
        let settings = sim.twilio.settings();
        let accepted = rows(&sim, "EventType=reservation.accepted").remove(0);
        assert_eq!(accepted["resource_type"], "reservation");
        assert_eq!(accepted["event_data"]["worker_sid"], sim.worker(0).as_str());
        let both = ["reservation.accepted", "reservation.created"];
        assert_eq!(kinds(&sim, &format!("ReservationSid={}", text(&accepted["resource_sid"]))), both);
        assert_eq!(kinds(&sim, &format!("WorkerSid={}", sim.worker(0))), both);
        assert!(kinds(&sim, &format!("WorkerSid={}", sim.worker(1))).is_empty());
        assert_eq!(kinds(&sim, &format!("Sid={}", text(&accepted["sid"]))), both[..1]);
        for query in [
            format!("WorkflowSid={}", settings.workflow_sid),
            format!("TaskQueueSid={}", settings.queue_sid),
            "TaskChannel=chat".to_owned(),
            format!("TaskChannel={}", settings.task_channels[1].sid),
        ] {
            assert_eq!(kinds(&sim, &query).len(), 3, "{query}");
        }
        assert!(kinds(&sim, &format!("WorkflowSid={}", settings.fallback_workflow_sid)).is_empty());
        assert!(kinds(&sim, "TaskChannel=voice").is_empty());
        for wrong in ["TaskSid=WT1", "Minutes=few", "StartDate=2026-01-02", "PageSize=1001", "tasksid=x"] {
            assert_eq!(code(&sim.get(&format!("{}?{wrong}", path(&sim)))), 20001, "{wrong}");
        }
    }

    #[test]
    fn a_period_is_the_last_15_minutes_unless_another_is_asked_for() {
        let sim = Sim::with(|settings| settings.set_up_ms = super::DAY_MS);
        let sid = sim.conversation();
        sim.interact(&sid);
        sim.clock.advance(16 * 60_000);
        sim.interact(&sid);
        assert_eq!(kinds(&sim, "").len(), 1);
        assert_eq!(kinds(&sim, "Minutes=20").len(), 2);
        assert_eq!(kinds(&sim, "StartDate=2026-01-02T03:04:05Z").len(), 2);
        assert_eq!(kinds(&sim, "StartDate=2026-01-02T03:04:06Z").len(), 1);
        assert_eq!(kinds(&sim, "EndDate=2026-01-02T03:10:00Z").len(), 1);
        assert!(kinds(&sim, "Minutes=1&EndDate=2026-01-02T03:10:00Z").is_empty());
    }

    #[test]
    fn nothing_is_remembered_for_longer_than_30_days() {
        let sim = Sim::with(|settings| settings.set_up_ms = super::DAY_MS * 99);
        let sid = sim.conversation();
        sim.interact(&sid);
        let first = text(&rows(&sim, "")[0]["sid"]);
        sim.clock.advance(super::KEPT_MS);
        assert_eq!(kinds(&sim, "StartDate=2026-01-01T00:00:00Z"), ["task.canceled", "task.created"]);
        sim.clock.advance(1);
        assert_eq!(kinds(&sim, "StartDate=2026-01-01T00:00:00Z"), ["task.canceled"]);
        assert_eq!(sim.get(&format!("{}/{first}", path(&sim))).0, 404);
        sim.interact(&sid);
        assert_eq!(sim.twilio.world().history.events.len(), 2);
    }

    #[test]
    fn a_walk_through_events_is_not_disturbed_by_new_ones() {
        let sim = Sim::new();
        let sid = sim.conversation();
        (0..3).for_each(|_| drop(sim.interact(&sid)));
        let (_, first) = sim.get(&format!("{}?PageSize=2", path(&sim)));
        let before = rows(&sim, "");
        sim.interact(&sid);
        let next = text(&first["meta"]["next_page_url"]).replace("https://taskrouter.twilio.com", "");
        assert_eq!(sim.get(&next).1["events"], json!(before[2..]));
    }
}
