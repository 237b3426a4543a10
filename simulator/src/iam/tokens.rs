//! The tokens of users of Flex: agents and supervisors, but guests of a web chat as well.

use serde_json::json;

use crate::answer::{Answer, Reply};
use crate::call::Call;
use crate::dates;
use crate::parameters::{NONE, Published};
use crate::world::World;

/// What Twilio knows of a token that it gave out.
#[derive(Debug, Clone)]
pub(crate) struct FlexToken {
    /// `US…`, the same in every token of an identity.
    pub(crate) user_sid: String,
    pub(crate) identity: String,
    pub(crate) roles: Vec<String>,
    /// `WK…`; a guest has none.
    pub(crate) worker_sid: Option<String>,
    /// When it ends, or ended by being revoked, in milliseconds since the epoch.
    pub(crate) ends_ms: u64,
}

/// Nobody but Twilio can read a token. This one has the look of theirs: five parts, of the lengths that the
/// header, key, vector, content and tag of an encrypted one have.
const PARTS: [usize; 5] = [33, 40, 12, 240, 16];

const VALIDATE: Published = Published { required: &["token"], optional: &[], repeated: &[] };

/// Gives a token out.
pub(crate) fn issue(
    world: &mut World,
    identity: &str,
    roles: &[&str],
    worker_sid: Option<&str>,
    lives_ms: u64,
) -> String {
    let text = PARTS.map(|count| world.sids.draw_bytes(count)).join(".");
    let of_identity = |token: &&FlexToken| token.identity == identity;
    let known = world.flex_tokens.values().find(of_identity).map(|token| token.user_sid.clone());
    let token = FlexToken {
        user_sid: known.unwrap_or_else(|| world.sids.draw("US")),
        identity: identity.to_owned(),
        roles: roles.iter().map(|role| (*role).to_owned()).collect(),
        worker_sid: worker_sid.map(str::to_owned),
        ends_ms: world.now.saturating_add(lives_ms),
    };
    world.flex_tokens.insert(text.clone(), token);
    text
}

/// Ends a token before its time.
pub(crate) fn revoke(world: &mut World, text: &str) {
    let now = world.now;
    if let Some(token) = world.flex_tokens.get_mut(text) {
        token.ends_ms = token.ends_ms.min(now);
    }
}

