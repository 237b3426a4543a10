//! The access tokens of chat users: JSON Web Tokens that a back end signs with an API key of the account.
//! Twilio gives none out, it only verifies them. See <https://www.twilio.com/docs/iam/access-tokens>.
//!
//! Everything about a token that is invalid is refused with 20101, except its time. Twilio also publishes
//! finer codes (20102 header, 20103 issuer or subject, 20105 not yet valid, 20106 grants, 20107 signature);
//! that Conversations gives them is not confirmed.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Map, Value};
use sha2::Sha256;

use crate::answer::Refusal;
use crate::settings::Settings;

/// How many seconds a token may live.
const LIVES_AT_MOST_S: u64 = 24 * 60 * 60;

/// What stands in the header.
const HEADER: [(&str, &str); 3] = [("typ", "JWT"), ("alg", "HS256"), ("cty", "twilio-fpa;v=1")];

/// A part of a token: an object in JSON.
type Part = Map<String, Value>;

/// The identity of the chat user whom a token lets in now.
pub(crate) fn verify(settings: &Settings, now_ms: u64, token: &str) -> Result<String, Refusal> {
    let (text, signature) = token.rsplit_once('.').ok_or_else(|| invalid("not a JSON Web Token"))?;
    let (header, claims) = text.split_once('.').ok_or_else(|| invalid("not a JSON Web Token"))?;
    let (header, claims) = (read(header)?, read(claims)?);
    if HEADER.iter().any(|(name, value)| string(&header, name) != Some(value)) {
        return Err(invalid("header"));
    }
    let signature = decode(signature)?;
    let issuer = string(&claims, "iss").ok_or_else(|| invalid("issuer"))?;
    if !secrets(settings, issuer).any(|secret| is_signed(secret, text, &signature)) {
        return Err(invalid("issuer or signature"));
    }
    if string(&claims, "sub") != Some(&settings.account_sid) {
        return Err(invalid("subject"));
    }
    refuse_untimely(&claims, now_ms)?;
    granted(settings, &claims).ok_or_else(|| invalid("grants"))
}

fn decode(part: &str) -> Result<Vec<u8>, Refusal> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| invalid("not base64url"))
}

fn read(part: &str) -> Result<Part, Refusal> {
    serde_json::from_slice(&decode(part)?).map_err(|_| invalid("not a JSON object"))
}

fn string<'p>(part: &'p Part, name: &str) -> Option<&'p str> {
    part.get(name)?.as_str()
}

/// The secrets of an API key. The account itself is none: its auth token signs no access tokens.
fn secrets<'s>(settings: &'s Settings, key: &str) -> impl Iterator<Item = &'s str> {
    let is_key = move |user: &str| user == key && user != settings.account_sid;
    settings.extra_auth.iter().filter(move |(user, _)| is_key(user)).map(|(_, secret)| secret.as_str())
}

fn is_signed(secret: &str, text: &str, signature: &[u8]) -> bool {
    // HMAC takes keys of any length.
    Hmac::<Sha256>::new_from_slice(secret.as_bytes())
        .is_ok_and(|mac| mac.chain_update(text).verify_slice(signature).is_ok())
}

/// Refuses a token before and after its time, and one whose time is too long. It runs from `nbf`, or from
/// `iat`, or, where there is neither, from now.
fn refuse_untimely(claims: &Part, now_ms: u64) -> Result<(), Refusal> {
    let now = now_ms / 1000;
    let not_before = seconds(claims, "nbf")?;
    if not_before.is_some_and(|start| start > now) {
        return Err(invalid("not yet valid"));
    }
    let issued = seconds(claims, "iat")?;
    let ends = claims.get("exp").and_then(Value::as_u64).filter(|end| *end > now);
    let ends = ends.ok_or_else(|| unauthorized(20104, "Access Token expired or expiration date invalid"))?;
    let starts = not_before.or(issued).unwrap_or(now).min(now);
    if ends - starts > LIVES_AT_MOST_S {
        return Err(unauthorized(20157, "Expiration Time Exceeds Maximum Time Allowed"));
    }
    Ok(())
}

/// A moment that need not be named, in seconds since the epoch.
fn seconds(claims: &Part, name: &str) -> Result<Option<u64>, Refusal> {
    claims.get(name).map(|value| value.as_u64().ok_or_else(|| invalid(name))).transpose()
}

/// The identity that may chat in our service.
fn granted(settings: &Settings, claims: &Part) -> Option<String> {
    let grants = claims.get("grants")?;
    let service = grants.get("chat")?.get("service_sid")?.as_str()?;
    let identity = grants.get("identity")?.as_str()?;
    (service == settings.chat_service_sid && !identity.is_empty()).then(|| identity.to_owned())
}

fn invalid(what: &str) -> Refusal {
    unauthorized(20101, format!("Invalid Access Token: {what}"))
}

