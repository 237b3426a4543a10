//! The workspace and its task channels.

use serde_json::{Value, json};

use crate::answer::{Answer, Reply, page};
use crate::call::Call;
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
        "links": { "tasks": format!("{url}/Tasks"), "task_channels": format!("{url}/TaskChannels") },
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
    page(call, "channels", 50, 1000, settings.task_channels.iter().map(row).collect())
}