/// Tells who is behind a token. That one is not valid is not an error, unless the settings say so.
pub(super) fn validate(world: &World, call: &Call) -> Reply {
    NONE.read(&call.query)?;
    let parameters = VALIDATE.read(&call.form)?;
    let message = match parameters.text("token").and_then(|text| world.flex_tokens.get(text)) {
        Some(token) if world.now < token.ends_ms => {
            return Ok(Answer::ok(json!({
                "valid": true,
                "code": 0,
                "message": null,
                "expiration": dates::seconds(token.ends_ms),
                "realm_user_id": token.user_sid,
                "identity": token.identity,
                "roles": token.roles,
                "worker_sid": token.worker_sid,
            })));
        }
        Some(_) => "Token has expired",
        None => "Token is invalid",
    };
    let body = json!({ "valid": false, "message": message });
    Ok(if world.settings.invalid_tokens_are_400 { Answer::bad_request(body) } else { Answer::ok(body) })
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde_json::{Value, json};

    use crate::testing::{Answered, Sim, code};

    fn path(sim: &Sim) -> String {
        format!("/iam/v1/Accounts/{}/Tokens/validate", sim.twilio.settings().account_sid)
    }

    fn validated(sim: &Sim, token: &str) -> Answered {
        sim.post_json(&path(sim), &json!({ "token": token }))
    }

    fn agents(sim: &Sim) -> String {
        sim.twilio.flex_token("alice_40example_2Ecom", &["agent"], Some(&sim.worker(0)), 60_000)
    }

    #[test]
    fn a_living_token_tells_who_is_behind_it() {
        let sim = Sim::new();
        let token = agents(&sim);
        let parts: Vec<&str> = token.split('.').collect();
        let is_base64url =
            |part: &&str| part.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
        assert!(parts.len() == 5 && parts.iter().all(is_base64url), "{token}");
        let (status, body) = validated(&sim, &token);
        let user = body["realm_user_id"].as_str().expect("a sid").to_owned();
        assert!(crate::sids::is_sid("US", &user), "{user}");
        let expected = json!({
            "valid": true, "code": 0, "message": null, "expiration": "2026-01-02T03:05:05Z",
            "realm_user_id": user, "identity": "alice_40example_2Ecom", "roles": ["agent"],
            "worker_sid": sim.worker(0),
        });
        assert_eq!((status, body), (200, expected));
        assert_eq!(validated(&sim, &agents(&sim)).1["realm_user_id"], user);
        let guest = validated(&sim, &sim.twilio.flex_token("guest-1", &["guest"], None, 60_000)).1;
        assert_eq!((&guest["valid"], &guest["worker_sid"]), (&json!(true), &Value::Null));
        assert_ne!(guest["realm_user_id"], user);
    }

    #[test]
    fn a_token_is_not_valid_after_its_time_or_once_it_is_revoked() {
        let sim = Sim::new();
        let (token, other) = (agents(&sim), agents(&sim));
        sim.twilio.revoke_flex_token(&other);
        sim.clock.advance(59_999);
        assert_eq!(validated(&sim, &token).1["valid"], true);
        let expired = json!({ "valid": false, "message": "Token has expired" });
        assert_eq!(validated(&sim, &other), (200, expired.clone()));
        sim.clock.advance(1);
        assert_eq!(validated(&sim, &token), (200, expired));
        let unknown = json!({ "valid": false, "message": "Token is invalid" });
        assert_eq!(validated(&sim, "a.b.c.d.e"), (200, unknown));
    }

    #[test]
    fn a_token_that_is_not_valid_may_be_an_error() {
        let sim = Sim::with(|settings| settings.invalid_tokens_are_400 = true);
        let body = json!({ "valid": false, "message": "Token is invalid" });
        assert_eq!(validated(&sim, "a.b.c.d.e"), (400, body));
        assert_eq!(validated(&sim, &agents(&sim)).0, 200);
    }

    #[test]
    fn only_the_account_itself_may_ask_and_only_for_itself() {
        let keys = [("SK1", "secret"), (&*crate::Settings::default().account_sid, "secondary")]
            .map(|(user, password)| (user.to_owned(), password.to_owned()));
        let sim = Sim::with(|settings| settings.extra_auth = keys.to_vec());
        let token = json!({ "token": agents(&sim) });
        let foreign = format!("/iam/v1/Accounts/AC{:032x}/Tokens/validate", 9);
        assert_eq!(code(&sim.post_json(&foreign, &token)), 20404);
        for ((user, password), expected) in sim.twilio.settings().extra_auth.iter().zip([401, 200]) {
            let user = STANDARD.encode(format!("{user}:{password}"));
            let mut request = sim.request("POST", &path(&sim), &[]);
            *request.body_mut() = token.to_string().into();
            let headers = request.headers_mut();
            headers.insert("authorization", format!("Basic {user}").parse().expect("text"));
            headers.insert("content-type", http::HeaderValue::from_static("application/json"));
            assert_eq!(sim.send(request).expect("an answer").0, expected, "{user}");
        }
    }

    #[test]
    fn a_token_comes_in_json_and_nothing_else_does() {
        let sim = Sim::new();
        let token = agents(&sim);
        assert_eq!(sim.post(&path(&sim), &[("token", &token)]).0, 415);
        for (body, message) in [
            (json!({}), "Missing required parameter token"),
            (json!({ "Token": token }), "Unknown parameter Token"),
            (json!({ "token": 1 }), "Invalid token: not a string"),
            (json!([token]), "The body is not a JSON object"),
        ] {
            let refused = sim.post_json(&path(&sim), &body);
            assert_eq!((refused.0, code(&refused)), (400, 20001));
            assert_eq!(refused.1["message"], message);
        }
        assert_eq!(code(&sim.get(&path(&sim))), 20404);
    }
}
