//! The defects of existing projects, by their numbers in the project's list of traps: each is a promise here.
//! Those with a home elsewhere are tested there: 3 in `healing`, 17 in `table`, 18 in `killed`, 27 in `messages`.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use flexglue::local::{
    event::EventShape,
    gateway::Routes,
    system::{self, CONVERSATIONS_PATH, PUBLIC_URL, SMS_NUMBER},
};
use flexglue_tests::rig::{self, Answer, CUSTOMER, Rig};
use futures_util::future::{BoxFuture, join_all};
use http::{Request, Response};
use shared::{
    conversation::Stage,
    transport::{Transport, TransportError},
};
use simulator::{Fault, Matcher, Misbehaviour, Times};

type Form = Vec<(String, String)>;

/// The fields of a message as Twilio sends them, and a request with any fields, signed for `url`.
fn fields_of_a_message(rig: &Rig) -> Form {
    rig.system.twilio.customer_writes(CUSTOMER, SMS_NUMBER, "hello");
    rig.system.twilio.take_webhooks().pop().expect("a message fires a webhook").params
}

fn signed(rig: &Rig, url: &str, form: &Form) -> Request<Bytes> {
    let signature = simulator::sign(&rig.system.twilio.settings().auth_token, url, form);
    let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
    Request::post(url)
        .header("content-type", "application/x-www-form-urlencoded")
        .header("x-twilio-signature", signature)
        .body(body.into())
        .unwrap()
}

fn url() -> String {
    format!("{PUBLIC_URL}{CONVERSATIONS_PATH}")
}

fn set(form: &mut Form, name: &str, value: &str) {
    form.retain(|(known, _)| known != name);
    form.push((name.to_owned(), value.to_owned()));
}

async fn answer(front: &Routes, request: Request<Bytes>) -> Answer {
    Answer::of(&front.handle(request).await)
}

fn nothing_happened(rig: &Rig) -> bool {
    let table = rig.system.dynamo.items(&rig.system.settings.table).unwrap();
    table.is_empty() && rig.system.twilio.requests().is_empty()
}

