//! The account itself: <https://www.twilio.com/docs/iam/api/account>.

use serde_json::json;

use crate::answer::{Answer, Reply};
use crate::call::Call;
use crate::parameters::NONE;
use crate::world::World;

/// Finds the route for a call below `/2010-04-01`.
pub(crate) fn route(world: &World, call: &Call, segments: &[&str]) -> Reply {
    let account = format!("{}.json", world.settings.account_sid);
    match (call.method.as_str(), segments) {
        ("GET", ["Accounts", sid]) if *sid == account => fetch(world, call),
        _ => Err(call.not_found()),
    }
}

fn fetch(world: &World, call: &Call) -> Reply {
    NONE.read(&call.query)?;
    let settings = &world.settings;
    let date = "Thu, 01 Jan 2026 00:00:00 +0000";
    Ok(Answer::ok(json!({
        "sid": settings.account_sid,
        "owner_account_sid": settings.account_sid,
        "auth_token": settings.auth_token,
        "friendly_name": "Simulated",
        "status": settings.shown.account_status,
        "type": "Full",
        "date_created": date,
        "date_updated": date,
        "uri": call.path,
        "subresource_uris": {},
    })))
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use crate::testing::Sim;

    #[test]
    fn the_account_says_how_it_is_and_what_time_it_is() {
        let sim = Sim::with(|settings| settings.shown.clock_ahead_ms = 5_000);
        let path = format!("/api/2010-04-01/Accounts/{}.json", sim.twilio.settings().account_sid);
        let answer = sim
            .twilio
            .call(sim.request("GET", &path, &[]))
            .now_or_never()
            .expect("at once")
            .expect("an answer");
        assert_eq!(answer.headers()["date"], "Fri, 02 Jan 2026 03:04:10 GMT");
        let (status, body) = sim.get(&path);
        assert_eq!((status, &body["status"]), (200, &"active".into()));
        assert_eq!(sim.get("/api/2010-04-01/Accounts/AC1.json").0, 404);
    }
}
