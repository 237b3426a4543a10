//! Many at once.

use std::collections::BTreeMap;

use flexglue_tests::rig::{self, Answer, CUSTOMER, Rig};
use futures_util::{StreamExt as _, stream};

fn outcomes(answers: &[Answer]) -> BTreeMap<&str, usize> {
    let mut counts = BTreeMap::new();
    for answer in answers {
        *counts.entry(answer.outcome.as_str()).or_default() += 1;
    }
    counts
}

/// Shuffles by the rig's own randomness, so that a seed gives one order.
fn shuffle<T>(rig: &Rig, items: &mut [T]) {
    for last in (1..items.len()).rev() {
        let other = usize::try_from(rig.random.next() % (last as u64 + 1)).unwrap();
        items.swap(last, other);
    }
}

/// 50 identical webhooks at once, over many interleavings, with Twilio's own guard off.
#[tokio::test(start_paused = true)]
async fn fifty_identical_webhooks_at_once_are_one_interaction() {
    for seed in 0..20 {
        let rig = Rig::with(seed, |account| account.duplicate_guard = false, &[]);
        let front = rig.front_in(&rig.unhurried_world().await);
        let request = rig.message(CUSTOMER, "hello");
        let answers: Vec<Answer> = stream::iter(0..50)
            .map(|_| front.handle(request.clone()))
            .buffer_unordered(50)
            .map(|response| Answer::of(&response))
            .collect()
            .await;
        assert!(answers.iter().all(|answer| answer.status == 200), "seed {seed}: {answers:?}");
        let counts = outcomes(&answers);
        assert_eq!(counts["created"], 1, "seed {seed}: {counts:?}");
        let rest: usize =
            ["already_open", "in_progress"].iter().filter_map(|outcome| counts.get(outcome)).sum();
        assert_eq!(rest, 49, "seed {seed}: {counts:?}");
        assert_eq!(rig.system.twilio.interactions().len(), 1, "seed {seed}");
    }
}

/// 1,000 conversations, each message delivered 1 to 5 times, over 16 concurrent callers, in random order.
#[tokio::test(start_paused = true)]
async fn a_thousand_conversations_are_a_thousand_interactions() {
    let rig = Rig::with(2027, |account| account.duplicate_guard = false, &[]);
    let front = rig.front_in(&rig.unhurried_world().await);
    let mut requests = Vec::new();
    for customer in 0..1000 {
        let request = rig.message(&format!("+1555{customer:07}"), "hello");
        let times = 1 + rig.random.next() % 5;
        requests.extend((0..times).map(|_| request.clone()));
    }
    shuffle(&rig, &mut requests);
    let answers: Vec<Answer> = stream::iter(requests)
        .map(|request| front.handle(request))
        .buffer_unordered(16)
        .map(|response| Answer::of(&response))
        .collect()
        .await;
    assert!(answers.iter().all(|answer| answer.status == 200));
    assert_eq!(outcomes(&answers)["created"], 1000);
    assert_eq!(rig.system.twilio.interactions().len(), 1000);
    for conversation in rig.system.twilio.conversations() {
        assert_eq!(rig.live_interactions(&conversation.sid).len(), 1);
    }
}

/// Several messages of one customer, several times each, with everything else Twilio tells of them.
#[tokio::test(start_paused = true)]
async fn all_events_of_a_conversation_in_any_order_are_one_interaction() {
    for seed in 0..30 {
        let rig = Rig::with(
            seed,
            |account| {
                rig::every_event(account);
                account.duplicate_guard = false;
            },
            &[],
        );
        let front = rig.front_in(&rig.unhurried_world().await);
        for text in ["one", "two", "three"] {
            rig.system.twilio.customer_writes(CUSTOMER, flexglue::local::system::SMS_NUMBER, text);
        }
        let mut webhooks = rig.system.twilio.take_webhooks();
        webhooks.extend(webhooks.clone());
        shuffle(&rig, &mut webhooks);
        let requests: Vec<_> =
            webhooks.iter().map(|webhook| rig.system.twilio.webhook_request(webhook)).collect();
        let answers: Vec<Answer> = stream::iter(requests)
            .map(|request| front.handle(request))
            .buffer_unordered(8)
            .map(|response| Answer::of(&response))
            .collect()
            .await;
        assert!(answers.iter().all(|answer| answer.status == 200), "seed {seed}: {answers:?}");
        assert_eq!(rig.system.twilio.interactions().len(), 1, "seed {seed}");
    }
}

/// The same on four threads and the machine's own clock, where interleavings are the machine's.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn fifty_identical_webhooks_on_four_threads_are_one_interaction() {
    for seed in 0..10 {
        let rig = Rig::with(seed, |account| account.duplicate_guard = false, &[]);
        let front = std::sync::Arc::new(rig.front_in(&rig.unhurried_world().await));
        let request = rig.message(CUSTOMER, "hello");
        let mut callers = tokio::task::JoinSet::new();
        for _ in 0..50 {
            let (front, request) = (std::sync::Arc::clone(&front), request.clone());
            callers.spawn(async move { Answer::of(&front.handle(request).await) });
        }
        let answers = callers.join_all().await;
        assert_eq!(outcomes(&answers)["created"], 1, "seed {seed}: {answers:?}");
        assert!(answers.iter().all(|answer| answer.status == 200), "seed {seed}: {answers:?}");
        assert_eq!(rig.system.twilio.interactions().len(), 1, "seed {seed}");
    }
}