#[tokio::test(start_paused = true)]
async fn trap_1_an_unknown_account_or_service_is_2xx_and_counted() {
    for (field, value) in [
        ("AccountSid", "AC000000000000000000000000000000ff"),
        ("InstanceSid", "IS000000000000000000000000000000ff"),
    ] {
        let rig = Rig::new();
        let front = rig.front().await;
        let mut form = fields_of_a_message(&rig);
        set(&mut form, field, value);
        assert_eq!(answer(&front, signed(&rig, &url(), &form)).await, Answer::new(200, "ignored"));
        assert!(nothing_happened(&rig));
        assert_eq!(rig.metric("ForeignEvent"), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn trap_2_whatever_would_try_again_stays_when_the_creation_fails() {
    for what in [
        Misbehaviour::Status { status: 400, code: 45367, retry_after: None },
        Misbehaviour::Status { status: 500, code: 20500, retry_after: None },
        Misbehaviour::LostBefore,
    ] {
        let rig = Rig::new();
        let front = rig.front().await;
        rig.system.twilio.misbehave(Fault {
            on: Matcher::route("POST /v1/Interactions"),
            times: Times::Forever,
            what,
        });
        answer(&front, rig.message(CUSTOMER, "hello")).await;
        let conversation = &rig.system.twilio.conversations()[0];
        assert_eq!(conversation.webhooks.len(), 1, "the customer's next message still reaches us");
        assert!(rig.record(&conversation.sid).await.unwrap().due_at.is_some(), "and so does the sweeper");
    }
}

#[tokio::test(start_paused = true)]
async fn trap_4_an_album_of_images_is_one_interaction() {
    let rig = Rig::with(4, |account| account.duplicate_guard = false, &[]);
    let front = rig.front_in(&rig.unhurried_world().await);
    let images: Vec<_> = (0..10).map(|image| rig.message(CUSTOMER, &format!("image {image}"))).collect();
    let answers = join_all(images.into_iter().map(|image| answer(&front, image))).await;
    assert_eq!(answers.iter().filter(|answer| answer.outcome == "created").count(), 1, "{answers:?}");
    assert_eq!(rig.system.twilio.interactions().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn trap_5_an_event_is_its_conversation_and_what_happened_to_it() {
    let rig = Rig::with(1, rig::every_event, &[]);
    let front = rig.front().await;
    rig.system.twilio.customer_writes(CUSTOMER, SMS_NUMBER, "hello");
    rig.deliver_all(&front).await;
    let sid = rig.system.twilio.conversations()[0].sid.clone();
    for (state, stage) in
        [("inactive", Stage::SettingUp), ("active", Stage::SettingUp), ("closed", Stage::Closed)]
    {
        rig.rest(http::Method::POST, &format!("/v1/Conversations/{sid}"), &format!("State={state}")).await;
        rig.deliver_all(&front).await;
        assert_eq!(rig.record(&sid).await.unwrap().stage, stage, "after {state}");
    }
}

#[tokio::test(start_paused = true)]
async fn trap_6_nothing_is_made_of_a_request_before_its_signature_holds() {
    let rig = Rig::new();
    let front = rig.front().await;
    let good = fields_of_a_message(&rig);
    let good = form_urlencoded::Serializer::new(String::new()).extend_pairs(&good).finish();
    let json = "application/json";
    let form = "application/x-www-form-urlencoded";
    for (kind, body) in [
        (form, good.as_str()),
        (form, ""),
        (form, "%zz=%"),
        (json, "{"),
        (json, "[{\"EventType\":\"onMessageAdded\"}]"),
        (json, "{\"conversation\":{\"EventType\":\"onMessageAdded\"}}"),
    ] {
        for signature in [None, Some("AAAAAAAAAAAAAAAAAAAAAAAAAAA="), Some("not base64"), Some("")] {
            let mut request = Request::post(url()).header("content-type", kind);
            if let Some(signature) = signature {
                request = request.header("x-twilio-signature", signature);
            }
            let response = front.handle(request.body(Bytes::copy_from_slice(body.as_bytes())).unwrap()).await;
            assert_eq!(response.status(), 403, "{kind} {body} {signature:?}");
        }
    }
    assert!(nothing_happened(&rig));
    assert_eq!(rig.metric("SignatureRefused"), 24);
}

#[tokio::test(start_paused = true)]
async fn trap_7_a_json_body_is_what_its_hash_says() {
    let rig = Rig::new();
    let front = rig.front().await;
    let token = rig.system.twilio.settings().auth_token;
    let (signed_body, other) = (r#"{"EventType":"onUserAdded"}"#, r#"{"EventType":"onMessageAdded"}"#);
    let url = format!("{}?bodySHA256={}", url(), shared::signature::body_hash(signed_body.as_bytes()));
    for (body, status) in [(signed_body, 200), (other, 403)] {
        let request = Request::post(&url)
            .header("content-type", "application/json")
            .header("x-twilio-signature", simulator::sign(&token, &url, &[]))
            .body(Bytes::from_static(body.as_bytes()))
            .unwrap();
        assert_eq!(front.handle(request).await.status(), status);
    }
}

#[tokio::test(start_paused = true)]
async fn trap_8_the_query_cannot_say_which_conversation_it_is() {
    let rig = Rig::new();
    let front = rig.front().await;
    let form = fields_of_a_message(&rig);
    let sid = rig.system.twilio.conversations()[0].sid.clone();
    let url = format!("{}?ConversationSid=CH000000000000000000000000000000ff&Author=system", url());
    assert_eq!(answer(&front, signed(&rig, &url, &form)).await, Answer::new(200, "created"));
    assert_eq!(rig.live_interactions(&sid).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn trap_9_when_it_answers_all_is_done() {
    let rig = Rig::new();
    let front = rig.front().await;
    answer(&front, rig.message(CUSTOMER, "hello")).await;
    let (table, calls) =
        (rig.system.dynamo.items(&rig.system.settings.table).unwrap(), rig.system.twilio.requests().len());
    rig.pass(Duration::from_secs(10)).await;
    assert_eq!(rig.system.dynamo.items(&rig.system.settings.table).unwrap(), table);
    assert_eq!(rig.system.twilio.requests().len(), calls);
}

#[tokio::test(start_paused = true)]
async fn trap_10_every_invocation_may_be_a_new_process() {
    let rig = Rig::new();
    let outcomes = ["created", "already_open", "already_open"];
    for outcome in outcomes {
        let fresh = rig.front().await;
        assert_eq!(answer(&fresh, rig.message(CUSTOMER, "hello")).await, Answer::new(200, outcome));
    }
}

#[tokio::test(start_paused = true)]
async fn trap_16_expiry_forgets_what_is_over_and_locks_nothing() {
    let rig = Rig::with(1, rig::every_event, &[]);
    let front = rig.front().await;
    rig.system.twilio.customer_writes(CUSTOMER, SMS_NUMBER, "hello");
    rig.deliver_all(&front).await;
    let sid = rig.system.twilio.conversations()[0].sid.clone();
    rig.pass(Duration::from_hours(24 * 400)).await;
    rig.system.dynamo.forget_expired().unwrap();
    assert!(rig.record(&sid).await.is_some(), "an open conversation is remembered however long");
    rig.system.twilio.close_conversation(&sid, simulator::Reason::Api).unwrap();
    rig.deliver_all(&front).await;
    rig.pass(Duration::from_hours(24 * 29)).await;
    rig.system.dynamo.forget_expired().unwrap();
    assert!(rig.record(&sid).await.is_some(), "a late webhook must find it closed");
    rig.pass(Duration::from_hours(24 * 400)).await;
    rig.system.dynamo.forget_expired().unwrap();
    assert!(rig.system.dynamo.items(&rig.system.settings.table).unwrap().is_empty(), "history and all");
}

#[tokio::test(start_paused = true)]
async fn trap_20_no_webhook_is_answered_429() {
    let rig = Rig::new();
    let front = rig.front().await;
    let what = Misbehaviour::Status { status: 429, code: 20429, retry_after: None };
    rig.system.twilio.misbehave(Fault { on: Matcher::Any, times: Times::Forever, what });
    for _ in 0..20 {
        let answer = answer(&front, rig.message(CUSTOMER, "hello")).await;
        assert!([200, 202].contains(&answer.status), "{answer:?}");
    }
}

/// Notes where requests go.
#[derive(Debug)]
struct Hosts {
    to: Arc<dyn Transport>,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Transport for Hosts {
    fn send(&self, request: Request<Bytes>) -> BoxFuture<'_, Result<Response<Bytes>, TransportError>> {
        self.seen.lock().unwrap().push(request.uri().host().unwrap_or_default().to_owned());
        self.to.send(request)
    }
}

#[tokio::test(start_paused = true)]
async fn trap_25_every_call_goes_to_the_region_and_edge_of_the_account() {
    let rig = Rig::with(
        1,
        |_| {},
        &[
            ("TWILIO_REGION", "ie1"),
            ("TWILIO_EDGE", "dublin"),
            ("TWILIO_FLEX_API_URL", ""),
            ("TWILIO_CONVERSATIONS_API_URL", ""),
            ("TWILIO_TASKROUTER_API_URL", ""),
            ("TWILIO_IAM_API_URL", ""),
        ],
    );
    let seen = Arc::new(Mutex::new(Vec::new()));
    let note = |to| Arc::new(Hosts { to, seen: Arc::clone(&seen) }) as _;
    let world = rig.system.world_through(note, |to| to).await;
    let front = rig.front_in(&world);
    let lost = Fault {
        on: Matcher::route("POST /v1/Interactions"),
        times: Times::Next(1),
        what: Misbehaviour::LostAfter,
    };
    rig.system.twilio.misbehave(lost);
    answer(&front, rig.message(CUSTOMER, "hello")).await;
    rig.pass(Duration::from_mins(1)).await;
    system::sweep(&rig.system.orphan_sweeper(&world)).await;
    let seen = seen.lock().unwrap();
    for product in ["flex-api", "conversations", "taskrouter"] {
        assert!(seen.contains(&format!("{product}.dublin.ie1.twilio.com")), "{product}: {seen:?}");
    }
    assert!(seen.iter().all(|host| host.ends_with(".dublin.ie1.twilio.com")), "{seen:?}");
}

/// The URL that Twilio was given, and how the front end reports it.
#[tokio::test(start_paused = true)]
async fn trap_26_the_url_that_twilio_was_given_is_the_one_that_is_verified() {
    const API: &str = "id.execute-api.us-east-1.amazonaws.com";
    let given =
        |base: Option<&'static str>, stage: Option<&'static str>, url: &'static str| (base, stage, url);
    let cases = [
        // The API's own host, a port that is written out, a query in an order of its own.
        given(None, None, "https://id.execute-api.us-east-1.amazonaws.com/webhooks/conversations"),
        given(None, None, "https://id.execute-api.us-east-1.amazonaws.com:443/webhooks/conversations"),
        given(None, None, "https://id.execute-api.us-east-1.amazonaws.com/webhooks/conversations?z=1&a=2"),
        // A stage in the path.
        given(
            None,
            Some("prod"),
            "https://id.execute-api.us-east-1.amazonaws.com/prod/webhooks/conversations",
        ),
        // A custom domain, with and without a prefix, which the front end does not know of.
        given(Some("https://glue.example.com"), None, "https://glue.example.com/webhooks/conversations"),
        given(Some("https://glue.example.com/"), None, "https://glue.example.com/webhooks/conversations"),
        given(
            Some("https://glue.example.com/flex"),
            None,
            "https://glue.example.com/flex/webhooks/conversations",
        ),
        given(
            Some("https://glue.example.com/flex"),
            Some("prod"),
            "https://glue.example.com/flex/webhooks/conversations",
        ),
        given(
            Some("https://glue.example.com:8443"),
            None,
            "https://glue.example.com:8443/webhooks/conversations",
        ),
    ];
    for (base, stage, url) in cases {
        let rig = Rig::with(1, |_| {}, &[("PUBLIC_BASE_URL", base.unwrap_or_default())]);
        let world = rig.system.world().await;
        for shape in [EventShape::HttpApi, EventShape::RestApi, EventShape::FunctionUrl, EventShape::Alb] {
            let staged = stage.filter(|_| matches!(shape, EventShape::HttpApi | EventShape::RestApi));
            if stage.is_some() && staged.is_none() {
                continue;
            }
            let mut front = rig.system.front(shape, &world);
            if base.is_some() || shape != EventShape::Alb {
                front = front.at_domain(API);
            }
            if let Some(stage) = staged {
                front = front.on_stage(stage);
            }
            let form = fields_of_a_message(&rig);
            let mut request = signed(&rig, url, &form);
            // What the front end is asked for, behind a custom domain's mapping.
            let prefix = staged.map(|stage| format!("/{stage}")).unwrap_or_default();
            let query = request.uri().query().map(|query| format!("?{query}")).unwrap_or_default();
            *request.uri_mut() = format!("{prefix}{CONVERSATIONS_PATH}{query}").parse().unwrap();
            request.headers_mut().insert("host", API.parse().unwrap());
            let answer = answer(&front, request).await;
            assert_eq!(answer.status, 200, "{url} through {shape:?}, stage {stage:?}, base {base:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn trap_26_another_url_than_the_one_given_is_refused() {
    let rig = Rig::new();
    let front = rig.front().await;
    let form = fields_of_a_message(&rig);
    for other in [
        "https://flexglue.example/webhooks/conversations/",
        "https://flexglue.example/Webhooks/conversations",
        "https://flexglue.example/webhooks/conversations?x=1",
        "https://evil.example/webhooks/conversations",
        "http://flexglue.example/webhooks/conversations",
        "https://flexglue.example:8443/webhooks/conversations",
    ] {
        let mut request = signed(&rig, other, &form);
        *request.uri_mut() = url().parse().unwrap();
        assert_eq!(answer(&front, request).await.status, 403, "{other}");
    }
    assert!(nothing_happened(&rig));
}

#[tokio::test(start_paused = true)]
async fn trap_30_what_an_agent_a_bot_or_a_back_end_says_opens_nothing() {
    // A back end by a known name: not even a write.
    let rig = Rig::new();
    let front = rig.front().await;
    let mut form = fields_of_a_message(&rig);
    for author in ["system", "Concierge"] {
        set(&mut form, "Author", author);
        assert_eq!(answer(&front, signed(&rig, &url(), &form)).await, Answer::new(200, "ignored"));
    }
    assert!(nothing_happened(&rig));

    // Somebody by identity in a conversation by SMS: known from the binding, or else asked of Twilio.
    for told_of_the_customer in [true, false] {
        let rig = Rig::with(1, rig::every_event, &[]);
        let front = rig.front().await;
        rig.system.twilio.customer_writes(CUSTOMER, SMS_NUMBER, "hello");
        let webhooks = rig.system.twilio.take_webhooks();
        if told_of_the_customer {
            let joined = webhooks.iter().find(|webhook| webhook.event_type == "onParticipantAdded").unwrap();
            system::deliver(&rig.system.twilio, &front, joined).await;
        }
        let sid = rig.system.twilio.conversations()[0].sid.clone();
        let mut form = webhooks.last().unwrap().params.clone();
        set(&mut form, "Author", "agent_40example_2Ecom");
        set(&mut form, "ParticipantSid", "MB000000000000000000000000000000ff");
        assert_eq!(answer(&front, signed(&rig, &url(), &form)).await, Answer::new(200, "ignored"));
        assert!(rig.system.twilio.interactions().is_empty());
        assert_eq!(rig.record(&sid).await.unwrap().stage, Stage::Seen, "{told_of_the_customer}");
        // The customer's own message is not lost by it.
        let message = webhooks.iter().find(|webhook| webhook.event_type == "onMessageAdded").unwrap();
        system::deliver(&rig.system.twilio, &front, message).await;
        assert_eq!(rig.live_interactions(&sid).len(), 1);
    }

    // A bot in a web chat, where both are there by identity.
    let rig = Rig::with(1, rig::every_event, &[]);
    let front = rig.front().await;
    let chat = rig.system.twilio.create_chat_conversation("web", "guest-1", &serde_json::json!({}));
    rig.pass(Duration::from_secs(2)).await;
    rig.joins(&chat, "bot").await;
    rig.system.twilio.customer_writes_in(&chat, "bot", "How can I help?").unwrap();
    let answers = rig.deliver_all(&front).await;
    assert!(answers.iter().all(|answer| *answer == Answer::new(200, "ignored")), "{answers:?}");
    rig.system.twilio.customer_writes_in(&chat, "guest-1", "hello").unwrap();
    assert_eq!(rig.deliver_all(&front).await, [Answer::new(200, "created")]);
}

/// Twilio cannot be asked who wrote: the customer is not lost, and no agent's message opens anything.
#[tokio::test(start_paused = true)]
async fn trap_30_in_doubt_the_sweeper_asks_later() {
    for (author, interactions) in [("guest-1", 1), ("bot", 0)] {
        let rig = Rig::with(1, rig::every_event, &[]);
        let front = rig.front().await;
        let chat = rig.system.twilio.create_chat_conversation("web", "guest-1", &serde_json::json!({}));
        rig.pass(Duration::from_secs(2)).await;
        rig.joins(&chat, "bot").await;
        let _ = rig.system.twilio.take_webhooks();
        rig.system.twilio.misbehave(Fault {
            on: Matcher::Any,
            times: Times::Forever,
            what: Misbehaviour::LostBefore,
        });
        rig.system.twilio.customer_writes_in(&chat, author, "hello").unwrap();
        assert_eq!(rig.deliver_all(&front).await, [Answer::new(202, "deferred")]);
        rig.system.twilio.behave();
        rig.sweep_after_a_minute().await;
        assert_eq!(rig.system.twilio.interactions().len(), interactions, "{author}");
    }
}
