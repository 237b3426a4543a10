//! The workspace and its task channels.

use serde_json::{Value, json};

use crate::answer::{Answer, Reply};
use crate::call::Call;
use crate::page::{Row, page};
use crate::parameters::{NONE, PAGING};
use crate::settings::TaskChannel;
use crate::world::World;

pub(super) fn fetch(world: &World, call: &Call) -> Reply {
    NONE.read(&call.query)?;
    let settings = &world.settings;
    let url = call.url();
    Ok(Answer::ok(json!({
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
    })))
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
    }
}
