//! What the client does with each kind of answer, on a paused clock: pauses cost nothing here.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
};

use futures_util::future::BoxFuture;

use super::*;
use crate::{
    clock::Timestamp,
    clock::{Clock, TokioClock},
    random::SeededRandom,
    secrets::{Credentials, Secret, SecretSource},
    sid::{ConversationSid, InteractionChannelSid, InteractionSid},
};

/// One answer of the other side.
#[derive(Clone, Debug)]
enum Says {
    Status(u16, &'static str),
    RetryAfter(u64),
    NotSent,
    Lost,
    Nothing,
}

/// Answers as it was told to, and remembers what it was asked.
#[derive(Debug, Default)]
struct Script {
    answers: Mutex<VecDeque<Says>>,
    asked: Mutex<Vec<http::Request<Bytes>>>,
}

impl Transport for Script {
    fn send(
        &self,
        request: http::Request<Bytes>,
    ) -> BoxFuture<'_, Result<http::Response<Bytes>, TransportError>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).push(request);
        let says = self.answers.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        Box::pin(async move {
            let status = |status: u16, body: &'static str| {
                http::Response::builder().status(status).body(Bytes::from_static(body.as_bytes())).unwrap()
            };
            match says.expect("the script foresees this request") {
                Says::Status(code, body) => Ok(status(code, body)),
                Says::RetryAfter(seconds) => {
                    let mut response = status(429, "");
                    response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
                    Ok(response)
                }
                Says::NotSent => Err(TransportError::NotSent),
                Says::Lost => Err(TransportError::Lost),
                Says::Nothing => std::future::pending().await,
            }
        })
    }
}

fn twilio(answers: impl IntoIterator<Item = Says>) -> (Arc<Script>, Twilio) {
    let script = Arc::new(Script { answers: Mutex::new(answers.into_iter().collect()), ..Script::default() });
    let clock = Arc::new(TokioClock::starting_at(Timestamp::from_seconds(1_800_000_000)));
    let credentials = Credentials::of(Secret::new("12345"));
    let twilio = Twilio::new(
        Arc::clone(&script) as Arc<dyn Transport>,
        Arc::new(SeededRandom::new(1)),
        Arc::new(Secrets::new(SecretSource::Given(credentials), Arc::clone(&clock) as Arc<dyn Clock>)),
        "AC00000000000000000000000000000001".parse().unwrap(),
        Bases::public(None, None),
        Metrics::new("test", "test", clock, Arc::new(|_| {})),
    );
    (script, twilio)
}

fn asked(script: &Script) -> usize {
    script.asked.lock().unwrap().len()
}

fn soon() -> Deadline {
    Deadline::within(Duration::from_secs(4))
}

