//! Who may have a web chat and who may not: `webchat-token` is open to the whole internet.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use flexglue::local::{
    gateway::{EventShape, Routes},
    system::{API_KEY, END_CHAT_PATH, INIT_WEBCHAT_PATH, REFRESH_TOKEN_PATH, SITE_ORIGIN},
};
use flexglue_tests::{
    chat::{begin, begun, end, from_source, refresh, sent},
    front::handed_over,
    outbound::{Told, request},
    rig::{Rig, forever},
    turnstile::{self, Mood, Turnstile},
    wires::Meter,
};
use http::{Method, Request};
use serde_json::{Value, json};
use shared::{
    access_token::{ApiKey, Audience},
    clock::Timestamp,
    config::SecretSettings,
    gateway::HttpFunction as _,
    jws,
    secrets::{Credentials, Secret},
    webhook::RawRequest,
};
use simulator::Reason;

const PATHS: [&str; 3] = [INIT_WEBCHAT_PATH, REFRESH_TOKEN_PATH, END_CHAT_PATH];

/// A secret of a site.
const SITE_SECRET: &str = "0123456789abcdef0123456789abcdef";

fn audience(rig: &Rig) -> Audience {
    let account = rig.system.twilio.settings();
    Audience {
        account: account.account_sid.parse().unwrap(),
        service: account.chat_service_sid.parse().unwrap(),
        region: None,
    }
}

fn key(sid: &str, secret: &str) -> ApiKey {
    ApiKey { sid: sid.parse().unwrap(), secret: Secret::new(secret) }
}

fn our_key() -> ApiKey {
    key(API_KEY.0, API_KEY.1)
}

/// A token for a chat as somebody else would make it.
fn token(audience: &Audience, key: &ApiKey, identity: &str, at: Timestamp) -> String {
    audience.token(key, identity, Duration::from_hours(1), at).token.expose().to_owned()
}