fn unauthorized(code: u32, message: impl Into<String>) -> Refusal {
    Refusal::new(401, code, message)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::{KEY, START_MS, Sim, signed, token_header};

    const NOW: u64 = START_MS / 1000;

    /// What becomes of a token whose claims are changed, at the start.
    fn with(change: impl FnOnce(&mut Value)) -> Result<String, u32> {
        let sim = Sim::new();
        let mut claims = sim.claims("guest-1");
        change(&mut claims);
        let token = signed(&token_header(), &claims, KEY.1);
        verify(&sim.twilio.settings(), START_MS, &token).map_err(|refusal| {
            assert_eq!(refusal.status, 401);
            refusal.code
        })
    }

    /// The same with one claim.
    fn claiming(name: &str, value: impl Into<Value>) -> Result<String, u32> {
        with(|claims| claims[name] = value.into())
    }

    #[test]
    fn a_token_as_twilios_libraries_sign_it_tells_who_is_behind_it() {
        let token = "eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiIsImN0eSI6InR3aWxpby1mcGE7dj0xIn0.eyJqdGkiOiJTSzAwMDAwMD\
            AwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAxLTE3MDAwMDAwMDAiLCJpc3MiOiJTSzAwMDAwMDAwMDAwMDAwMDAwMDAw\
            MDAwMDAwMDAwMDAxIiwic3ViIjoiQUMwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMSIsIm5iZiI6MTcwMD\
            AwMDAwMCwiZXhwIjoxNzAwMDAzNjAwLCJncmFudHMiOnsiaWRlbnRpdHkiOiJndWVzdC0xIiwiY2hhdCI6eyJzZXJ2\
            aWNlX3NpZCI6IklTMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDEifX19.i_uNErz-NBfk1Os-I38XGJ5GQ\
            cRueDPGeNmKguVfo1U";
        let sid = |prefix: &str| format!("{prefix}{:032x}", 1);
        let settings = Settings {
            account_sid: sid("AC"),
            chat_service_sid: sid("IS"),
            extra_auth: vec![(sid("SK"), "secret".to_owned())],
            ..Settings::default()
        };
        let at = |second: u64| verify(&settings, second * 1000, token).map_err(|refusal| refusal.code);
        assert_eq!(at(1_700_000_000), Ok("guest-1".to_owned()));
        assert_eq!(at(1_700_003_599), Ok("guest-1".to_owned()));
        assert_eq!([at(1_699_999_999), at(1_700_003_600)], [Err(20101), Err(20104)]);
    }

    #[test]
    fn the_grant_of_old_is_none() {
        let token = "eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiIsImN0eSI6InR3aWxpby1mcGE7dj0xIn0.eyJqdGkiOiJTS3h4eHh4eH\
            h4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4LTE0NTA0NzExNDciLCJpc3MiOiJTS3h4eHh4eHh4eHh4eHh4eHh4eHh4\
            eHh4eHh4eHh4eHh4Iiwic3ViIjoiQUN4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eCIsIm5iZiI6MTQ1MD\
            Q3MTE0NywiZXhwIjoxNDUwNDc0NzQ3LCJncmFudHMiOnsiaWRlbnRpdHkiOiJ1c2VyQGV4YW1wbGUuY29tIiwiaXBf\
            bWVzc2FnaW5nIjp7InNlcnZpY2Vfc2lkIjoiSVN4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eCIsImVuZH\
            BvaW50X2lkIjoiSGlwRmxvd1NsYWNrRG9ja1JDOnVzZXJAZXhhbXBsZS5jb206c29tZWlvc2RldmljZSJ9fX0.IHx8\
            KeH1acIfwnd8EIin3QBGPbfnF-yVnSFp5NpQJi0";
        let sid = |prefix: &str| format!("{prefix}{}", "x".repeat(32));
        let settings = Settings {
            account_sid: sid("AC"),
            chat_service_sid: sid("IS"),
            extra_auth: vec![(sid("SK"), "secret".to_owned())],
            ..Settings::default()
        };
        let refused = verify(&settings, 1_450_471_147_000, token).expect_err("no grant for a chat");
        assert_eq!((refused.code, &*refused.message), (20101, "Invalid Access Token: grants"));
    }

    #[test]
    fn a_token_that_another_hand_has_been_at_is_forged() {
        let sim = Sim::new();
        let verified = |token: &str| verify(&sim.twilio.settings(), START_MS, token).map_err(|no| no.code);
        let token = sim.token("guest-1");
        assert_eq!(verified(&token), Ok("guest-1".to_owned()));
        let parts: Vec<&str> = token.split('.').collect();
        let [header, claims, signature] = parts.as_slice() else { panic!("three parts: {token}") };
        let other = sim.token("guest-2");
        let others = other.split('.').nth(1).expect("claims");
        for forged in [
            String::new(),
            "a.b.c".to_owned(),
            format!("{header}.{claims}"),
            format!("{header}.{claims}."),
            format!("{token}.{signature}"),
            format!("{token}="),
            format!("{header}.{others}.{signature}"),
            signed(&token_header(), &sim.claims("guest-1"), "another secret"),
            signed(&token_header(), &json!(["guest-1"]), KEY.1),
        ] {
            assert_eq!(verified(&forged), Err(20101), "{forged}");
        }
    }

    #[test]
    fn the_header_is_twilios() {
        let sim = Sim::new();
        let with = |name: &str, value: Value| {
            let mut header = token_header();
            header[name] = value;
            let token = signed(&header, &sim.claims("guest-1"), KEY.1);
            verify(&sim.twilio.settings(), START_MS, &token).map_err(|refusal| refusal.code)
        };
        for (name, value) in
            [("alg", "none"), ("alg", "HS512"), ("alg", "hs256"), ("typ", "JWS"), ("cty", "twilio-fpa;v=2")]
        {
            assert_eq!(with(name, value.into()), Err(20101), "{name} {value}");
            assert_eq!(with(name, Value::Null), Err(20101), "no {name}");
        }
        assert!(with("twr", "ie1".into()).is_ok());
    }

    #[test]
    fn a_key_of_the_account_signs_for_the_account() {
        let account = Sim::new().twilio.settings().account_sid;
        for (name, value) in
            [("iss", "SK1"), ("iss", &*account), ("iss", ""), ("sub", KEY.0), ("sub", "AC1"), ("sub", "")]
        {
            assert_eq!(claiming(name, value), Err(20101), "{name} {value}");
            assert_eq!(claiming(name, Value::Null), Err(20101), "no {name}");
        }
        let sim = Sim::with(|settings| {
            settings.extra_auth = vec![(settings.account_sid.clone(), "secondary".to_owned())];
        });
        let mut claims = sim.claims("guest-1");
        claims["iss"] = account.into();
        let token = signed(&token_header(), &claims, "secondary");
        assert!(verify(&sim.twilio.settings(), START_MS, &token).is_err());
    }

    #[test]
    fn a_token_ends_with_its_key() {
        let sim = Sim::new();
        let token = sim.token("guest-1");
        sim.twilio.change_settings(|settings| settings.extra_auth[0].1 = "rotated".to_owned());
        assert!(verify(&sim.twilio.settings(), START_MS, &token).is_err());
        sim.twilio.change_settings(|settings| settings.extra_auth.push((KEY.0.to_owned(), KEY.1.to_owned())));
        assert!(verify(&sim.twilio.settings(), START_MS, &token).is_ok());
    }

    #[test]
    fn a_token_lives_until_its_end() {
        let sim = Sim::new();
        let token = sim.token("guest-1");
        let at = |ms: u64| verify(&sim.twilio.settings(), ms, &token).map_err(|refusal| refusal.code);
        assert_eq!(at(START_MS + 3_599_999), Ok("guest-1".to_owned()));
        assert_eq!(at(START_MS + 3_600_000), Err(20104));
        for exp in [json!(NOW), json!(0), json!(-1), json!("tomorrow"), json!(1.5e9), Value::Null] {
            assert_eq!(claiming("exp", exp.clone()), Err(20104), "{exp}");
        }
    }

    #[test]
    fn a_token_lives_for_a_day_at_most() {
        let day = 24 * 3600;
        let living = |starts: &[(&str, u64)], exp: u64| {
            with(|claims| {
                claims["exp"] = exp.into();
                for (name, start) in starts {
                    claims[*name] = (*start).into();
                }
            })
            .err()
        };
        assert_eq!([living(&[], NOW + day), living(&[], NOW + day + 1)], [None, Some(20157)]);
        for name in ["nbf", "iat"] {
            let since = [(name, NOW - 60)];
            assert_eq!(living(&since, NOW - 60 + day), None, "{name}");
            assert_eq!(living(&since, NOW - 60 + day + 1), Some(20157), "{name}");
        }
        assert_eq!(living(&[("nbf", NOW - 60), ("iat", NOW)], NOW + day), Some(20157));
        // A clock that is ahead makes no longer day, and milliseconds are no seconds.
        assert_eq!(living(&[("iat", NOW + 60)], NOW + 60 + day), Some(20157));
        assert_eq!(living(&[], START_MS + 3_600_000), Some(20157));
    }

    #[test]
    fn a_token_is_not_valid_before_its_time() {
        assert_eq!(claiming("nbf", NOW), Ok("guest-1".to_owned()));
        assert_eq!(claiming("nbf", NOW + 1), Err(20101));
        for name in ["nbf", "iat"] {
            assert_eq!(claiming(name, "now"), Err(20101), "{name}");
        }
    }

    #[test]
    fn a_token_grants_a_chat_in_our_service_to_somebody() {
        let service = Sim::new().twilio.settings().chat_service_sid;
        for grants in [
            Value::Null,
            json!({}),
            json!({ "identity": "guest-1" }),
            json!({ "identity": "guest-1", "chat": {} }),
            json!({ "identity": "guest-1", "chat": { "service_sid": "IS1" } }),
            json!({ "identity": "guest-1", "video": { "service_sid": service } }),
            json!({ "chat": { "service_sid": service } }),
            json!({ "identity": 1, "chat": { "service_sid": service } }),
            json!({ "identity": "", "chat": { "service_sid": service } }),
        ] {
            assert_eq!(claiming("grants", grants.clone()), Err(20101), "{grants}");
        }
    }
}
