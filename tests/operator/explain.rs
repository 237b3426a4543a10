//! `flexglue explain` on recorded lives of conversations, each compared with a text that somebody has read
//! (`snapshots/`), and what it finds by which name; `flexglue adopt` on what it heals.

use std::time::Duration;

use flexglue::{
    adopt::{Adopted, adopt},
    explain::{Acts, Explanation, FindError, Found, Name, State, explain, find, text},
    local::system::SMS_NUMBER,
};
use flexglue_tests::{
    outbound::{ask, reach},
    rig::{CUSTOMER, Rig, forever},
    tale::{PATIENCE, Tale},
    wires::Fuse,
};
use jiff::tz::{TimeZone, offset};
use shared::{
    parts::Parts,
    rescue::{Ending, Rescuer},
};
use simulator::{Fault, Integration, Matcher, Misbehaviour, Reason, Times};

async fn rescuer(rig: &Rig) -> Rescuer {
    Parts::new("flexglue", &rig.system.settings, &rig.system.world().await).rescuer
}

async fn explained(rig: &Rig, sid: &str) -> Explanation {
    let base = rig.system.settings.public_base_url.as_ref();
    Box::pin(explain(&rescuer(rig).await, base, &sid.parse().unwrap(), forever())).await
}

/// What a person sees, an hour east of Greenwich, in a pipe.
fn seen(explanation: &Explanation) -> String {
    let seen = anstream::adapter::strip_str(&text(explanation, &TimeZone::fixed(offset(1)))).to_string();
    let widest = seen.lines().map(|line| line.chars().count()).max();
    assert!(widest <= Some(80), "{seen}");
    seen
}

/// Compares what a person sees of a conversation with what somebody has read.
async fn compare(name: &str, rig: &Rig, sid: &str, state: State, acts: Acts) {
    let requests = |rig: &Rig| rig.system.twilio.requests().iter().filter(|it| it.method != "GET").count();
    let before = requests(rig);
    let explanation = explained(rig, sid).await;
    assert_eq!((explanation.standing.state, explanation.standing.acts), (state, acts), "{explanation:#?}");
    assert_eq!(requests(rig), before, "nothing is changed by telling");
    let json = serde_json::to_string(&explanation).unwrap();
    let seen = seen(&explanation);
    for private in [CUSTOMER, "hello", "Ada"] {
        assert!(!json.contains(private) && !seen.contains(private), "{private} is about a person");
    }
    insta::with_settings!({ omit_expression => true, prepend_module_to_snapshot => false }, {
        insta::assert_snapshot!(name, seen);
    });
}

fn fault(on: Matcher, times: Times, what: Misbehaviour) -> Fault {
    Fault { on, times, what }
}

const INTERACTIONS: &str = "POST /v1/Interactions";

fn refuses_interactions(times: Times, status: u16, code: u32) -> Fault {
    fault(Matcher::route(INTERACTIONS), times, Misbehaviour::Status { status, code, retry_after: None })
}

/// A customer writes while something is wrong.
async fn written_while(fault: Fault) -> (Rig, String) {
    let rig = Rig::new();
    rig.system.twilio.misbehave(fault);
    rig.front().await.handle(rig.message(CUSTOMER, "hello")).await;
    let sid = rig.system.twilio.conversations()[0].sid.clone();
    (rig, sid)
}

/// A customer writes, and nobody tells flexglue.
fn writes_unheard(rig: &Rig) -> String {
    let sid = rig.system.twilio.customer_writes(CUSTOMER, SMS_NUMBER, "hello").conversation_sid;
    drop(rig.system.twilio.take_webhooks());
    sid
}

#[tokio::test(start_paused = true)]
async fn an_agent_is_in_it() {
    let tale = Tale::served(&[]).await;
    tale.minutes(1).await;
    compare("served", &tale.rig, &tale.sid, State::Served, Acts::Agent).await;
}

#[tokio::test(start_paused = true)]
async fn a_task_waits() {
    let tale = Tale::waiting(&[]).await;
    tale.minutes(1).await;
    compare("waiting", &tale.rig, &tale.sid, State::Waiting, Acts::Agent).await;
}