/// The claims of a token, and its parts.
fn claims(token: &str) -> Value {
    use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
    let part = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

/// A request that is refused, and how.
struct Bad {
    what: &'static str,
    request: Request<Bytes>,
    status: u16,
    error: &'static str,
}

fn bad(what: &'static str, status: u16, error: &'static str, request: Request<Bytes>) -> Bad {
    Bad { what, request, status, error }
}

/// Bodies that are none of what `/initWebchat` takes.
fn bad_bodies() -> Vec<Bad> {
    let post = |body: &str| sent(INIT_WEBCHAT_PATH, "203.0.113.1", body);
    let form = |form: Value| post(&json!({ "formData": form }).to_string());
    let typed = |kind: &str| {
        request(Method::POST, INIT_WEBCHAT_PATH, &[("origin", SITE_ORIGIN), ("content-type", kind)], "{}")
    };
    vec![
        bad("nothing", 400, "malformed", post("")),
        bad("half of it", 400, "malformed", post("{\"formData\":")),
        bad("a list", 400, "malformed", post("[]")),
        bad("a text", 400, "malformed", post("\"x\"")),
        bad(
            "no UTF-8",
            400,
            "malformed",
            post("{\"a\":\"\u{fffd}\"").map(|_| Bytes::from_static(b"{\"a\":\"\xff\"}")),
        ),
        bad("a form", 400, "not_json", typed("application/x-www-form-urlencoded")),
        bad("plain text, which needs no preflight", 400, "not_json", typed("text/plain")),
        bad("huge", 413, "too_large", post(&format!("{{\"a\":\"{}\"}}", "x".repeat(16 * 1024)))),
        bad("larger than any function takes", 413, "too_large", post(&"x".repeat(100 * 1024))),
        bad("deep", 400, "malformed", post(&format!("{}{}", "{\"a\":".repeat(2000), "}".repeat(2000)))),
        bad("deep where depth is counted", 422, "invalid", form(json!({"a": {"b": {"c": {"d": {}}}}}))),
        bad("a form that is a list", 422, "invalid", form(json!([]))),
        bad("a name that is a number", 422, "invalid", form(json!({"friendlyName": 7}))),
        bad("a long name", 422, "invalid", form(json!({"friendlyName": "x".repeat(201)}))),
        bad("a query that is an object", 422, "invalid", form(json!({"query": {"body": "x"}}))),
        bad("a long query", 422, "invalid", form(json!({"query": "x".repeat(1601)}))),
        bad("too much", 422, "invalid", form(json!({"notes": "x".repeat(3000)}))),
        bad(
            "a customer whom nobody has signed",
            403,
            "customer_refused",
            form(json!({"customerToken": "x"})),
        ),
    ]
}

/// Origins that are not ours to the letter.
fn bad_origins() -> Vec<Bad> {
    let from = |what, origin: Option<&str>, path: &str| {
        let mut headers = vec![("content-type", "application/json")];
        headers.extend(origin.map(|origin| ("origin", origin)));
        bad(what, 403, "origin_not_allowed", request(Method::POST, path, &headers, "{}"))
    };
    vec![
        from("no origin", None, INIT_WEBCHAT_PATH),
        from("no origin, for a token", None, REFRESH_TOKEN_PATH),
        from("no origin, for an end", None, END_CHAT_PATH),
        from("a null origin", Some("null"), INIT_WEBCHAT_PATH),
        from("an empty origin", Some(""), INIT_WEBCHAT_PATH),
        from("another site", Some("https://evil.example"), INIT_WEBCHAT_PATH),
        from("a dot at its end", Some("https://shop.example."), INIT_WEBCHAT_PATH),
        from("a slash at its end", Some("https://shop.example/"), INIT_WEBCHAT_PATH),
        from("another scheme", Some("http://shop.example"), INIT_WEBCHAT_PATH),
        from("another port", Some("https://shop.example:8443"), INIT_WEBCHAT_PATH),
        from("the default port said", Some("https://shop.example:443"), INIT_WEBCHAT_PATH),
        from("another case", Some("https://Shop.example"), INIT_WEBCHAT_PATH),
        from("ours as a beginning", Some("https://shop.example.evil.example"), INIT_WEBCHAT_PATH),
        from("ours as an end", Some("https://evil-shop.example"), INIT_WEBCHAT_PATH),
        from("a part of ours", Some("https://www.shop.example"), INIT_WEBCHAT_PATH),
        from("two at once", Some("https://shop.example, https://evil.example"), INIT_WEBCHAT_PATH),
        from("everything", Some("*"), INIT_WEBCHAT_PATH),
    ]
}

/// Texts that are no token of this chat, for both routes that take one.
fn bad_tokens(rig: &Rig, good: &str, guest: &str) -> Vec<Bad> {
    let now = rig.system.clock.now();
    let ours = audience(rig);
    let header = |algorithm: &str| json!({"typ": "JWT", "alg": algorithm, "cty": "twilio-fpa;v=1"});
    let secret = Secret::new(API_KEY.1);
    let changed = |change: &dyn Fn(&mut Value)| {
        let mut claims = claims(good);
        change(&mut claims);
        jws::sign(&header("HS256"), &claims, &secret)
    };
    let unsigned = |algorithm: &str| {
        let signed = jws::sign(&header(algorithm), &claims(good), &secret);
        format!("{}.", signed.rsplit_once('.').unwrap().0)
    };
    let other_account = Audience { account: format!("AC{:032}", 9).parse().unwrap(), ..ours.clone() };
    let other_service = Audience { service: format!("IS{:032}", 9).parse().unwrap(), ..ours.clone() };
    let other_region = Audience { region: Some("ie1".to_owned()), ..ours.clone() };
    let signature_cut = good[..good.len() - 2].to_owned();
    let long_ago = Timestamp::from_seconds(now.as_seconds() - 7200);
    let tokens = [
        ("no token", String::new()),
        ("no token at all", "x.y.z".to_owned()),
        ("a long text", "x".repeat(8000)),
        ("forged with another secret", token(&ours, &key(API_KEY.0, "guessed"), guest, now)),
        ("signed by another key", token(&ours, &key(&format!("SK{:032}", 9), "guessed"), guest, now)),
        ("ours, in another key's name", token(&ours, &key(&format!("SK{:032}", 9), API_KEY.1), guest, now)),
        ("its signature cut", signature_cut),
        ("alg: none", unsigned("none")),
        ("alg: None", unsigned("None")),
        ("alg: HS512", jws::sign(&header("HS512"), &claims(good), &secret)),
        ("no signature", unsigned("HS256")),
        ("of another account", token(&other_account, &our_key(), guest, now)),
        ("of another service", token(&other_service, &our_key(), guest, now)),
        ("of another region", token(&other_region, &our_key(), guest, now)),
        ("expired", token(&ours, &our_key(), guest, long_ago)),
        ("not valid yet", changed(&|claims| claims["nbf"] = (now.as_seconds() + 600).into())),
        ("valid for a week", changed(&|claims| claims["exp"] = (now.as_seconds() + 7 * 86_400).into())),
        ("without an end", changed(&|claims| drop(claims.as_object_mut().unwrap().remove("exp")))),
        ("without a chat", changed(&|claims| drop(claims["grants"].as_object_mut().unwrap().remove("chat")))),
        ("of an agent", token(&ours, &our_key(), "alice_40example_2Ecom", now)),
        ("of a guest whom nobody knows", token(&ours, &our_key(), &format!("guest-{:032x}", 9), now)),
        ("of a guest by another name", token(&ours, &our_key(), &guest.to_uppercase(), now)),
    ];
    let mut bad = Vec::new();
    for path in [REFRESH_TOKEN_PATH, END_CHAT_PATH] {
        for (what, token) in &tokens {
            let request = sent(path, "203.0.113.1", &json!({ "token": token }).to_string());
            bad.push(self::bad(what, 403, "token_refused", request));
        }
        for body in ["{}", r#"{"token":7}"#, r#"{"token":["x"]}"#, r#"{"token":null}"#] {
            bad.push(self::bad("none", 403, "token_refused", sent(path, "203.0.113.1", body)));
        }
    }
    bad
}

/// Methods and paths that there are not, as a function URL would hand them over.
fn bad_methods() -> Vec<Bad> {
    let ask = |method, path: &str| request(method, path, &[("origin", SITE_ORIGIN)], "");
    let mut bad: Vec<_> = [Method::GET, Method::PUT, Method::DELETE, Method::PATCH, Method::HEAD]
        .map(|method| self::bad("a wrong method", 405, "method_not_allowed", ask(method, INIT_WEBCHAT_PATH)))
        .into();
    for path in ["/", "/email", "/initwebchat", "/initWebchat/x", "/endChats"] {
        bad.push(self::bad("nothing", 404, "not_found", ask(Method::POST, path)));
    }
    bad
}

#[tokio::test(start_paused = true)]
async fn whatever_is_sent_that_is_not_good_is_refused_and_changes_nothing() {
    let rig = Rig::new();
    let function = rig.system.webchat_token(&rig.system.world().await);
    let chat = begun(&rig.front().await).await;
    let (good, guest) = (chat.text("token"), chat.text("identity"));
    let before =
        (rig.system.twilio.requests().len(), rig.system.dynamo.items(&rig.system.settings.table).unwrap());
    let mut all = bad_bodies();
    all.extend(bad_origins());
    all.extend(bad_tokens(&rig, &good, &guest));
    all.extend(bad_methods());
    assert!(all.len() > 90, "{}", all.len());
    for Bad { what, request, status, error } in all {
        let route = format!("{what}: {} {}", request.method(), request.uri().path());
        let is_from_site = request.headers().get("origin").is_some_and(|origin| origin == SITE_ORIGIN);
        // As a function URL hands it over, which has no routes of its own.
        let event = handed_over(EventShape::FunctionUrl, &request, "203.0.113.1");
        let raw = RawRequest::from_lambda(serde_json::from_value(event).unwrap()).unwrap();
        let answer = function.handle(raw, forever()).await;
        let told = Told::of(&answer);
        assert_eq!((told.status, &*told.text("error")), (status, error), "{route}: {told:?}");
        assert_eq!(answer.headers().contains_key("access-control-allow-origin"), is_from_site, "{route}");
        assert_eq!(answer.headers()["vary"], "Origin", "{route}");
        let said = told.body.to_string();
        assert!(!said.contains(&guest) && !said.contains("CH") && !said.contains("eyJ"), "{route}: {said}");
    }
    let after =
        (rig.system.twilio.requests().len(), rig.system.dynamo.items(&rig.system.settings.table).unwrap());
    assert_eq!(after, before);
    assert_eq!(refresh(&rig.front().await, &good).await.status, 200, "and the good one is as good as before");
}

#[tokio::test(start_paused = true)]
async fn a_closed_conversation_and_an_ended_chat_have_no_more_tokens() {
    let rig = Rig::new();
    let front = rig.front().await;
    let [closed, ended] = [begun(&front).await, begun(&front).await];
    rig.system.twilio.close_conversation(&closed.text("conversationSid"), Reason::Timer).unwrap();
    assert_eq!(end(&front, &ended.text("token")).await.status, 204);
    for chat in [closed, ended] {
        let told = refresh(&front, &chat.text("token")).await;
        assert_eq!((told.status, &*told.text("error")), (403, "chat_over"));
        assert_eq!(end(&front, &chat.text("token")).await.status, 204, "but ending it is no mistake");
    }
}

#[tokio::test(start_paused = true)]
async fn preflights_are_answered_for_our_site_and_for_no_other() {
    let rig = Rig::new();
    let front = rig.front().await;
    for path in PATHS {
        let ask = |origin: &str| {
            let headers = [
                ("origin", origin),
                ("access-control-request-method", "POST"),
                ("access-control-request-headers", "content-type"),
            ];
            request(Method::OPTIONS, path, &headers, "")
        };
        let answer = front.handle(ask(SITE_ORIGIN)).await;
        assert_eq!(answer.status(), 204);
        for (name, value) in [
            ("access-control-allow-origin", SITE_ORIGIN),
            ("access-control-allow-methods", "POST"),
            ("access-control-allow-headers", "content-type"),
            ("access-control-max-age", "600"),
            ("vary", "Origin"),
        ] {
            assert_eq!(answer.headers()[name], value, "{path}");
        }
        for origin in ["null", "https://evil.example", "https://shop.example."] {
            let answer = front.handle(ask(origin)).await;
            assert_eq!(answer.status(), 403, "{path} {origin}");
            assert!(
                !answer.headers().keys().any(|name| name.as_str().starts_with("access-control")),
                "{origin}"
            );
            assert_eq!(answer.headers()["vary"], "Origin");
        }
        let nowhere = front.handle(request(Method::OPTIONS, path, &[], "")).await;
        assert_eq!(nowhere.status(), 403, "{path}");
    }
    let begun = front.handle(sent(INIT_WEBCHAT_PATH, "203.0.113.1", "{}")).await;
    assert_eq!(begun.headers()["access-control-allow-origin"], SITE_ORIGIN);
    assert_eq!(begun.headers()["cache-control"], "no-store");
    assert!(rig.metric("OriginRefused") > 0);
}

#[tokio::test(start_paused = true)]
async fn anywhere_is_allowed_where_that_is_asked_for_twice() {
    let variables = [("WEBCHAT_ALLOWED_ORIGINS", "*"), ("WEBCHAT_ALLOW_ANY_ORIGIN", "true")];
    let rig = Rig::with(1, |_| {}, &variables);
    let front = rig.front().await;
    for origin in ["https://evil.example", "null"] {
        let headers = [("origin", origin), ("content-type", "application/json")];
        let answer = front.handle(request(Method::POST, INIT_WEBCHAT_PATH, &headers, "{}")).await;
        assert_eq!(
            (answer.status().as_u16(), &answer.headers()["access-control-allow-origin"]),
            (200, &origin.parse().unwrap())
        );
    }
    let nowhere = front.handle(request(Method::POST, INIT_WEBCHAT_PATH, &[], "{}")).await;
    assert_eq!(nowhere.status(), 200);
}

async fn starts(front: &Routes, source: &str, headers: &[(&str, &str)]) -> Told {
    let mut all = vec![("origin", SITE_ORIGIN), ("content-type", "application/json")];
    all.extend(headers);
    Told::of(&front.handle(from_source(request(Method::POST, INIT_WEBCHAT_PATH, &all, "{}"), source)).await)
}

#[tokio::test(start_paused = true)]
async fn a_thousand_starts_from_one_address_are_ten_chats_and_others_are_not_hurt() {
    let rig = Rig::new();
    let front = rig.front().await;
    let mut began = 0;
    for number in 0..1000_u32 {
        // Whatever they say of where they are from.
        let claimed = format!("198.51.100.{}", number % 250);
        let headers =
            [("x-forwarded-for", claimed.as_str()), ("cf-connecting-ip", &claimed), ("x-real-ip", &claimed)];
        let told = starts(&front, "203.0.113.7", &headers).await;
        match told.status {
            200 => began += 1,
            429 => {
                let wait = told.retry_after.unwrap();
                assert!((1..=60).contains(&wait), "{told:?}");
                assert_eq!(told.text("error"), "rate_limited");
            }
            _ => panic!("{told:?}"),
        }
        rig.pass(Duration::from_millis(59)).await;
    }
    assert_eq!(began, 10, "though they were spread over the minute");
    assert_eq!(rig.system.twilio.conversations().len(), 10);
    assert_eq!(starts(&front, "203.0.113.8", &[]).await.status, 200);
    rig.pass(Duration::from_secs(1)).await;
    assert_eq!(starts(&front, "203.0.113.7", &[]).await.status, 200, "the minute is over");
    let items = rig.system.dynamo.items(&rig.system.settings.table).unwrap();
    assert!(!Value::from(items).to_string().contains("203.0.113"), "no address is kept");
}

/// All at once, over two instances.
#[tokio::test(start_paused = true)]
async fn a_crowd_from_one_address_does_not_slip_past_its_limit() {
    use futures_util::future::join_all;
    for seed in 0..3 {
        let rig = Rig::with(seed, |_| {}, &[]);
        let fronts = [rig.front_in(&rig.unhurried_world().await), rig.front_in(&rig.unhurried_world().await)];
        let fronts = &fronts;
        let all = (0..200)
            .map(|number| async move { starts(&fronts[number % 2], "203.0.113.7", &[]).await.status });
        let answers = join_all(all).await;
        assert_eq!(answers.iter().filter(|status| **status == 200).count(), 10, "seed {seed}: {answers:?}");
        assert!(answers.iter().all(|status| [200, 429].contains(status)), "seed {seed}: {answers:?}");
    }
}

/// One customer's line has 64 bits of IPv6 addresses to choose from.
#[tokio::test(start_paused = true)]
async fn the_addresses_of_one_line_are_one() {
    let rig = Rig::with(1, |_| {}, &[("WEBCHAT_RATE_PER_MINUTE", "2")]);
    let front = rig.front().await;
    let mut answers = Vec::new();
    for source in ["2001:db8:0:1::1", "2001:db8:0:1:ffff::2", "2001:db8:0:1::3", "2001:db8:0:2::1"] {
        answers.push(starts(&front, source, &[]).await.status);
    }
    assert_eq!(answers, [200, 200, 429, 200]);
}

#[tokio::test(start_paused = true)]
async fn a_site_has_a_limit_of_its_own_which_refused_starts_do_not_use_up() {
    let variables = [
        ("WEBCHAT_RATE_PER_MINUTE", "2"),
        ("WEBCHAT_SITE_RATE_PER_MINUTE", "4"),
        ("WEBCHAT_ALLOWED_ORIGINS", "https://shop.example,https://help.example"),
    ];
    let rig = Rig::with(1, |_| {}, &variables);
    let front = rig.front().await;
    for status in [200, 200, 429, 429, 429] {
        assert_eq!(starts(&front, "203.0.113.1", &[]).await.status, status);
    }
    assert_eq!(starts(&front, "203.0.113.2", &[]).await.status, 200);
    assert_eq!(starts(&front, "203.0.113.3", &[]).await.status, 200);
    let told = starts(&front, "203.0.113.4", &[]).await;
    assert_eq!((told.status, told.retry_after), (429, Some(60)));
    let headers = [("origin", "https://help.example")];
    let elsewhere = request(Method::POST, INIT_WEBCHAT_PATH, &headers, "{}");
    assert_eq!(front.handle(from_source(elsewhere, "203.0.113.5")).await.status(), 200, "another site");
}

#[tokio::test(start_paused = true)]
async fn tokens_are_refreshed_so_often_a_minute_and_no_more() {
    let rig = Rig::new();
    let front = rig.front().await;
    let chat = begun(&front).await;
    for _ in 0..20 {
        assert_eq!(refresh(&front, &chat.text("token")).await.status, 200);
    }
    let told = refresh(&front, &chat.text("token")).await;
    assert_eq!((told.status, told.retry_after), (429, Some(60)));
    assert_eq!(end(&front, &chat.text("token")).await.status, 204, "it may be ended all the same");
}

/// The limit holds for all instances together but for the five that each lets pass, and is over with its minute.
#[tokio::test(start_paused = true)]
async fn many_instances_refresh_hardly_more_tokens_than_one() {
    let rig = Rig::new();
    let chat = begun(&rig.front().await).await;
    for minute in 0..3 {
        let mut given = 0;
        for _ in 0..4 {
            let front = rig.front().await;
            for _ in 0..20 {
                given += u32::from(refresh(&front, &chat.text("token")).await.status == 200);
            }
        }
        assert_eq!(given, 4 * 5 + 15, "minute {minute}");
        rig.pass(Duration::from_mins(1)).await;
    }
}

/// A few tabs cost a read each, and one write where a token outlives those before.
#[tokio::test(start_paused = true)]
async fn whoever_asks_for_a_few_tokens_costs_reads_alone() {
    let rig = Rig::new();
    let chat = begun(&rig.front().await).await;
    let meter = Meter::default();
    let world = rig.system.world_through(|to| to, |to| meter.wire(to)).await;
    let (front, asked) = (rig.front_in(&world), rig.system.twilio.requests().len());
    for _ in 0..5 {
        let told = refresh(&front, &chat.text("token")).await;
        assert_eq!((told.status, &told.body["expiration"]), (200, &chat.body["expiration"]));
    }
    assert_eq!(meter.requests(), (5, 0));
    assert_eq!(rig.system.twilio.requests().len() - asked, 1, "what Twilio said is believed for 20 s");
    rig.pass(Duration::from_mins(16)).await;
    for _ in 0..5 {
        assert_eq!(refresh(&front, &chat.text("token")).await.status, 200);
    }
    assert_eq!(meter.requests(), (10, 1));
}

/// A front whose CAPTCHA's provider is this one.
async fn guarded(rig: &Rig, provider: &Turnstile) -> Routes {
    let mut world = rig.system.world().await;
    world.web = Arc::new(provider.clone());
    rig.front_in(&world)
}

#[tokio::test(start_paused = true)]
async fn where_a_captcha_is_asked_for_nobody_begins_without_having_passed_it() {
    let rig = Rig::with(1, |_| {}, &[("WEBCHAT_CAPTCHA_SECRET", turnstile::SECRET)]);
    let provider = Turnstile::new(Mood::Well);
    let front = guarded(&rig, &provider).await;
    for (form, status) in [
        (json!({}), 403),
        (json!({"captchaToken": ""}), 403),
        (json!({"captchaToken": "robot"}), 403),
        (json!({"captchaToken": "person-1", "query": "Hello"}), 200),
        (json!({"captchaToken": "person-1", "query": "Hello"}), 403),
        (json!({"captchaToken": "person-2"}), 200),
    ] {
        let told = begin(&front, &form).await;
        assert_eq!(told.status, status, "{form}: {told:?}");
        assert!(status == 200 || told.text("error") == "captcha_refused");
    }
    assert_eq!(rig.system.twilio.conversations().len(), 2);
    assert_eq!(rig.metric("CaptchaRefused"), 4);
    let asked = provider.seen();
    let expected = [("secret", turnstile::SECRET), ("response", "robot"), ("remoteip", "203.0.113.1")];
    assert_eq!(asked[0], expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    assert_eq!(asked.len(), 4, "an empty token is not asked about");
    let kept = Value::from(rig.system.dynamo.items(&rig.system.settings.table).unwrap()).to_string();
    assert!(!kept.contains("person-"), "and none is kept or told to Twilio");
}

/// The provider is asked about nobody who is over their limit.
#[tokio::test(start_paused = true)]
async fn a_captcha_without_a_verdict_lets_nobody_in() {
    for mood in [Mood::Status(500), Mood::Status(403), Mood::Garbled, Mood::Silent] {
        let rig = Rig::with(1, |_| {}, &[("WEBCHAT_CAPTCHA_SECRET", turnstile::SECRET)]);
        let provider = Turnstile::new(mood);
        let front = guarded(&rig, &provider).await;
        for _ in 0..10 {
            let told = begin(&front, &json!({"captchaToken": "person-1"})).await;
            assert_eq!((told.status, told.retry_after), (503, Some(2)), "{mood:?}");
            rig.pass(Duration::from_secs(1)).await;
        }
        assert!(rig.system.twilio.requests().is_empty());
        if mood != Mood::Silent {
            let told = begin(&front, &json!({"captchaToken": "person-1"})).await;
            assert_eq!(told.status, 429, "{mood:?}");
            assert_eq!(provider.seen().len(), 10);
        }
    }
    let rig = Rig::with(1, |_| {}, &[("WEBCHAT_CAPTCHA_SECRET", "another secret")]);
    let front = guarded(&rig, &Turnstile::new(Mood::Well)).await;
    let told = begin(&front, &json!({"captchaToken": "person-1"})).await;
    assert_eq!(told.status, 503, "the mistake is ours, and nobody is called a robot for it");
}

#[tokio::test(start_paused = true)]
async fn a_customer_whom_the_site_has_signed_is_known_by_their_id() {
    let rig = Rig::with(1, |_| {}, &[("WEBCHAT_CUSTOMER_SECRET", SITE_SECRET)]);
    let front = rig.front().await;
    let signed = |secret: &str, lifetime: u64| {
        let exp = rig.system.clock.now().as_seconds() + lifetime;
        let claims = json!({"sub": "cust_42", "name": "Ada Lovelace", "exp": exp});
        jws::sign(&json!({"alg": "HS256", "typ": "JWT"}), &claims, &Secret::new(secret))
    };
    let form = |token: &str| json!({"friendlyName": "Eve", "customerId": "cust_1", "customerToken": token, "query": "Hello"});
    for token in
        [signed("another secret, as long as ours", 60), signed(SITE_SECRET, 0), signed(SITE_SECRET, 7200)]
    {
        let told = begin(&front, &form(&token)).await;
        assert_eq!((told.status, &*told.text("error")), (403, "customer_refused"));
    }
    assert!(rig.system.twilio.requests().is_empty());
    let token = signed(SITE_SECRET, 60);
    let told = begin(&front, &form(&token)).await;
    assert_eq!(told.status, 200, "{told:?}");
    assert!(!told.text("identity").contains("42"));
    rig.deliver_all(&front).await;
    let sid = told.text("conversationSid");
    let task = rig.live_interactions(&sid).remove(0).task_sid;
    let attributes = rig.system.twilio.task(&task).unwrap().attributes;
    assert_eq!(attributes["customerId"], "cust_42");
    assert_eq!(attributes["customerName"], "Ada Lovelace");
    assert_eq!(attributes["preEngagement"], json!({"friendlyName": "Ada Lovelace", "customerId": "cust_1"}));
    assert!(!rig.system.twilio.conversation(&sid).unwrap().attributes.contains(&token));
}

/// A key that is replaced cuts nobody off whose chat goes on.
#[tokio::test(start_paused = true)]
async fn a_replaced_key_is_good_for_the_tokens_that_it_has_signed() {
    let mut rig = Rig::new();
    let chat = begun(&rig.front().await).await;
    let new = (format!("SK{:032}", 2), "another secret".to_owned());
    rig.system.twilio.change_settings(|account| account.extra_auth.push(new.clone()));
    let account = rig.system.twilio.settings();
    let credentials = |with_old: bool| Credentials {
        api_key_sid: Some(new.0.parse().unwrap()),
        api_key_secret: Some(Secret::new(new.1.as_str())),
        api_key_sid_secondary: with_old.then(|| API_KEY.0.parse().unwrap()),
        api_key_secret_secondary: with_old.then(|| Secret::new(API_KEY.1)),
        ..Credentials::of(Secret::new(account.auth_token.as_str()))
    };
    rig.system.settings.secrets = SecretSettings::Given(credentials(true));
    let fresh = refresh(&rig.front().await, &chat.text("token")).await;
    assert_eq!(fresh.status, 200, "{fresh:?}");
    assert_eq!(claims(&fresh.text("token"))["iss"], new.0.as_str(), "the new one signs");
    rig.system.settings.secrets = SecretSettings::Given(credentials(false));
    let front = rig.front().await;
    assert_eq!(refresh(&front, &chat.text("token")).await.status, 403);
    assert_eq!(refresh(&front, &fresh.text("token")).await.status, 200);
}
