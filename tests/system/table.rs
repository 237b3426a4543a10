//! The table misbehaves, or the wire to it.

use std::sync::Arc;

use bytes::Bytes;
use flexglue_tests::{
    rig::{Answer, CUSTOMER, Rig},
    wires::{Forgetful, WithoutToken},
};
use futures_util::future::BoxFuture;
use http::{Request, Response};
use shared::transport::{Transport, TransportError};

/// Trap 17: the SDK sends a write again whose answer it lost. The second finds the first.
#[tokio::test(start_paused = true)]
async fn a_write_whose_answer_is_lost_is_not_taken_for_a_competitors() {
    // Once with DynamoDB's own memory of the request, once without: the token in the record tells as well.
    for forgets_tokens in [false, true] {
        for lost in 0..2 {
            let rig = Rig::new();
            let world = rig
                .system
                .world_through(
                    |to| to,
                    |to| {
                        let to = if forgets_tokens { Arc::new(WithoutToken(to)) as _ } else { to };
                        Arc::new(Forgetful::new(to, move |number, _| number == lost)) as _
                    },
                )
                .await;
            let front = rig.front_in(&world);
            let answer = Answer::of(&front.handle(rig.message(CUSTOMER, "hello")).await);
            assert_eq!(answer, Answer::new(200, "created"), "answer {lost} lost, {forgets_tokens}");
            assert_eq!(rig.system.twilio.interactions().len(), 1);
        }
    }
}

/// Answers every request with a fixed error.
#[derive(Debug)]
struct Broken(u16, &'static str);

impl Transport for Broken {
    fn send(&self, _: Request<Bytes>) -> BoxFuture<'_, Result<Response<Bytes>, TransportError>> {
        let body = Bytes::from(format!(r#"{{"__type":"com.amazonaws.dynamodb.v20120810#{}"}}"#, self.1));
        let mut response = Response::new(body);
        *response.status_mut() = http::StatusCode::from_u16(self.0).expect("a status");
        Box::pin(async move { Ok(response) })
    }
}

#[derive(Debug)]
struct Silent;

impl Transport for Silent {
    fn send(&self, _: Request<Bytes>) -> BoxFuture<'_, Result<Response<Bytes>, TransportError>> {
        Box::pin(std::future::pending())
    }
}

#[tokio::test(start_paused = true)]
async fn a_table_that_cannot_be_written_is_503_and_twilio_is_not_asked() {
    let broken: [Arc<dyn Transport>; 4] = [
        Arc::new(Broken(500, "InternalServerError")),
        Arc::new(Broken(400, "ProvisionedThroughputExceededException")),
        Arc::new(Broken(400, "ResourceNotFoundException")),
        Arc::new(Silent),
    ];
    for table in broken {
        let rig = Rig::new();
        let world = rig.system.world_through(|to| to, |_| Arc::clone(&table)).await;
        let front = rig.front_in(&world);
        let begun = tokio::time::Instant::now();
        let response = front.handle(rig.message(CUSTOMER, "hello")).await;
        assert_eq!(response.status(), 503, "{table:?}");
        assert!(begun.elapsed().as_secs() < 4, "{table:?}");
        let body = String::from_utf8(response.body().to_vec()).unwrap();
        assert!(body.contains("unavailable") && !body.contains("DynamoDB"), "no internals: {body}");
        assert!(rig.system.twilio.requests().is_empty());
        assert_eq!(rig.metric("TableUnavailable"), 1);
    }
}

/// Two transactions on one item at one time: DynamoDB cancels one of them with a conflict.
#[tokio::test(start_paused = true)]
async fn a_conflict_of_transactions_is_tried_again() {
    #[derive(Debug)]
    struct Conflicted {
        to: Arc<dyn Transport>,
        left: std::sync::atomic::AtomicUsize,
    }
    impl Transport for Conflicted {
        fn send(&self, request: Request<Bytes>) -> BoxFuture<'_, Result<Response<Bytes>, TransportError>> {
            let writes = request.headers()["x-amz-target"].to_str().unwrap().ends_with("TransactWriteItems");
            let left = &self.left;
            let conflict = writes
                && left
                    .fetch_update(
                        std::sync::atomic::Ordering::SeqCst,
                        std::sync::atomic::Ordering::SeqCst,
                        |left| left.checked_sub(1),
                    )
                    .is_ok();
            if !conflict {
                return self.to.send(request);
            }
            let body = r#"{"__type":"com.amazonaws.dynamodb.v20120810#TransactionCanceledException",
                "CancellationReasons":[{"Code":"TransactionConflict"},{"Code":"None"}]}"#;
            let mut response = Response::new(Bytes::from_static(body.as_bytes()));
            *response.status_mut() = http::StatusCode::BAD_REQUEST;
            Box::pin(async move { Ok(response) })
        }
    }
    let rig = Rig::new();
    let world =
        rig.system.world_through(|to| to, |to| Arc::new(Conflicted { to, left: 3.into() }) as _).await;
    let front = rig.front_in(&world);
    let answer = Answer::of(&front.handle(rig.message(CUSTOMER, "hello")).await);
    assert_eq!(answer, Answer::new(200, "created"));
}

/// The Interaction stands but cannot be recorded: the claim stands too, and the sweeper finds it.
#[tokio::test(start_paused = true)]
async fn a_table_that_fails_after_the_interaction_is_healed() {
    #[derive(Debug)]
    struct FailsAfter {
        to: Arc<dyn Transport>,
        left: std::sync::atomic::AtomicUsize,
    }
    impl Transport for FailsAfter {
        fn send(&self, request: Request<Bytes>) -> BoxFuture<'_, Result<Response<Bytes>, TransportError>> {
            use std::sync::atomic::Ordering::SeqCst;
            if self.left.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)).is_ok() {
                self.to.send(request)
            } else {
                Box::pin(async move { Broken(500, "InternalServerError").send(request).await })
            }
        }
    }
    let rig = Rig::with(1, |account| account.duplicate_guard = false, &[]);
    let world =
        rig.system.world_through(|to| to, |to| Arc::new(FailsAfter { to, left: 1.into() }) as _).await;
    let front = rig.front_in(&world);
    let answer = Answer::of(&front.handle(rig.message(CUSTOMER, "hello")).await);
    assert_eq!(answer, Answer::new(202, "deferred"));
    rig.sweep_after_a_minute().await;
    let sid = rig.system.twilio.conversations()[0].sid.clone();
    assert_eq!(rig.system.twilio.interactions().len(), 1);
    assert!(rig.record(&sid).await.unwrap().interaction.is_some());
}
