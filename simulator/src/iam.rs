//! The part of IAM v1 that Flex plugins rest on. Twilio does not publish it: what is known is known from
//! [its validator](https://github.com/twilio/twilio-flex-token-validator).

pub(crate) mod tokens;

use crate::answer::Reply;
use crate::call::Call;
use crate::world::World;

/// Finds the route for a call below `/v1`.
pub(crate) fn route(world: &World, call: &Call, segments: &[&str]) -> Reply {
    match (call.method.as_str(), segments) {
        ("POST", ["Accounts", account, "Tokens", "validate"]) if *account == world.settings.account_sid => {
            tokens::validate(world, call)
        }
        _ => Err(call.not_found()),
    }
}