/// The webhook came fifty times; the story tells of one Interaction.
#[tokio::test(start_paused = true)]
async fn the_webhook_came_again_and_again() {
    let rig = Rig::new();
    let message = rig.message(CUSTOMER, "hello");
    let front = rig.front().await;
    for _ in 0..50 {
        front.handle(message.clone()).await;
    }
    rig.sweep_after_a_minute().await;
    let sid = rig.system.twilio.conversations()[0].sid.clone();
    compare("duplicate", &rig, &sid, State::Waiting, Acts::Agent).await;
}

/// The operator lets flexglue invite nobody again: an orphan stays one for a while.
#[tokio::test(start_paused = true)]
async fn an_agent_declined_after_another_had_left() {
    let tale = Tale::declined().await;
    tale.lose_webhooks();
    compare("declined", &tale.rig, &tale.sid, State::Orphaned, Acts::Flexglue).await;
    let shown = seen(&explained(&tale.rig, &tale.sid).await);
    assert!(include_str!("../../README.md").contains(&shown), "the README shows it as it is");

    // What is said to heal it does.
    let adopted = adopt(&rescuer(&tale.rig).await, &tale.sid.parse().unwrap(), forever()).await;
    assert!(matches!(adopted, Ok(Adopted::LookedAfter { ending: Ending::Reinvited, .. })), "{adopted:?}");
    compare("declined-healed", &tale.rig, &tale.sid, State::Waiting, Acts::Agent).await;
}

#[tokio::test(start_paused = true)]
async fn its_workflow_gave_up_and_agents_were_invited_again() {
    let tale = Tale::waiting(&[]).await;
    tale.pass(PATIENCE).await;
    tale.minutes(2).await;
    compare("invited-again", &tale.rig, &tale.sid, State::Waiting, Acts::Agent).await;
}

#[tokio::test(start_paused = true)]
async fn nobody_was_there_and_it_was_closed() {
    let tale = Tale::waiting(&[("MAX_REINVITES", "0")]).await;
    tale.pass(PATIENCE).await;
    tale.minutes(1).await;
    compare("given-up", &tale.rig, &tale.sid, State::Closed, Acts::Nobody).await;
}

#[tokio::test(start_paused = true)]
async fn its_webhook_was_lost() {
    let rig = Rig::new();
    let sid = writes_unheard(&rig);
    rig.pass(Duration::from_secs(30)).await;
    compare("lost", &rig, &sid, State::Lost, Acts::Flexglue).await;

    let adopted = adopt(&rescuer(&rig).await, &sid.parse().unwrap(), forever()).await;
    assert!(matches!(adopted, Ok(Adopted::Opened { .. })), "{adopted:?}");
    assert_eq!(rig.live_interactions(&sid).len(), 1);
    rig.sweep_after_a_minute().await;
    compare("lost-healed", &rig, &sid, State::Waiting, Acts::Agent).await;
}

#[tokio::test(start_paused = true)]
async fn its_address_has_neither_webhook_nor_flow() {
    let rig = Rig::with(
        1,
        |account| {
            let nothing = simulator::Address::webhook("sms", SMS_NUMBER, "");
            account.addresses = vec![simulator::Address { integration: Integration::Default, ..nothing }];
        },
        &[],
    );
    let sid = writes_unheard(&rig);
    compare("no-webhook", &rig, &sid, State::Lost, Acts::Flexglue).await;
}

#[tokio::test(start_paused = true)]
async fn its_interaction_does_not_come_up() {
    let (rig, sid) =
        written_while(fault(Matcher::Any, Times::Forever, Misbehaviour::FailSetUp { code: 45381 })).await;
    rig.pass(Duration::from_secs(2)).await;
    compare("set-up-failed", &rig, &sid, State::Orphaned, Acts::Flexglue).await;
    rig.sweep_after_a_minute().await;
    rig.sweep_after_a_minute().await;
    compare("set-up-failed-twice", &rig, &sid, State::Closed, Acts::Nobody).await;
}

#[tokio::test(start_paused = true)]
async fn twilio_is_down() {
    let (rig, sid) = written_while(refuses_interactions(Times::Forever, 429, 20429)).await;
    compare("put-off", &rig, &sid, State::PutOff, Acts::Flexglue).await;
}

