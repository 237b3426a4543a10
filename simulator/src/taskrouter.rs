//! `TaskRouter` v1: <https://www.twilio.com/docs/taskrouter/api>.

pub(crate) mod events;
pub(crate) mod history;
pub(crate) mod reservations;
pub(crate) mod resource;
pub(crate) mod tasks;
pub(crate) mod workflow;
pub(crate) mod workspace;

use crate::answer::Reply;
use crate::call::Call;
use crate::world::World;

/// Finds the route for a call below `/v1`.
pub(crate) fn route(world: &mut World, call: &Call, segments: &[&str]) -> Reply {
    let ["Workspaces", workspace, rest @ ..] = segments else { return Err(call.not_found()) };
    if *workspace != world.settings.workspace_sid {
        return Err(call.not_found());
    }
    match (call.method.as_str(), rest) {
        ("GET", []) => workspace::fetch(world, call),
        ("POST", []) => workspace::update(world, call),
        ("GET", ["Workflows", sid]) => workspace::workflow(world, call, sid),
        ("GET", ["TaskChannels"]) => workspace::task_channels(world, call),
        ("GET", ["Events"]) => history::list(world, call),
        ("GET", ["Events", sid]) => history::fetch(world, call, sid),
        ("GET", ["Tasks"]) => resource::list(world, call),
        ("GET", ["Tasks", sid]) => resource::fetch(world, call, sid),
        ("POST", ["Tasks", sid]) => resource::update(world, call, sid),
        ("DELETE", ["Tasks", sid]) => resource::delete(world, call, sid),
        ("GET", ["Tasks", sid, "Reservations"]) => reservations::list(world, call, sid),
        ("GET", ["Tasks", sid, "Reservations", wr]) => reservations::fetch(world, call, sid, wr),
        _ => Err(call.not_found()),
    }
}
