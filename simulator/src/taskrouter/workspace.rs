//! The workspace, its workflows and its task channels.

use serde_json::{Value, json};

use crate::answer::{Answer, Reply};
use crate::call::Call;
use crate::page::{Row, page};
use crate::parameters::{NONE, PAGING, Published};
use crate::settings::TaskChannel;
use crate::world::World;

const UPDATE: Published = Published {
    required: &[],
    optional: &[
        "DefaultActivitySid",
        "EventCallbackUrl",
        "EventsFilter",
        "FriendlyName",
        "MultiTaskEnabled",
        "TimeoutActivitySid",
        "PrioritizeQueueOrder",
    ],
    repeated: &[],
};

pub(super) fn update(world: &mut World, call: &Call) -> Reply {
    let parameters = UPDATE.read(&call.form)?;
    let settings = &mut world.settings;
    if let Some(url) = parameters.text("EventCallbackUrl") {
        settings.event_callback_url = Some(url.to_owned()).filter(|url| !url.is_empty());
    }
    if let Some(filter) = parameters.text("EventsFilter") {
        settings.events_filter =
            filter.split(',').filter(|event| !event.is_empty()).map(str::to_owned).collect();
    }
    Ok(Answer::ok(shown(world, call)))
}

pub(super) fn fetch(world: &World, call: &Call) -> Reply {
    NONE.read(&call.query)?;
    Ok(Answer::ok(shown(world, call)))
}

fn shown(world: &World, call: &Call) -> Value {
    let settings = &world.settings;
    let url = call.url();
    json!({
        "account_sid": settings.account_sid,
        "sid": settings.workspace_sid,
        "friendly_name": WORKSPACE_NAME,
        "default_activity_name": "Offline",
        "default_activity_sid": format!("WA{:032x}", 1),
        "timeout_activity_name": "Offline",
        "timeout_activity_sid": format!("WA{:032x}", 1),
        "event_callback_url": settings.event_callback_url,
        "events_filter": settings.events_filter.join(","),
        "multi_task_enabled": true,
        "prioritize_queue_order": "FIFO",
        "date_created": "2026-01-01T00:00:00Z",
        "date_updated": "2026-01-01T00:00:00Z",
        "url": url,
        "links": {
            "events": format!("{url}/Events"),
            "tasks": format!("{url}/Tasks"),
            "task_channels": format!("{url}/TaskChannels"),
        },
    })
}

/// What Flex calls the workspace it makes.
pub(crate) const WORKSPACE_NAME: &str = "Flex Task Assignment";

pub(super) fn task_channels(world: &World, call: &Call) -> Reply {
    PAGING.read(&call.query)?;
    let settings = &world.settings;
    let row = |channel: &TaskChannel| -> Value {
        json!({
            "account_sid": settings.account_sid,
            "workspace_sid": settings.workspace_sid,
            "sid": channel.sid,
            "unique_name": channel.unique_name,
            "friendly_name": channel.unique_name,
            "channel_optimized_routing": false,
            "date_created": "2026-01-01T00:00:00Z",
            "date_updated": "2026-01-01T00:00:00Z",
            "url": format!("{}/{}", call.url(), channel.sid),
        })
    };
    page(call, "channels", 50, 1000, Row::numbered(settings.task_channels.iter().map(row)))
}

pub(super) fn workflow(world: &World, call: &Call, sid: &str) -> Reply {
    NONE.read(&call.query)?;
    let settings = &world.settings;
    if ![&settings.workflow_sid, &settings.fallback_workflow_sid].contains(&&sid.to_owned()) {
        return Err(call.not_found());
    }
    let mut configuration = json!({ "task_routing": { "filters": [] } });
    if settings.shown.workflows_have_default {
        configuration["task_routing"]["default_filter"] = json!({ "queue": settings.queue_sid });
    }
    let url = call.url();
    Ok(Answer::ok(json!({
        "account_sid": settings.account_sid,
        "workspace_sid": settings.workspace_sid,
        "sid": sid,
        "friendly_name": "Assign to Anyone",
        "configuration": configuration.to_string(),
        "document_content_type": "application/json",
        "assignment_callback_url": null,
        "fallback_assignment_callback_url": null,
        "task_reservation_timeout": 120,
        "date_created": "2026-01-01T00:00:00Z",
        "date_updated": "2026-01-01T00:00:00Z",
        "url": url,
        "links": { "statistics": format!("{url}/Statistics") },
    })))
}

#[cfg(test)]
mod tests {
    use crate::testing::Sim;

    #[test]
    fn the_workspace_tells_where_its_events_go_and_which_channels_it_has() {
        let sim = Sim::with(|settings| settings.events_filter = vec!["a".to_owned(), "b".to_owned()]);
        let path = format!("/v1/Workspaces/{}", sim.twilio.settings().workspace_sid);
        let (status, body) = sim.get(&path);
        assert_eq!((status, &body["events_filter"]), (200, &"a,b".into()));
        assert_eq!(body["event_callback_url"], "https://example.com/webhooks/taskrouter#rc=3");
        let (_, channels) = sim.get(&format!("/taskrouter{path}/TaskChannels"));
        assert_eq!(channels["channels"][1]["unique_name"], "chat");
        assert_eq!(sim.get(&format!("/v1/Workspaces/WS{:032x}", 99)).0, 404);
        let workflow = sim.twilio.settings().workflow_sid;
        let (_, workflow) = sim.get(&format!("{path}/Workflows/{workflow}"));
        assert!(workflow["configuration"].as_str().is_some_and(|text| text.contains("default_filter")));
        assert_eq!(sim.get(&format!("{path}/Workflows/WW{:032x}", 99)).0, 404);
    }
}
