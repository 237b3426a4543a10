//! The Interactions API of Flex v1:
//! <https://www.twilio.com/docs/flex/developer/conversations/interactions-api>; and web chats, which are all
//! there is of Flex v2.

pub(crate) mod asked;
pub(crate) mod channels;
pub(crate) mod configuration;
pub(crate) mod interactions;
pub(crate) mod invites;
pub(crate) mod participants;
pub(crate) mod set_up;
pub(crate) mod task_attributes;
pub(crate) mod transfers;
pub(crate) mod web_chats;

use crate::answer::Reply;
use crate::call::Call;
use crate::world::World;

/// Finds the route for a call below `/v1`.
pub(crate) fn route(world: &mut World, call: &Call, segments: &[&str]) -> Reply {
    match (call.method.as_str(), segments) {
        ("GET", ["Configuration"]) => configuration::fetch(world, call),
        ("POST", ["Configuration"]) => configuration::update(world, call),
        ("POST", ["Interactions"]) => interactions::create(world, call),
        ("GET", ["Interactions", kd]) => interactions::fetch(world, call, kd),
        ("POST", ["Interactions", kd]) => interactions::update(world, call, kd),
        ("GET", ["Interactions", kd, "Channels"]) => channels::list(world, call, kd),
        ("GET", ["Interactions", kd, "Channels", uo]) => channels::fetch(world, call, kd, uo),
        ("POST", ["Interactions", kd, "Channels", uo]) => channels::update(world, call, kd, uo),
        ("GET", ["Interactions", kd, "Channels", uo, "Participants"]) => {
            participants::list(world, call, kd, uo)
        }
        ("POST", ["Interactions", kd, "Channels", uo, "Participants"]) => {
            participants::create(world, call, kd, uo)
        }
        ("POST", ["Interactions", kd, "Channels", uo, "Participants", ut]) => {
            participants::update(world, call, kd, uo, ut)
        }
        ("GET", ["Interactions", kd, "Channels", uo, "Invites"]) => invites::list(world, call, kd, uo),
        ("POST", ["Interactions", kd, "Channels", uo, "Invites"]) => invites::create(world, call, kd, uo),
        ("GET", ["Interactions", kd, "Channels", uo, "Transfers"]) => transfers::list(world, call, kd, uo),
        ("GET", ["Interactions", kd, "Channels", uo, "Transfers", ux]) => {
            transfers::fetch(world, call, kd, uo, ux)
        }
        _ => Err(call.not_found()),
    }
}

/// Finds the route for a call below `/v2`.
pub(crate) fn route_v2(world: &mut World, call: &Call, segments: &[&str]) -> Reply {
    match (call.method.as_str(), segments) {
        ("POST", ["WebChats"]) => web_chats::create(world, call),
        _ => Err(call.not_found()),
    }
}