#[tokio::test(start_paused = true)]
async fn twilio_refuses_for_good() {
    let (rig, sid) = written_while(refuses_interactions(Times::Forever, 400, 45367)).await;
    compare("refused", &rig, &sid, State::Refused, Acts::You).await;
}

#[tokio::test(start_paused = true)]
async fn it_is_parked() {
    let tale = Tale::served(&[]).await;
    tale.rig.system.twilio.agent_parks(&tale.task()).unwrap();
    tale.deliver().await;
    tale.minutes(2).await;
    compare("parked", &tale.rig, &tale.sid, State::Resting, Acts::Customer).await;
}

#[tokio::test(start_paused = true)]
async fn a_studio_flow_serves_it() {
    let rig = Rig::with(
        1,
        |account| {
            let flow_sid = format!("FW{:032x}", 1);
            let nothing = simulator::Address::webhook("sms", SMS_NUMBER, "");
            account.addresses =
                vec![simulator::Address { integration: Integration::Studio { flow_sid }, ..nothing }];
        },
        &[],
    );
    let sid = writes_unheard(&rig);
    compare("studio", &rig, &sid, State::SomebodyElses, Acts::SomebodyElse).await;
}

#[tokio::test(start_paused = true)]
async fn a_back_end_wrote_and_the_customer_has_not_answered() {
    let rig = Rig::new();
    let front = rig.front().await;
    let told = ask(&front, "key", &reach(&rig.system.twilio.settings(), "system")).await;
    assert_eq!(told.status, 201);
    rig.pass(Duration::from_mins(1)).await;
    compare("reached-out", &rig, &told.text("conversation_sid"), State::Quiet, Acts::Customer).await;
}

/// The process was killed after it asked, and before it wrote down what Twilio answered.
#[tokio::test(start_paused = true)]
async fn its_owner_died() {
    let rig = Rig::new();
    // The claim, the request to Twilio, and then not the answer.
    let fuse = Fuse::at(3);
    let world = rig.system.world_through(|to| fuse.wire(to), |to| fuse.wire(to)).await;
    let front = rig.front_in(&world);
    let message = rig.message(CUSTOMER, "hello");
    assert!(fuse.guard(front.handle(message)).await.is_none());
    assert_eq!(rig.system.twilio.interactions().len(), 1);
    rig.pass(Duration::from_secs(30)).await;
    let sid = rig.system.twilio.conversations()[0].sid.clone();
    compare("owner-died", &rig, &sid, State::PutOff, Acts::Flexglue).await;
    rig.pass(Duration::from_mins(10)).await;
    compare("owner-died-and-nobody-sweeps", &rig, &sid, State::PutOff, Acts::Flexglue).await;
}

#[tokio::test(start_paused = true)]
async fn the_customer_was_served_and_it_is_over() {
    let tale = Tale::served(&[]).await;
    tale.rig.system.twilio.agent_ends_chat(&tale.task()).unwrap();
    tale.rig.system.twilio.close_conversation(&tale.sid, Reason::Api).ok();
    tale.minutes(10).await;
    compare("over", &tale.rig, &tale.sid, State::Closed, Acts::Nobody).await;
}

async fn found(rig: &Rig, name: &str) -> Result<Found, FindError> {
    let name: Name = name.parse().unwrap();
    find(&rescuer(rig).await, &name, forever()).await
}

/// By its own SID, its Interaction's, its task's, and the customer's address.
#[tokio::test(start_paused = true)]
async fn a_conversation_is_found_by_whatever_a_person_has_at_hand() {
    let tale = Tale::waiting(&[]).await;
    let interaction = tale.rig.live_interactions(&tale.sid).remove(0).sid;
    for name in [&tale.sid, &interaction, &tale.task(), CUSTOMER] {
        assert_eq!(found(&tale.rig, name).await.unwrap().conversation.as_str(), tale.sid, "{name}");
    }
    // Those of an account that flexglue has never seen are found at Twilio.
    tale.forget();
    for name in [&interaction, &tale.task()] {
        assert_eq!(found(&tale.rig, name).await.unwrap().conversation.as_str(), tale.sid, "{name}");
    }
}

