//! What becomes of a customer when a task ends, by where the conversation stands, what TaskRouter tells and what
//! the operator wants: one test for each, through the real handler, with what customer and Twilio see.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use flexglue::local::system::{self, PUBLIC_URL, SMS_NUMBER, call_back};
use flexglue_tests::{
    rig::{Ahead, CUSTOMER, Rig},
    tale::{NO_AGENT, PATIENCE, STILL_WAITING, Tale},
    wires::{Forgetful, Fuse, Gate, WithoutToken},
};
use http::Method;
use shared::{conversation::Stage, ledger::DUE_SHARDS, parts::World};
use simulator::{
    ConversationState::{Active, Closed},
    Fault, Matcher, Misbehaviour, Reason, Times, WebhookFault, WebhookMisbehaviour,
};

/// What customer and Twilio see.
#[derive(Debug, PartialEq)]
struct Seen {
    told: Vec<String>,
    /// The number of each live task's re-invite; 0 for one that is none.
    tasks: Vec<u64>,
    agents: usize,
    state: simulator::ConversationState,
}

fn seen(tale: &Tale) -> Seen {
    Seen { told: tale.told(), tasks: tale.numbers(), agents: tale.agents().len(), state: tale.state() }
}

/// Nobody is in it, and one re-invite waits.
fn reinvited(number: u64, told: &[&str]) -> Seen {
    Seen { told: words(told), tasks: vec![number], agents: 0, state: Active }
}

fn left_alone(tasks: Vec<u64>, agents: usize) -> Seen {
    Seen { told: vec![], tasks, agents, state: Active }
}

fn closed(told: &[&str]) -> Seen {
    Seen { told: words(told), tasks: vec![], agents: 0, state: Closed }
}

fn words(told: &[&str]) -> Vec<String> {
    told.iter().map(|text| (*text).to_owned()).collect()
}

const NO_REINVITES: (&str, &str) = ("MAX_REINVITES", "0");
const REINVITES_FIRST: &str = r#"{"workflow.timeout":["reinvite","message:still_waiting"]}"#;

fn fault(route: &str, times: Times, what: Misbehaviour) -> Fault {
    Fault { on: Matcher::route(route), times, what }
}

const INVITES: &str = "POST /v1/Interactions/{sid}/Channels/{sid}/Invites";
const MESSAGES: &str = "POST /v1/Conversations/{sid}/Messages";

// --- A task waits, and nobody is in it ---------------------------------------------------------------------

/// Trap 29: `workflow.timeout` and `task.canceled` both come.
#[tokio::test(start_paused = true)]
async fn a_workflow_that_times_out_is_followed_by_one_re_invite() {
    let tale = Tale::waiting(&[]).await;
    tale.pass(PATIENCE).await;
    assert_eq!(seen(&tale), reinvited(1, &[STILL_WAITING]));
    tale.minutes(3).await;
    assert_eq!(seen(&tale), reinvited(1, &[STILL_WAITING]));
}

#[tokio::test(start_paused = true)]
async fn a_workflow_whose_last_step_is_skipped_is_followed_by_one_re_invite() {
    let steps = |account: &mut simulator::Settings| {
        account.workflow_steps = vec![simulator::WorkflowStep { timeout_s: 60 }];
        account.workflow_skips_last_step = true;
    };
    let tale = Tale::waiting_in(steps, &[]).await;
    tale.rig.system.twilio.change_settings(|account| account.workflow_steps.clear());
    tale.pass(Duration::from_secs(61)).await;
    assert_eq!(seen(&tale), reinvited(1, &[STILL_WAITING]));
}

#[tokio::test(start_paused = true)]
async fn a_task_that_somebody_cancels_is_followed_by_a_re_invite() {
    let tale = Tale::waiting(&[]).await;
    tale.cancel(&tale.task()).await;
    assert_eq!(seen(&tale), reinvited(1, &[STILL_WAITING]));
}

#[tokio::test(start_paused = true)]
async fn a_task_that_outlives_its_time_is_followed_by_a_re_invite() {
    let rules = r#"[{"timeout":120}]"#;
    let tale = Tale::waiting(&[("ROUTING_RULES", rules)]).await;
    tale.pass(Duration::from_secs(121)).await;
    assert_eq!(seen(&tale), reinvited(1, &[STILL_WAITING]));
}

#[tokio::test(start_paused = true)]
async fn a_task_that_somebody_deletes_is_followed_by_a_silent_re_invite() {
    let tale = Tale::waiting(&[]).await;
    tale.rig.system.twilio.task_is_deleted(&tale.task()).unwrap();
    tale.deliver().await;
    assert_eq!(seen(&tale), reinvited(1, &[]));
}

#[tokio::test(start_paused = true)]
async fn a_task_that_is_offered_when_its_workflow_gives_up_is_no_different() {
    let tale = Tale::waiting(&[]).await;
    tale.rig.system.twilio.task_is_offered(&tale.task(), &tale.worker(0)).unwrap();
    tale.pass(PATIENCE).await;
    assert_eq!(seen(&tale), reinvited(1, &[STILL_WAITING]));
}

#[tokio::test(start_paused = true)]
async fn an_offer_that_is_rejected_or_not_answered_is_no_end() {
    let tale = Tale::waiting(&[]).await;
    let task = tale.task();
    tale.rig.system.twilio.agent_rejects(&task, &tale.worker(0)).unwrap();
    tale.rig.system.twilio.task_is_offered(&task, &tale.worker(1)).unwrap();
    tale.rig.system.twilio.reservation_times_out(&task, &tale.worker(1)).unwrap();
    tale.deliver().await;
    assert_eq!(seen(&tale), left_alone(vec![0], 0));
}

#[tokio::test(start_paused = true)]
async fn an_operator_who_wants_it_ignored_has_it_left_alone() {
    let policy = r#"{"workflow.timeout":["ignore"],"task.canceled":["ignore"]}"#;
    let tale = Tale::waiting(&[("TERMINAL_POLICY", policy)]).await;
    tale.pass(PATIENCE).await;
    tale.minutes(30).await;
    assert_eq!(seen(&tale), left_alone(vec![], 0));
}

