//! JSON Web Tokens: access tokens of web chats, and what sites sign of their customers. What we signed we take; what
//! anybody changed, or signed otherwise, lets nobody in.
//!
//! An input is a token, or `{"header": …, "claims": …}` to be signed, or any other text: then it is an identity.

use std::time::Duration;

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;
use shared::{
    access_token::{Admission, Admitted, ApiKey, Audience, LONGEST, Refused},
    jws::{self, JwsError, Unverified},
    secrets::Secret,
};

use super::{
    alike,
    change::{drawn_from, one_byte_of},
    stub::{CUSTOMER_SECRET, NOW, SIGNING_KEY, settings},
    web_chat_forms::begin,
};

/// More than any token has, as the modules say.
const LONGEST_TOKEN: usize = 4096;

/// Tries to get in.
pub fn run(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    shown(text);
    shown_as_customer(text);
    if let Ok(Value::Object(parts)) = serde_json::from_str(text)
        && let (Some(header), Some(claims)) = (parts.get("header"), parts.get("claims"))
    {
        signed(text, header, claims);
    } else {
        minted(text);
    }
}

fn audience() -> Audience {
    let settings = settings();
    Audience { account: settings.account, service: settings.chat_service, region: None }
}

fn key() -> ApiKey {
    ApiKey { sid: SIGNING_KEY.0.parse().expect("a SID"), secret: Secret::new(SIGNING_KEY.1) }
}

/// Whoever gets in has shown what our key has signed, for us, for now.
fn shown(token: &str) {
    let Ok(admitted) = audience().admits(&key(), token, NOW) else { return };
    let (header, claims) = read(token, SIGNING_KEY.1).expect("signed by us");
    assert_eq!((&header["alg"], &header["typ"], &header["cty"]), expected_header());
    assert_eq!((&claims["iss"], &claims["sub"]), (&json!(SIGNING_KEY.0), &json!(audience().account)));
    assert_eq!(claims["grants"]["chat"]["service_sid"], json!(audience().service));
    assert_eq!(claims["grants"]["identity"], json!(admitted.identity));
    let (from, until) = (claims["nbf"].as_u64(), claims["exp"].as_u64().expect("it ends"));
    assert!(until > NOW.as_seconds() && from.unwrap_or_default() <= NOW.as_seconds());
    assert!(from.is_none_or(|from| until - from <= LONGEST.as_secs()));
    assert!(header["twr"].is_null(), "of another region");
}

fn expected_header() -> (&'static Value, &'static Value, &'static Value) {
    use std::sync::LazyLock;
    static HEADER: LazyLock<[Value; 3]> =
        LazyLock::new(|| ["HS256", "JWT", "twilio-fpa;v=1"].map(Value::from));
    (&HEADER[0], &HEADER[1], &HEADER[2])
}

/// Whoever is taken for a customer has shown what the site has signed, for now.
fn shown_as_customer(token: &str) {
    let begun = begin(json!({"formData": {"customerToken": token}}).to_string().as_bytes());
    match begun.status {
        403 => assert_eq!(begun.body["error"], "customer_refused"),
        413 | 422 => assert!(token.len() > LONGEST_TOKEN, "{}", begun.body),
        503 if token.trim().is_empty() => {}
        503 => {
            let (header, claims) = read(token, CUSTOMER_SECRET).expect("signed by the site");
            assert_eq!(header["alg"], "HS256");
            let until = claims["exp"].as_u64().expect("it ends");
            assert!((1..=3600).contains(&(until.saturating_sub(NOW.as_seconds()))), "{until}");
            let id = claims["sub"].as_str().expect("somebody");
            assert!((1..=128).contains(&id.len()) && !id.contains(['@', '+', ' ']), "{id}");
        }
        other => panic!("{other}: {}", begun.body),
    }
}