/// The one that is open, whatever Twilio lists first.
#[tokio::test(start_paused = true)]
async fn of_an_addresss_conversations_the_open_one_is_meant() {
    let rig = Rig::new();
    let over = writes_unheard(&rig);
    rig.system.twilio.close_conversation(&over, Reason::Api).unwrap();
    let alone = found(&rig, CUSTOMER).await.unwrap();
    assert_eq!((alone.conversation.as_str(), alone.others.len()), (over.as_str(), 0));
    rig.pass(Duration::from_mins(1)).await;
    let open = writes_unheard(&rig);
    let both = found(&rig, CUSTOMER).await.unwrap();
    assert_eq!((both.conversation.as_str(), both.others[0].as_str()), (open.as_str(), over.as_str()));
}

#[tokio::test(start_paused = true)]
async fn what_nobody_knows_is_told_as_such() {
    let rig = Rig::new();
    let nobody = |prefix: &str| format!("{prefix}{:032x}", 7);
    for name in [nobody("WT"), nobody("KD"), "+15550009999".to_owned()] {
        assert!(matches!(found(&rig, &name).await, Err(FindError::Nobody(_))), "{name}");
    }
    let explanation = explained(&rig, &nobody("CH")).await;
    assert_eq!(explanation.standing.state, State::Unknown);
    assert!("ada@example.com".parse::<Name>().is_err());
}

/// Twilio does not answer: nothing is taken for anything else.
#[tokio::test(start_paused = true)]
async fn what_cannot_be_asked_is_not_guessed() {
    let tale = Tale::waiting(&[]).await;
    let broken = Misbehaviour::Status { status: 500, code: 20500, retry_after: None };
    tale.rig.system.twilio.misbehave(fault(Matcher::Any, Times::Forever, broken));
    let explanation = explained(&tale.rig, &tale.sid).await;
    assert_eq!(explanation.standing.state, State::NotKnown);
    assert!(
        explanation.chain.iter().all(|link| link.mark != flexglue::explain::Mark::Yes),
        "{explanation:#?}"
    );
    let adopted = adopt(&rescuer(&tale.rig).await, &tale.sid.parse().unwrap(), forever()).await;
    assert!(adopted.is_err(), "{adopted:?}");
}

/// Adopting what somebody else made, what is over, what has no customer, and twenty times at once.
#[tokio::test(start_paused = true)]
async fn however_a_conversation_is_adopted_it_has_one_interaction() {
    let rig = Rig::new();
    let sid = writes_unheard(&rig);
    let rescuer = rescuer(&rig).await;
    let parsed = sid.parse().unwrap();
    let all = futures_util::future::join_all((0..20).map(|_| adopt(&rescuer, &parsed, forever()))).await;
    let opened = all.iter().filter(|adopted| matches!(adopted, Ok(Adopted::Opened { .. }))).count();
    assert_eq!((opened, rig.system.twilio.interactions().len()), (1, 1), "{all:?}");

    let nobody = format!("CH{:032x}", 7).parse().unwrap();
    assert_eq!(adopt(&rescuer, &nobody, forever()).await.unwrap(), Adopted::Unknown);
    let empty = rig.rest(http::Method::POST, "/v1/Conversations", "").await;
    let empty = empty["sid"].as_str().unwrap().parse().unwrap();
    assert_eq!(adopt(&rescuer, &empty, forever()).await.unwrap(), Adopted::NoCustomer);
    let over = rig.system.twilio.customer_writes("+15551230002", SMS_NUMBER, "hi").conversation_sid;
    rig.system.twilio.close_conversation(&over, Reason::Api).unwrap();
    assert_eq!(adopt(&rescuer, &over.parse().unwrap(), forever()).await.unwrap(), Adopted::Over);
    assert_eq!(rig.system.twilio.interactions().len(), 1);
}

/// What a Studio flow or a person made is found and not made again.
#[tokio::test(start_paused = true)]
async fn an_interaction_of_somebody_elses_is_adopted_and_not_repeated() {
    let tale = Tale::waiting(&[]).await;
    tale.forget();
    let adopted = adopt(&rescuer(&tale.rig).await, &tale.sid.parse().unwrap(), forever()).await.unwrap();
    assert!(matches!(adopted, Adopted::Found { .. }), "{adopted:?}");
    assert_eq!(tale.rig.system.twilio.interactions().len(), 1);
}