/// The first of the two events decides: the second is about the same end.
#[tokio::test(start_paused = true)]
async fn the_first_event_of_an_end_decides() {
    let policy = r#"{"workflow.timeout":["ignore"],"task.canceled":["close"]}"#;
    let tale = Tale::waiting(&[("TERMINAL_POLICY", policy)]).await;
    tale.pass(PATIENCE).await;
    tale.minutes(30).await;
    assert_eq!(seen(&tale), left_alone(vec![], 0));
}

#[tokio::test(start_paused = true)]
async fn an_operator_may_have_customers_told_and_nothing_else() {
    let policy = r#"{"workflow.timeout":["message:still_waiting"]}"#;
    let tale = Tale::waiting(&[("TERMINAL_POLICY", policy)]).await;
    tale.pass(PATIENCE).await;
    tale.minutes(30).await;
    assert_eq!(seen(&tale), Seen { told: words(&[STILL_WAITING]), ..left_alone(vec![], 0) });
}

#[tokio::test(start_paused = true)]
async fn an_operator_may_have_conversations_told_and_closed() {
    let variables = [
        ("TERMINAL_POLICY", r#"{"workflow.timeout":["message:closed","close"]}"#),
        ("CUSTOMER_MESSAGES", r#"{"closed":"Bye."}"#),
    ];
    let tale = Tale::waiting(&variables).await;
    tale.pass(PATIENCE).await;
    assert_eq!(seen(&tale), closed(&["Bye."]));
    assert_eq!(tale.record().await.stage, Stage::Closed);
}

#[tokio::test(start_paused = true)]
async fn an_operator_may_want_nothing_said() {
    let tale = Tale::waiting(&[("CUSTOMER_MESSAGES", r#"{"still_waiting":""}"#)]).await;
    tale.pass(PATIENCE).await;
    assert_eq!(seen(&tale), reinvited(1, &[]));
}

#[tokio::test(start_paused = true)]
async fn an_operator_may_have_customers_told_after_the_re_invite() {
    let policy = r#"{"workflow.timeout":["reinvite","message:still_waiting"]}"#;
    let tale = Tale::waiting(&[("TERMINAL_POLICY", policy)]).await;
    tale.pass(PATIENCE).await;
    assert_eq!(seen(&tale), reinvited(1, &[STILL_WAITING]));
}

#[tokio::test(start_paused = true)]
async fn without_re_invites_the_customer_is_told_and_the_conversation_closed() {
    let tale = Tale::waiting(&[NO_REINVITES]).await;
    tale.pass(PATIENCE).await;
    assert_eq!(seen(&tale), closed(&[NO_AGENT]));
}

/// Trap 24.
#[tokio::test(start_paused = true)]
async fn a_workflow_that_gives_up_at_once_is_invited_twice_with_pauses_and_no_more() {
    let tale = Tale::waiting(&[]).await;
    tale.rig.system.twilio.change_settings(|account| account.workflow_timeout_s = Some(0));
    tale.pass(PATIENCE).await;
    assert_eq!(tale.record().await.reinvites, 1);
    tale.pass(Duration::from_secs(30)).await;
    assert_eq!((tale.record().await.reinvites, tale.state()), (1, Active), "the second waits its time");
    tale.minutes(6).await;
    assert_eq!(seen(&tale), closed(&[STILL_WAITING, NO_AGENT]));
    assert_eq!(tale.record().await.reinvites, 2);
}

/// Trap 22.
#[tokio::test(start_paused = true)]
async fn a_re_invite_has_the_first_tasks_attributes_and_routing_and_its_own_workflow() {
    let fallback = simulator::Settings::default().fallback_workflow_sid;
    let variables = [
        ("FALLBACK_WORKFLOW_SID", fallback.as_str()),
        ("ROUTING_RULES", r#"[{"priority":7,"task_channel":"sms","attributes":{"skill":"billing"}}]"#),
    ];
    let tale = Tale::waiting(&variables).await;
    let first = tale.live_tasks().remove(0);
    tale.pass(PATIENCE).await;
    let again = tale.live_tasks().remove(0);
    assert_eq!((again.priority, again.task_channel.as_str()), (7, "sms"));
    assert_eq!(again.workflow_sid, fallback);
    assert!(again.by_invite && again.interaction_sid == first.interaction_sid);
    for name in ["skill", "from", "customerAddress", "channelType", "conversationSid"] {
        assert_eq!(again.attributes[name], first.attributes[name], "{name}");
    }
    assert_ne!(again.attributes["flexChannelInviteSid"], first.attributes["flexChannelInviteSid"]);
}

// --- The callback is lost, doubled, late, out of order ------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn an_end_of_which_nobody_tells_is_found_by_the_sweeper() {
    let tale = Tale::waiting(&[]).await;
    tale.rig.sweep_after_a_minute().await;
    tale.cancel_unheard().await;
    tale.minutes(40).await;
    assert_eq!(seen(&tale), reinvited(1, &[STILL_WAITING]));
}

#[tokio::test(start_paused = true)]
async fn a_deletion_of_which_nobody_tells_is_found_in_the_log() {
    let tale = Tale::waiting(&[]).await;
    tale.rig.sweep_after_a_minute().await;
    tale.rig.system.twilio.task_is_deleted(&tale.task()).unwrap();
    tale.lose_webhooks();
    tale.minutes(40).await;
    assert_eq!(seen(&tale), reinvited(1, &[]), "told nothing: that is how deletions are treated");
}

#[tokio::test(start_paused = true)]
async fn callbacks_that_come_twice_act_once() {
    let tale = Tale::waiting(&[]).await;
    let every = WebhookFault { event: None, times: Times::Forever, what: WebhookMisbehaviour::Doubled };
    tale.rig.system.twilio.misbehave_with_webhooks(every);
    tale.pass(PATIENCE).await;
    assert_eq!(seen(&tale), reinvited(1, &[STILL_WAITING]));
}

#[tokio::test(start_paused = true)]
async fn callbacks_out_of_order_act_once() {
    let tale = Tale::waiting(&[]).await;
    let first = Some("workflow.timeout".to_owned());
    let fault = WebhookFault { event: first, times: Times::Forever, what: WebhookMisbehaviour::Reordered };
    tale.rig.system.twilio.misbehave_with_webhooks(fault);
    tale.pass(PATIENCE).await;
    assert_eq!(seen(&tale), reinvited(1, &[STILL_WAITING]));
}

#[tokio::test(start_paused = true)]
async fn an_end_that_is_told_an_hour_late_touches_nothing_that_came_after() {
    let tale = Tale::waiting(&[]).await;
    let late = Some("task.canceled".to_owned());
    let what = WebhookMisbehaviour::DelayedMs(3_600_000);
    tale.rig.system.twilio.misbehave_with_webhooks(WebhookFault { event: late, times: Times::Next(1), what });
    tale.pass(PATIENCE).await;
    tale.agent_accepts(0).await;
    tale.minutes(61).await;
    let expected = Seen { told: words(&[STILL_WAITING]), ..left_alone(vec![1], 1) };
    assert_eq!(seen(&tale), expected);
}

#[tokio::test(start_paused = true)]
async fn an_agent_who_accepts_while_the_end_of_another_task_is_told_keeps_the_conversation() {
    let tale = Tale::waiting(&[]).await;
    let first = tale.task();
    tale.invite(None).await;
    tale.agent_accepts(0).await;
    tale.cancel(&first).await;
    assert_eq!(seen(&tale), left_alone(vec![0], 1));
}

#[tokio::test(start_paused = true)]
async fn a_callback_that_meets_a_table_that_is_down_is_sent_again() {
    let tale = Tale::waiting(&[]).await;
    let world = tale.rig.system.world_through(|to| to, |to| Arc::new(Forgetful::new(to, |_, _| true))).await;
    let down = tale.rig.front_in(&world);
    tale.rig.pass(PATIENCE).await;
    for webhook in tale.rig.system.twilio.take_webhooks() {
        let answer = system::deliver(&tale.rig.system.twilio, &down, &webhook).await.status().as_u16();
        assert_eq!(answer, 503);
        tale.rig.system.twilio.webhook_answered(&webhook, Some(answer));
    }
    tale.pass(Duration::from_secs(2)).await;
    assert_eq!(seen(&tale), reinvited(1, &[STILL_WAITING]));
}

// --- An agent is in it, or was ------------------------------------------------------------------------------

/// Trap 23.
#[tokio::test(start_paused = true)]
async fn the_end_of_a_second_agents_task_touches_nothing() {
    let tale = Tale::served(&[]).await;
    let second = tale.invite(None).await;
    tale.cancel(&second).await;
    tale.minutes(10).await;
    assert_eq!(seen(&tale), left_alone(vec![0], 1));
}

#[tokio::test(start_paused = true)]
async fn a_second_agent_who_declines_touches_nothing() {
    let tale = Tale::served(&[]).await;
    let second = tale.invite(Some(1)).await;
    tale.rig.system.twilio.agent_rejects(&second, &tale.worker(1)).unwrap();
    tale.deliver().await;
    assert_eq!(seen(&tale), left_alone(vec![0], 1));
}

#[tokio::test(start_paused = true)]
async fn the_first_agents_end_leaves_it_to_the_second() {
    let tale = Tale::served(&[]).await;
    let first = tale.task();
    tale.invite(Some(1)).await;
    tale.agent_accepts(1).await;
    tale.rig.system.twilio.agent_leaves(&first).unwrap();
    tale.deliver().await;
    tale.minutes(10).await;
    assert_eq!(seen(&tale), left_alone(vec![0], 1));
}

/// Trap 11: a cold transfer whose second half comes to nothing.
#[tokio::test(start_paused = true)]
async fn an_agent_who_left_for_an_invitation_that_is_declined_leaves_an_orphan() {
    let tale = Tale::declined().await;
    tale.deliver().await;
    assert_eq!(seen(&tale), reinvited(1, &[STILL_WAITING]));
    let again = tale.live_tasks().remove(0);
    assert_eq!(again.routing_target, None, "the workflow decides, not the worker who declined");
}

#[tokio::test(start_paused = true)]
async fn a_transfer_under_way_touches_nothing() {
    let tale = Tale::served(&[]).await;
    let first = tale.task();
    tale.rig.system.twilio.agent_transfers(&first, None, false).unwrap();
    tale.deliver().await;
    tale.minutes(3).await;
    assert_eq!(tale.agents().len(), 1);
    tale.agent_accepts(1).await;
    tale.minutes(3).await;
    assert_eq!(seen(&tale), left_alone(vec![0], 1));
}

#[tokio::test(start_paused = true)]
async fn a_transfer_that_nobody_takes_touches_nothing() {
    let tale = Tale::served(&[]).await;
    let first = tale.task();
    let second = tale.rig.system.twilio.agent_transfers(&first, Some(&tale.worker(1)), true).unwrap();
    tale.rig.system.twilio.agent_rejects(&second, &tale.worker(1)).unwrap();
    tale.deliver().await;
    tale.minutes(3).await;
    assert_eq!(seen(&tale), left_alone(vec![0], 1));
}

/// Trap 21.
#[tokio::test(start_paused = true)]
async fn a_parked_conversation_is_left_alone_for_days() {
    let tale = Tale::served(&[]).await;
    tale.rig.system.twilio.agent_parks(&tale.task()).unwrap();
    tale.deliver().await;
    tale.minutes(30).await;
    tale.pass(Duration::from_hours(72)).await;
    tale.minutes(3).await;
    assert_eq!(seen(&tale), left_alone(vec![], 0));
}

#[tokio::test(start_paused = true)]
async fn a_parked_conversation_of_which_nobody_told_is_left_alone() {
    let tale = Tale::served(&[]).await;
    tale.rig.system.twilio.agent_parks(&tale.task()).unwrap();
    tale.lose_webhooks();
    tale.pass(Duration::from_hours(7)).await;
    tale.minutes(30).await;
    assert_eq!(seen(&tale), left_alone(vec![], 0));
}

#[tokio::test(start_paused = true)]
async fn a_conversation_that_an_agent_left_is_left_alone() {
    let tale = Tale::served(&[]).await;
    tale.rig.system.twilio.agent_leaves(&tale.task()).unwrap();
    tale.deliver().await;
    tale.minutes(30).await;
    assert_eq!(seen(&tale), left_alone(vec![], 0));
}

#[tokio::test(start_paused = true)]
async fn an_unparked_conversation_whose_invitation_times_out_is_an_orphan() {
    let tale = Tale::served(&[]).await;
    tale.rig.system.twilio.agent_parks(&tale.task()).unwrap();
    tale.deliver().await;
    tale.minutes(5).await;
    let invited = tale.invite(None).await;
    tale.cancel(&invited).await;
    assert_eq!(seen(&tale), reinvited(1, &[STILL_WAITING]));
}

/// Nobody tells of it, and Twilio shows no invites: TaskRouter's log does.
#[tokio::test(start_paused = true)]
async fn an_unparked_conversation_of_whose_invitation_nobody_told_is_found_in_the_log() {
    let tale = Tale::served(&[]).await;
    tale.rig.system.twilio.agent_parks(&tale.task()).unwrap();
    tale.deliver().await;
    tale.minutes(5).await;
    let gone = Misbehaviour::Status { status: 404, code: 20404, retry_after: None };
    let lost = WebhookFault { event: None, times: Times::Forever, what: WebhookMisbehaviour::Lost };
    tale.rig.system.twilio.misbehave_with_webhooks(lost);
    let invited = tale.invite(None).await;
    tale.cancel(&invited).await;
    tale.rig.system.twilio.behave();
    tale.rig.system.twilio.misbehave(fault(
        "GET /v1/Interactions/{sid}/Channels/{sid}/Invites",
        Times::Forever,
        gone,
    ));
    tale.minutes(90).await;
    assert_eq!(seen(&tale), reinvited(1, &[STILL_WAITING]));
}

/// An assigned task is deleted by the system after a day.
#[tokio::test(start_paused = true)]
async fn a_task_that_an_agent_had_for_a_day_is_followed_by_a_silent_re_invite() {
    let tale = Tale::served(&[]).await;
    tale.pass(Duration::from_hours(24)).await;
    assert_eq!(seen(&tale), reinvited(1, &[]));
}

#[tokio::test(start_paused = true)]
async fn a_task_that_is_deleted_under_an_agent_is_followed_by_a_re_invite() {
    let tale = Tale::served(&[]).await;
    tale.rig.system.twilio.task_is_deleted(&tale.task()).unwrap();
    tale.deliver().await;
    assert_eq!(seen(&tale), reinvited(1, &[]));
}

#[tokio::test(start_paused = true)]
async fn a_chat_that_an_agent_ends_is_recorded_as_over() {
    let tale = Tale::served(&[]).await;
    let task = tale.task();
    tale.rig.system.twilio.agent_ends_chat(&task).unwrap();
    tale.rig.system.twilio.task_completes(&task).unwrap();
    tale.deliver().await;
    let calls = tale.calls();
    tale.minutes(2).await;
    assert_eq!(seen(&tale), closed(&[]));
    assert_eq!(tale.record().await.stage, Stage::Closed);
    assert_eq!(tale.posts(calls), [""; 0]);
}

// --- The channel does not take an invitation ------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn a_conversation_that_was_closed_before_the_end_is_told_stays_as_it_is() {
    let tale = Tale::waiting(&[]).await;
    tale.rig.system.twilio.close_conversation(&tale.sid, Reason::Timer).unwrap();
    tale.deliver().await;
    let calls = tale.calls();
    tale.minutes(3).await;
    assert_eq!(seen(&tale), closed(&[]));
    assert_eq!(tale.posts(calls), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_paused_channel_is_left_alone() {
    let tale = Tale::served(&[]).await;
    let form = "Status=inactive&Routing=%7B%22status%22%3A%22closed%22%7D";
    tale.rest(Method::POST, &tale.channel_path(), form).await;
    tale.minutes(30).await;
    assert_eq!((tale.told(), tale.live_tasks().len()), (vec![], 0));
    assert_eq!(tale.state(), simulator::ConversationState::Inactive);
}

/// Twilio deletes a channel after 180 days without activity; the conversation lives on.
async fn whose_channel_is_gone(holds: bool) -> Tale {
    let tale = Tale::waiting_in(|account| account.deleted_channel_holds = holds, &[]).await;
    tale.agent_accepts(0).await;
    tale.rig.system.twilio.agent_parks(&tale.task()).unwrap();
    tale.deliver().await;
    tale.invite(None).await;
    tale.rig.pass(Duration::from_hours(24 * 181)).await;
    tale.deliver().await;
    tale.minutes(5).await;
    tale
}

#[tokio::test(start_paused = true)]
async fn a_channel_that_is_gone_is_replaced_by_a_new_interaction() {
    let tale = whose_channel_is_gone(false).await;
    assert_eq!(seen(&tale), reinvited(1, &[STILL_WAITING]));
    assert_eq!(tale.rig.system.twilio.interactions_on(&tale.sid).len(), 2);
}

/// Nobody could confirm that Twilio takes a second Interaction then. Where it does not, the customer is told, and
/// their next message begins anew.
#[tokio::test(start_paused = true)]
async fn a_channel_that_is_gone_and_cannot_be_replaced_ends_with_a_customer_who_is_told() {
    let tale = whose_channel_is_gone(true).await;
    assert_eq!(seen(&tale), closed(&[STILL_WAITING, NO_AGENT]));
}

#[tokio::test(start_paused = true)]
async fn a_channel_that_somebody_closed_has_its_conversation_closed_too() {
    let tale = Tale::waiting_in(|account| account.closing_ends_channel = false, &[]).await;
    tale.rest(Method::POST, &tale.channel_path(), "Status=closed&Routing=%7B%22status%22%3A%22closed%22%7D")
        .await;
    tale.minutes(3).await;
    assert_eq!(seen(&tale), closed(&[]));
    assert_eq!(tale.record().await.stage, Stage::Closed);
}

// --- The Interaction never came up ------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn an_interaction_that_fails_is_made_again_as_soon_as_its_task_is_canceled() {
    let tale = failing(1).await;
    assert_eq!(seen(&tale), left_alone(vec![0], 0));
    assert_eq!(tale.rig.system.twilio.interactions().len(), 2);
    let history = tale.rig.history(&tale.sid).await;
    assert!(history.iter().any(|entry| entry.code == Some(45381)), "why it failed is kept");
}

#[tokio::test(start_paused = true)]
async fn an_interaction_that_fails_twice_ends_with_a_customer_who_is_told() {
    let tale = failing(2).await;
    tale.minutes(2).await;
    assert_eq!(seen(&tale), closed(&[NO_AGENT]));
    assert_eq!(tale.rig.system.twilio.interactions().len(), 2);
}

async fn failing(times: u32) -> Tale {
    let rig = Rig::with(1, |account| call_back(account, PUBLIC_URL), &[]);
    rig.system.twilio.misbehave(Fault {
        on: Matcher::Any,
        times: Times::Next(times),
        what: Misbehaviour::FailSetUp { code: 45381 },
    });
    let front = rig.front().await;
    let sid = rig.system.twilio.customer_writes(CUSTOMER, SMS_NUMBER, "hello").conversation_sid;
    let tale = Tale { rig, front, sid };
    tale.deliver().await;
    tale.pass(Duration::from_secs(1)).await;
    tale.pass(Duration::from_secs(1)).await;
    tale
}

// --- Conversations that flexglue never saw --------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn a_flex_conversation_never_seen_is_taken_in_and_treated_the_same() {
    let tale = Tale::waiting(&[]).await;
    tale.forget();
    tale.pass(PATIENCE).await;
    assert_eq!(seen(&tale), reinvited(1, &[STILL_WAITING]));
    let again = tale.live_tasks().remove(0);
    assert_eq!(again.attributes["customerAddress"], CUSTOMER);
}

#[tokio::test(start_paused = true)]
async fn a_task_whose_attributes_were_overwritten_is_known_by_its_sid() {
    let tale = Tale::waiting(&[]).await;
    let workspace = tale.rig.system.twilio.settings().workspace_sid;
    let path = format!("/v1/Workspaces/{workspace}/Tasks/{}", tale.task());
    tale.rest(Method::POST, &path, "Attributes=%7B%22vip%22%3Atrue%7D").await;
    tale.pass(PATIENCE).await;
    assert_eq!(seen(&tale), reinvited(1, &[STILL_WAITING]));
}

// --- Twilio fails in the middle --------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn a_re_invite_whose_answer_is_lost_is_found_and_not_made_again() {
    let tale = Tale::waiting(&[]).await;
    tale.rig.system.twilio.misbehave(fault(INVITES, Times::Next(1), Misbehaviour::LostAfter));
    tale.pass(PATIENCE).await;
    tale.minutes(3).await;
    assert_eq!(seen(&tale), reinvited(1, &[STILL_WAITING]));
    assert_eq!(tale.record().await.reinvites, 1);
}

#[tokio::test(start_paused = true)]
async fn a_message_whose_answer_is_lost_is_not_sent_again() {
    let tale = Tale::waiting(&[]).await;
    tale.rig.system.twilio.misbehave(fault(MESSAGES, Times::Next(1), Misbehaviour::LostAfter));
    tale.pass(PATIENCE).await;
    tale.minutes(3).await;
    assert_eq!(seen(&tale), reinvited(1, &[STILL_WAITING]));
}

/// Found by the simulation: who could not find out took it for not sent.
#[tokio::test(start_paused = true)]
async fn a_message_of_which_nobody_can_find_out_is_not_sent_again() {
    for what in [
        Misbehaviour::Status { status: 429, code: 20429, retry_after: None },
        Misbehaviour::Status { status: 503, code: 20503, retry_after: None },
        Misbehaviour::Hang,
    ] {
        let tale = Tale::waiting(&[]).await;
        let twilio = &tale.rig.system.twilio;
        twilio.misbehave(fault(MESSAGES, Times::Next(1), Misbehaviour::LostAfter));
        twilio.misbehave(fault("GET /v1/Conversations/{sid}/Messages", Times::Forever, what));
        tale.pass(PATIENCE).await;
        tale.minutes(3).await;
        assert_eq!(seen(&tale).told, [STILL_WAITING]);
        twilio.behave();
        tale.minutes(5).await;
        assert_eq!(seen(&tale), reinvited(1, &[STILL_WAITING]));
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_that_never_arrived_is_sent_again() {
    let tale = Tale::waiting(&[]).await;
    tale.rig.system.twilio.misbehave(fault(MESSAGES, Times::Next(1), Misbehaviour::LostBefore));
    tale.pass(PATIENCE).await;
    tale.minutes(3).await;
    assert_eq!(seen(&tale), reinvited(1, &[STILL_WAITING]));
}

#[tokio::test(start_paused = true)]
async fn a_message_that_twilio_refuses_keeps_nobody_from_an_agent() {
    let tale = Tale::waiting(&[]).await;
    let refused = Misbehaviour::Status { status: 400, code: 50400, retry_after: None };
    tale.rig.system.twilio.misbehave(fault(MESSAGES, Times::Forever, refused));
    tale.pass(PATIENCE).await;
    assert_eq!(seen(&tale), reinvited(1, &[]));
}

#[tokio::test(start_paused = true)]
async fn a_twilio_that_asks_to_slow_down_for_an_hour_is_obeyed_and_nothing_is_lost() {
    let tale = Tale::waiting(&[]).await;
    let slow = Misbehaviour::Status { status: 429, code: 20429, retry_after: Some(30) };
    tale.rig.system.twilio.misbehave(Fault { on: Matcher::Any, times: Times::Forever, what: slow });
    tale.pass(PATIENCE).await;
    let mut told_of_it = 0;
    for _ in 0..60 {
        let report = tale.rig.sweep_after_a_minute().await;
        told_of_it += report.left + report.errors;
    }
    assert!(told_of_it > 5, "{told_of_it}");
    tale.rig.system.twilio.behave();
    tale.minutes(6).await;
    assert_eq!(seen(&tale), reinvited(1, &[STILL_WAITING]));
}

#[tokio::test(start_paused = true)]
async fn a_refused_re_invite_is_tried_again_and_mended_once_its_reason_is() {
    let tale = Tale::waiting(&[]).await;
    let refused = Misbehaviour::Status { status: 400, code: 45367, retry_after: None };
    tale.rig.system.twilio.misbehave(fault(INVITES, Times::Forever, refused));
    tale.pass(PATIENCE).await;
    tale.minutes(30).await;
    assert_eq!(seen(&tale), Seen { told: words(&[STILL_WAITING]), ..left_alone(vec![], 0) });
    tale.rig.system.twilio.behave();
    tale.minutes(45).await;
    assert_eq!(seen(&tale), reinvited(1, &[STILL_WAITING]));
}

#[tokio::test(start_paused = true)]
async fn a_re_invite_that_is_refused_for_a_day_ends_with_a_customer_who_is_told() {
    let tale = Tale::waiting(&[]).await;
    let refused = Misbehaviour::Status { status: 400, code: 45367, retry_after: None };
    tale.rig.system.twilio.misbehave(fault(INVITES, Times::Forever, refused));
    tale.pass(PATIENCE).await;
    tale.minutes(28 * 60).await;
    assert_eq!(seen(&tale), closed(&[STILL_WAITING, NO_AGENT]));
}

/// Lists that only make sure decide nothing where Twilio does not show them.
#[tokio::test(start_paused = true)]
async fn a_twilio_that_shows_neither_invites_nor_log_keeps_nobody_from_an_agent() {
    let tale = Tale::waiting(&[]).await;
    let refused = Misbehaviour::Status { status: 404, code: 20404, retry_after: None };
    for route in [INVITES.replace("POST", "GET").as_str(), "GET /v1/Workspaces/{sid}/Events"] {
        tale.rig.system.twilio.misbehave(fault(route, Times::Forever, refused.clone()));
    }
    tale.rig.system.twilio.task_is_deleted(&tale.task()).unwrap();
    tale.lose_webhooks();
    tale.minutes(12).await;
    assert_eq!(seen(&tale), reinvited(1, &[STILL_WAITING]));
}

// --- Killed half-way --------------------------------------------------------------------------------------------

/// Trap 18: at every step of the callback's handler, and at every step of the sweep that goes on.
#[tokio::test(start_paused = true)]
async fn killed_at_any_step_the_sweeper_goes_on_and_nothing_is_done_twice() {
    for variables in [&[][..], &[NO_REINVITES]] {
        let mut steps = 0;
        for step in 0.. {
            let tale = Tale::waiting(variables).await;
            tale.rig.pass(PATIENCE).await;
            let fuse = Fuse::at(step);
            let world = tale.rig.system.world_through(|to| fuse.wire(to), |to| fuse.wire(to)).await;
            let doomed = tale.rig.front_in(&world);
            let killed = fuse.guard(tale.rig.deliver_all(&doomed)).await.is_none();
            // What TaskRouter sends again finds nothing to do, or helps.
            if killed && step % 2 == 0 {
                tale.lose_webhooks();
            }
            tale.deliver().await;
            tale.minutes(10).await;
            let expected =
                if variables.is_empty() { reinvited(1, &[STILL_WAITING]) } else { closed(&[NO_AGENT]) };
            assert_eq!(seen(&tale), expected, "killed at step {step}");
            steps += 1;
            if !killed {
                break;
            }
        }
        assert!(steps > 20, "{steps}");
    }
}

/// Found by the simulation: a step was written down twice, the second time in place of the next one, where a write met
/// what its own first try had written.
#[tokio::test(start_paused = true)]
async fn a_step_whose_record_is_answered_by_a_lost_connection_is_recorded_once() {
    for variables in [&[][..], &[("TERMINAL_POLICY", REINVITES_FIRST)]] {
        for lost in 0.. {
            let tale = Tale::waiting(variables).await;
            tale.rig.pass(PATIENCE).await;
            let answers = Arc::new(AtomicUsize::new(0));
            let counted = Arc::clone(&answers);
            let forgetful = |to| {
                Arc::new(Forgetful::new(Arc::new(WithoutToken(to)), move |number, _| {
                    counted.store(number, Ordering::SeqCst);
                    number == lost
                })) as _
            };
            let world = tale.rig.system.world_through(|to| to, forgetful).await;
            let front = tale.rig.front_in(&world);
            tale.rig.deliver_all(&front).await;
            tale.minutes(10).await;
            assert_eq!(seen(&tale), reinvited(1, &[STILL_WAITING]), "answer {lost} lost, {variables:?}");
            if answers.load(Ordering::SeqCst) < lost {
                assert!(lost > 4, "{lost}");
                break;
            }
        }
    }
}

/// Found by the simulation: whoever could not ask Twilio put off what somebody else had begun meanwhile, so that it was
/// taken from them before their lease was over.
#[tokio::test(start_paused = true)]
async fn a_look_in_vain_leaves_alone_what_somebody_else_has_begun_meanwhile() {
    let tale = Tale::waiting(&[]).await;
    tale.rig.pass(PATIENCE).await;
    let webhooks = tale.rig.system.twilio.take_webhooks();
    let what = Misbehaviour::Status { status: 500, code: 20500, retry_after: None };
    tale.rig.system.twilio.misbehave(fault("GET /v1/Conversations/{sid}", Times::Next(4), what));
    let gate = Gate::after(4);
    let world = tale.rig.system.world_through(|to| gate.wire(to), |to| to).await;
    let slow = tale.rig.front_in(&world);
    let request = tale.rig.system.twilio.webhook_request(&webhooks[0]);
    let looking = tokio::spawn(async move { slow.handle(request).await });
    gate.reached().await;
    // Killed when it has told the customer, and before it could say so.
    let fuse = Fuse::at(17);
    let world = tale.rig.system.world_through(|to| fuse.wire(to), |to| fuse.wire(to)).await;
    let front = tale.rig.front_in(&world);
    let request = tale.rig.system.twilio.webhook_request(&webhooks[1]);
    assert!(fuse.guard(front.handle(request)).await.is_none());
    let begun = tale.record().await;
    assert!(matches!(begun.stage, Stage::Orphaned { done: 0, .. }), "{:?}", begun.stage);
    assert_eq!(tale.told(), words(&[STILL_WAITING]));
    gate.open();
    assert_eq!(looking.await.unwrap().status(), 204);
    assert_eq!(tale.record().await, begun);
    tale.minutes(3).await;
    assert_eq!(seen(&tale), reinvited(1, &[STILL_WAITING]));
}

// --- An Interaction that nobody recorded --------------------------------------------------------------------

/// The answer to its creation is lost, and with it everything that TaskRouter tells.
async fn unrecorded() -> Tale {
    unrecorded_by_a_clock_ahead(Duration::ZERO).await
}

/// The same, by an instance whose clock is ahead of Twilio's.
async fn unrecorded_by_a_clock_ahead(by: Duration) -> Tale {
    let rig = Rig::with(
        1,
        |account| {
            call_back(account, PUBLIC_URL);
            account.duplicate_guard = false;
            account.workflow_timeout_s = Some(60);
        },
        &[],
    );
    let world = rig.system.world().await;
    let ahead = Ahead { of: Arc::clone(&world.clock), by };
    let front = rig.front_in(&World { clock: Arc::new(ahead), ..world });
    rig.system.twilio.misbehave(fault("POST /v1/Interactions", Times::Next(1), Misbehaviour::LostAfter));
    front.handle(rig.message(CUSTOMER, "hello")).await;
    rig.system.twilio.change_settings(|account| account.workflow_timeout_s = None);
    let sid = rig.system.twilio.conversations()[0].sid.clone();
    let tale = Tale { rig, front, sid };
    tale.lose_webhooks();
    tale
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_task_tells_of_an_interaction_whose_answer_was_lost() {
    let tale = unrecorded().await;
    tale.pass(Duration::from_secs(61)).await;
    assert_eq!(seen(&tale), reinvited(1, &[STILL_WAITING]));
    assert_eq!(tale.rig.system.twilio.interactions().len(), 1);
}

/// Its task has come, gone and been forgotten before anybody could look: the log still tells. Clocks differ: by ours the
/// log may be about a time before it was asked for (found by the simulation).
#[tokio::test(start_paused = true)]
async fn an_interaction_whose_task_is_forgotten_is_found_in_the_log() {
    for ahead in [Duration::ZERO, Duration::from_secs(2)] {
        let tale = unrecorded_by_a_clock_ahead(ahead).await;
        tale.rig.pass(Duration::from_mins(20)).await;
        tale.lose_webhooks();
        assert!(tale.rig.system.twilio.tasks().is_empty());
        tale.minutes(8).await;
        assert_eq!(seen(&tale), reinvited(1, &[STILL_WAITING]));
        assert_eq!(tale.rig.system.twilio.interactions().len(), 1);
    }
}

/// Found by the simulation: nobody tells, and a plugin has overwritten what the task would be found by.
#[tokio::test(start_paused = true)]
async fn an_interaction_whose_task_has_other_attributes_is_found_in_the_log() {
    let tale = unrecorded().await;
    let workspace = tale.rig.system.twilio.settings().workspace_sid;
    let path = format!("/v1/Workspaces/{workspace}/Tasks/{}", tale.task());
    tale.rest(Method::POST, &path, "Attributes=%7B%7D").await;
    tale.lose_webhooks();
    tale.minutes(8).await;
    assert_eq!(seen(&tale), reinvited(1, &[STILL_WAITING]));
    assert_eq!(tale.rig.system.twilio.interactions().len(), 1);
}

/// Found by the simulation: a task that is deleted is not shown from then on, however young it is.
#[tokio::test(start_paused = true)]
async fn an_interaction_whose_task_was_deleted_is_found_in_the_log() {
    let tale = unrecorded().await;
    tale.rig.system.twilio.task_is_deleted(&tale.task()).unwrap();
    tale.lose_webhooks();
    tale.minutes(8).await;
    assert_eq!(seen(&tale), reinvited(1, &[]));
    assert_eq!(tale.rig.system.twilio.interactions().len(), 1);
}

/// Found by the simulation: one or two Interactions fail and the next one stands, all unrecorded, and what is heard, late,
/// is that each which failed has a task. Of the one that stands TaskRouter's log alone tells.
#[tokio::test(start_paused = true)]
async fn an_interaction_that_stands_is_found_when_the_news_is_of_one_that_failed() {
    for failing in [1, 2] {
        let rig = Rig::with(1, |account| call_back(account, PUBLIC_URL), &[]);
        let twilio = &rig.system.twilio;
        let front = rig.front().await;
        let fail = Misbehaviour::FailSetUp { code: 45381 };
        twilio.misbehave(Fault { on: Matcher::Any, times: Times::Next(failing), what: fail });
        twilio.misbehave(fault("POST /v1/Interactions", Times::Next(failing + 1), Misbehaviour::LostAfter));
        front.handle(rig.message(CUSTOMER, "hello")).await;
        rig.pass(Duration::from_secs(1)).await;
        let sid = twilio.conversations()[0].sid.clone();
        let tale = Tale { rig, front, sid };
        let twilio = &tale.rig.system.twilio;
        let mut late = twilio.take_webhooks();
        for made in 2..=failing + 1 {
            tale.rig.sweep_after_a_minute().await;
            tale.rig.pass(Duration::from_secs(1)).await;
            assert_eq!(
                twilio.interactions().len(),
                made as usize,
                "one has failed, so it was asked for again"
            );
            if made > failing {
                twilio.task_is_deleted(&tale.task()).unwrap();
            }
            let of_this = twilio.take_webhooks();
            for webhook in &late {
                system::deliver(twilio, &tale.front, webhook).await;
            }
            late = of_this;
        }
        assert_eq!(tale.record().await.stage, Stage::SettingUp, "the late news is believed");
        tale.minutes(8).await;
        assert_eq!(twilio.interactions().len(), failing as usize + 1);
        let living = tale.rig.live_interactions(&tale.sid);
        let known = tale.record().await.interaction.unwrap().sid;
        assert_eq!(living.iter().map(|one| one.sid.as_str()).collect::<Vec<_>>(), [known.as_str()]);
    }
}

// --- Many at once ---------------------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn twenty_callbacks_at_once_in_many_instances_act_once() {
    for seed in 0..10 {
        let tale = Tale::waiting_in(|account| account.seed = seed, &[]).await;
        tale.rig.pass(PATIENCE).await;
        let webhooks = tale.rig.system.twilio.take_webhooks();
        let world = tale.rig.unhurried_world().await;
        let fronts: Vec<_> = (0..10).map(|_| tale.rig.front_in(&world)).collect();
        let all = fronts.iter().flat_map(|front| {
            webhooks.iter().map(|webhook| system::deliver(&tale.rig.system.twilio, front, webhook))
        });
        let answers = futures_util::future::join_all(all).await;
        assert_eq!(answers.len(), 20);
        assert!(answers.iter().all(|answer| answer.status() == 204), "seed {seed}");
        tale.minutes(3).await;
        assert_eq!(seen(&tale), reinvited(1, &[STILL_WAITING]), "seed {seed}");
    }
}

#[tokio::test(start_paused = true)]
async fn callback_and_two_sweepers_at_once_act_once() {
    for seed in 0..10 {
        let tale = Tale::waiting_in(|account| account.seed = seed, &[]).await;
        tale.rig.sweep_after_a_minute().await;
        tale.rig.pass(PATIENCE).await;
        let webhooks = tale.rig.system.twilio.take_webhooks();
        let world = tale.rig.unhurried_world().await;
        let front = tale.rig.front_in(&world);
        let (one, two) = (tale.rig.system.orphan_sweeper(&world), tale.rig.system.orphan_sweeper(&world));
        tokio::join!(
            system::sweep(&one),
            system::sweep(&two),
            system::deliver(&tale.rig.system.twilio, &front, &webhooks[0]),
            system::deliver(&tale.rig.system.twilio, &front, &webhooks[1]),
        );
        tale.minutes(3).await;
        assert_eq!(seen(&tale), reinvited(1, &[STILL_WAITING]), "seed {seed}");
    }
}

/// Nobody tells of the end, and the sweeper that finds it is killed at each of its steps.
#[tokio::test(start_paused = true)]
async fn a_sweeper_killed_at_any_step_is_followed_by_another_and_nothing_is_done_twice() {
    let parts = 2 * usize::from(DUE_SHARDS);
    for variables in [&[][..], &[NO_REINVITES]] {
        for step in parts - 2.. {
            let tale = Tale::waiting(variables).await;
            tale.rig.sweep_after_a_minute().await;
            tale.cancel_unheard().await;
            tale.rig.pass(Duration::from_mins(5)).await;
            let fuse = Fuse::at(step);
            let world = tale.rig.system.world_through(|to| fuse.wire(to), |to| fuse.wire(to)).await;
            let sweeper = tale.rig.system.orphan_sweeper(&world);
            let killed = fuse.guard(system::sweep(&sweeper)).await.is_none();
            tale.lose_webhooks();
            tale.minutes(10).await;
            let expected =
                if variables.is_empty() { reinvited(1, &[STILL_WAITING]) } else { closed(&[NO_AGENT]) };
            assert_eq!(seen(&tale), expected, "killed at step {step}");
            if !killed {
                assert!(step > parts + 28, "{step}");
                break;
            }
        }
    }
}

/// A look takes its time. What somebody else has written meanwhile counts, not what was seen before.
#[tokio::test(start_paused = true)]
async fn an_agent_who_comes_while_somebody_looks_keeps_the_conversation() {
    let tale = Tale::waiting(&[]).await;
    tale.rig.pass(PATIENCE).await;
    let webhooks = tale.rig.system.twilio.take_webhooks();
    // Conversation, channel, agents, task, tasks, invites: with the last of them everything is known.
    let gate = Gate::after(6);
    let world = tale.rig.system.world_through(|to| gate.wire(to), |to| to).await;
    let slow = Arc::new(tale.rig.front_in(&world));
    let request = tale.rig.system.twilio.webhook_request(&webhooks[0]);
    let looking = tokio::spawn(async move { slow.handle(request).await });
    gate.reached().await;
    tale.rig.pass(Duration::from_secs(2)).await;
    tale.invite(None).await;
    tale.agent_accepts(0).await;
    gate.open();
    assert_eq!(looking.await.unwrap().status(), 204);
    tale.minutes(3).await;
    assert_eq!(seen(&tale), left_alone(vec![0], 1));
}

/// Somebody has overwritten the attributes of a living task: no query finds it, but the channel's invites name it.
#[tokio::test(start_paused = true)]
async fn an_invitation_that_only_its_channel_knows_is_somebody_on_the_way() {
    let tale = Tale::waiting(&[]).await;
    let first = tale.task();
    let lost = WebhookFault { event: None, times: Times::Forever, what: WebhookMisbehaviour::Lost };
    tale.rig.system.twilio.misbehave_with_webhooks(lost);
    let second = tale.invite(None).await;
    tale.rig.system.twilio.behave();
    let workspace = tale.rig.system.twilio.settings().workspace_sid;
    let path = format!("/v1/Workspaces/{workspace}/Tasks/{second}");
    tale.rest(Method::POST, &path, "Attributes=%7B%7D").await;
    tale.cancel(&first).await;
    assert_eq!(tale.told(), [""; 0]);
    assert_eq!(tale.rig.system.twilio.task(&second).unwrap().status, simulator::TaskStatus::Pending);
    assert_eq!(tale.rig.system.twilio.interactions()[0].channel.invites.len(), 2);
}

/// Found by the simulation: the answer to a re-invite is lost, an agent accepts it all the same, and its task is deleted
/// and forgotten before anybody can look. Its callbacks have told its number.
#[tokio::test(start_paused = true)]
async fn a_re_invite_of_which_only_callbacks_told_counts() {
    let tale = Tale::waiting(&[("MAX_REINVITES", "1")]).await;
    tale.rig.system.twilio.misbehave(fault(INVITES, Times::Next(1), Misbehaviour::LostAfter));
    tale.pass(PATIENCE).await;
    tale.agent_accepts(0).await;
    let task = tale.rig.system.twilio.tasks().pop().unwrap().sid;
    let what = Misbehaviour::Status { status: 500, code: 20500, retry_after: None };
    tale.rig.system.twilio.misbehave(fault("GET /v1/Conversations/{sid}", Times::Forever, what));
    tale.rig.system.twilio.task_is_deleted(&task).unwrap();
    tale.pass(Duration::from_mins(10)).await;
    tale.rig.system.twilio.behave();
    tale.minutes(12).await;
    assert_eq!(seen(&tale), closed(&[STILL_WAITING, NO_AGENT]));
}

/// The first re-invite's answer is lost, and its task is gone before anybody looks: it counts.
#[tokio::test(start_paused = true)]
async fn a_re_invite_that_nobody_saw_counts() {
    let tale = Tale::waiting(&[]).await;
    tale.rig.system.twilio.change_settings(|account| account.workflow_timeout_s = Some(0));
    tale.rig.system.twilio.misbehave(fault(INVITES, Times::Next(1), Misbehaviour::LostAfter));
    let calls = tale.calls();
    tale.pass(PATIENCE).await;
    tale.minutes(12).await;
    assert_eq!(seen(&tale), closed(&[STILL_WAITING, NO_AGENT]));
    let invites = tale.posts(calls).into_iter().filter(|path| path.ends_with("/Invites")).count();
    assert_eq!(invites, 2);
}