/// Header and claims of a token that this secret signed, read without the code that is looked at.
fn read(token: &str, secret: &str) -> Option<(Value, Value)> {
    let parts: Vec<_> = token.split('.').collect();
    let [header, claims, signature] = parts.try_into().ok()?;
    let decode = |part: &str| BASE64_URL_SAFE_NO_PAD.decode(part).ok();
    let mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("any length will do");
    let mac = mac.chain_update(header).chain_update(".").chain_update(claims);
    mac.verify_slice(&decode(signature)?).ok()?;
    let json = |part| serde_json::from_slice(&decode(part)?).ok();
    Some((json(header)?, json(claims)?))
}

/// What is signed is read as it was, by whoever has the secret and nobody else; no change of it is.
fn signed(input: &str, header: &Value, claims: &Value) {
    for secret in [SIGNING_KEY.1, CUSTOMER_SECRET] {
        let token = jws::sign(header, claims, &Secret::new(secret));
        if token.len() > LONGEST_TOKEN {
            assert_eq!(taken_apart(&token).map(drop), Err(JwsError::Malformed));
            continue;
        }
        let (read, unverified) = taken_apart(&token).expect("as it was signed");
        assert!(alike(&read, header));
        assert!(unverified.claims::<Value>(&Secret::new(secret)).is_ok_and(|read| alike(&read, claims)));
        assert_eq!(unverified.claims::<Value>(&Secret::new("another")), Err(JwsError::Forged));
        shown(&token);
        shown_as_customer(&token);
        let mut rng = drawn_from(input.as_bytes());
        for changed in (0..4).filter_map(|_| one_byte_of(&token, &mut rng)) {
            let holds =
                taken_apart(&changed).is_ok_and(|(_, read)| read.is_signed_with(&Secret::new(secret)));
            assert!(!holds, "{changed} was {token}");
        }
        let (text, _) = token.rsplit_once('.').expect("three parts");
        assert!(audience().admits(&key(), &format!("{text}."), NOW).is_err(), "without any signature");
    }
}

fn taken_apart(token: &str) -> Result<(Value, Unverified<'_>), JwsError> {
    jws::take_apart(token)
}

/// What we mint lets in whom it names, until its end; no change of it lets in anybody.
fn minted(identity: &str) {
    let mut rng = drawn_from(identity.as_bytes());
    let lifetime = Duration::from_secs(rng.u64(1..100_000));
    let Admission { token, until } = audience().token(&key(), identity, lifetime, NOW);
    let token = token.expose();
    let admitted = audience().admits(&key(), token, NOW);
    if token.len() > LONGEST_TOKEN {
        assert!(identity.len() > 100, "guests have 38 letters");
        assert_eq!(admitted, Err(Refused::Malformed));
        return;
    }
    assert_eq!(admitted, Ok(Admitted { identity: identity.to_owned(), until }));
    assert!(until.since(NOW) <= lifetime.min(LONGEST));
    assert_eq!(audience().admits(&key(), token, until), Err(Refused::Untimely));
    let another = ApiKey { secret: Secret::new("another"), ..key() };
    assert_eq!(audience().admits(&another, token, NOW), Err(Refused::Forged));
    for changed in (0..4).filter_map(|_| one_byte_of(token, &mut rng)) {
        let admitted = audience().admits(&key(), &changed, NOW);
        assert!(admitted.is_err(), "{changed} was {token}");
    }
}

/// Changes every letter of a token that lets somebody in to others. How many changes were tried.
///
/// # Panics
/// Where one of them lets somebody in.
#[must_use]
pub fn every_byte() -> usize {
    let minted = audience().token(&key(), "guest-1", Duration::from_hours(1), NOW);
    let token = minted.token.expose();
    let mut tried = 0;
    for at in 0..token.len() {
        let others = b"ABQZabgqwz0189-_.=+/ ".iter().copied();
        for other in others.filter(|other| *other != token.as_bytes()[at]) {
            let mut changed = token.as_bytes().to_vec();
            changed[at] = other;
            let changed = String::from_utf8(changed).expect("ASCII");
            assert!(audience().admits(&key(), &changed, NOW).is_err(), "{changed}");
            tried += 1;
        }
    }
    tried
}