const ACCEPTED: Says = Says::Status(200, r#"{"sid":"KD00000000000000000000000000000001"}"#);

async fn create(answers: impl IntoIterator<Item = Says>) -> (usize, Result<InteractionResource, CallError>) {
    let (script, twilio) = twilio(answers);
    let new = NewInteraction {
        channel: serde_json::json!({"type": "sms"}).into(),
        routing: serde_json::json!({"properties": {}}).into(),
    };
    let created = twilio.create_interaction(&new, soon()).await;
    (asked(&script), created)
}

fn conversation() -> ConversationSid {
    "CH00000000000000000000000000000001".parse().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_call_carries_our_login_and_a_form() {
    let (script, twilio) = twilio([ACCEPTED]);
    let new = NewInteraction {
        channel: serde_json::json!({"a": "+1 &="}).into(),
        routing: serde_json::json!({}).into(),
    };
    twilio.create_interaction(&new, soon()).await.unwrap();
    let asked = script.asked.lock().unwrap();
    let request = &asked[0];
    assert_eq!(request.uri(), "https://flex-api.twilio.com/v1/Interactions");
    assert_eq!(
        request.headers()[header::AUTHORIZATION],
        "Basic QUMwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMToxMjM0NQ=="
    );
    assert_eq!(request.body(), "Channel=%7B%22a%22%3A%22%2B1+%26%3D%22%7D&Routing=%7B%7D");
    assert!(!request.headers().contains_key("x-twilio-webhook-enabled"));
}

#[tokio::test(start_paused = true)]
async fn what_did_not_happen_is_asked_again() {
    for refusal in [Says::Status(429, ""), Says::RetryAfter(1), Says::NotSent] {
        let (times, created) = create([refusal, ACCEPTED]).await;
        assert_eq!(times, 2);
        assert!(created.is_ok());
    }
}

#[tokio::test(start_paused = true)]
async fn a_creation_that_may_have_happened_is_not_repeated() {
    for doubt in [
        Says::Lost,
        Says::Nothing,
        Says::Status(500, ""),
        Says::Status(503, ""),
        Says::Status(200, "<html>"),
        Says::Status(200, "{}"),
        Says::Status(302, ""),
    ] {
        let (times, created) = create([doubt.clone()]).await;
        assert_eq!(times, 1, "{doubt:?}");
        assert!(matches!(created, Err(CallError::Unknown(_))), "{doubt:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_for_good_is_not_repeated() {
    let (times, created) = create([Says::Status(400, r#"{"code":45367,"message":"bad"}"#)]).await;
    assert_eq!(times, 1);
    assert!(created.unwrap_err().has_code(45367));
}

#[tokio::test(start_paused = true)]
async fn a_pause_that_outlasts_the_deadline_is_not_waited_for() {
    let begun = tokio::time::Instant::now();
    let (times, created) = create([Says::RetryAfter(60)]).await;
    assert_eq!(times, 1);
    assert!(matches!(
        created,
        Err(CallError::Refused(Refusal::Throttled { retry_after: Some(pause) })) if pause.as_secs() == 60
    ));
    assert_eq!(begun.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_twilio_that_says_nothing_is_given_up_at_the_deadline() {
    let begun = tokio::time::Instant::now();
    let (_, created) = create([Says::Nothing]).await;
    assert!(matches!(created, Err(CallError::Unknown(Doubt::AnswerLost))));
    assert!(begun.elapsed() <= Duration::from_millis(4001));
}

#[tokio::test(start_paused = true)]
async fn tries_are_counted() {
    let (times, created) = create([Says::NotSent, Says::NotSent, Says::NotSent, Says::NotSent]).await;
    assert_eq!(times, 4);
    assert!(matches!(created, Err(CallError::Refused(Refusal::NotSent))));
}

#[tokio::test(start_paused = true)]
async fn a_read_is_repeated_whatever_went_wrong() {
    let found = Says::Status(200, r#"{"sid":"CH00000000000000000000000000000001","state":"active"}"#);
    let (script, twilio) = twilio([Says::Lost, Says::Status(500, ""), Says::Status(429, ""), found]);
    let conversation = twilio.conversation(&conversation(), soon()).await.unwrap().unwrap();
    assert_eq!(conversation.state, ConversationState::Active);
    assert_eq!(asked(&script), 4);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_there_is_an_answer() {
    let (_, twilio) = twilio([Says::Status(404, r#"{"code":20404}"#)]);
    assert!(twilio.conversation(&conversation(), soon()).await.unwrap().is_none());
}

#[tokio::test(start_paused = true)]
async fn closing_what_is_closed_is_done() {
    let interaction: InteractionSid = "KD00000000000000000000000000000001".parse().unwrap();
    let channel: InteractionChannelSid = "UO00000000000000000000000000000001".parse().unwrap();
    for said in [Says::Status(400, r#"{"code":80906}"#), Says::Status(404, ""), Says::Status(200, "{}")] {
        let (_, twilio) = twilio([said]);
        twilio
            .close_interaction_channel(&interaction, &channel, EndOfTasks::Completed, soon())
            .await
            .unwrap();
    }
    for said in [Says::Status(409, r#"{"code":50377}"#), Says::Status(404, ""), Says::Status(200, "{}")] {
        let (_, twilio) = twilio([said]);
        twilio.close_conversation(&conversation(), soon()).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn tasks_listed_without_attributes_are_read_one_by_one() {
    let list = Says::Status(
        200,
        r#"{"meta":{"key":"tasks"},"tasks":[{"sid":"WT00000000000000000000000000000001","attributes":null}]}"#,
    );
    let task = Says::Status(
        200,
        r#"{"sid":"WT00000000000000000000000000000001","attributes":"{\"flexInteractionSid\":\"KD00000000000000000000000000000001\",\"flexInteractionChannelSid\":\"UO00000000000000000000000000000001\"}"}"#,
    );
    let (script, twilio) = twilio([list, task]);
    let workspace = "WS00000000000000000000000000000001".parse().unwrap();
    let tasks = twilio.tasks_of_conversation(&workspace, &conversation(), soon()).await.unwrap();
    assert!(tasks[0].flex().is_some());
    assert_eq!(
        script.asked.lock().unwrap()[0].uri().query().unwrap(),
        "EvaluateTaskAttributes=conversationSid+%3D%3D+%22CH00000000000000000000000000000001%22"
    );
}

#[tokio::test(start_paused = true)]
async fn an_address_is_asked_for_to_the_letter() {
    let (script, twilio) =
        twilio([Says::Status(200, r#"{"meta":{"key":"conversations"},"conversations":[]}"#)]);
    twilio.participant_conversations("whatsapp:+15551230001", None, soon()).await.unwrap();
    assert_eq!(
        script.asked.lock().unwrap()[0].uri().query().unwrap(),
        "Address=whatsapp%3A%2B15551230001&PageSize=50"
    );
}
