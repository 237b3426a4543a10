//! `flexglue doctor`: an account in which all is well, and one for each thing that may be wrong with it. What is broken must
//! show in its own line and in no other.

use std::{collections::BTreeSet, fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use flexglue::{
    doctor::{Check, Examination, Verdict, examine, text},
    local::{
        gateway::Routes,
        system::{API_KEY, CONVERSATIONS_PATH, PUBLIC_URL, call_back},
    },
};
use flexglue_tests::rig::Rig;
use futures_util::future::BoxFuture;
use http::{Request, Response};
use serde_json::{Value, json};
use shared::{
    clock::Deadline,
    parts::World,
    transport::{Transport, TransportError},
};
use simulator::{Alert, Fault, Integration, Matcher, Misbehaviour, Settings, Times, WebhookConfiguration};

use crate::checks_that;

/// The way out: to the deployed functions, and to AWS's lists of functions and alarms.
struct Web {
    front: Option<Routes>,
    functions: Vec<Value>,
    alarms: Vec<&'static str>,
    /// What AWS answers instead.
    refuses: Option<u16>,
}

impl fmt::Debug for Web {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Web")
    }
}

impl Transport for Web {
    fn send(&self, request: Request<Bytes>) -> BoxFuture<'_, Result<Response<Bytes>, TransportError>> {
        Box::pin(async move {
            let target =
                request.headers().get("x-amz-target").map(|target| target.to_str().unwrap().to_owned());
            let is_list = request.uri().path() == "/2015-03-31/functions/";
            if target.is_none() && !is_list {
                let front = self.front.as_ref().ok_or(TransportError::NotSent)?;
                return Ok(front.handle(request).await);
            }
            let signed = request.headers()["authorization"].to_str().unwrap();
            assert!(signed.starts_with("AWS4-HMAC-SHA256 Credential=local/"), "{signed}");
            if let Some(status) = self.refuses {
                return Ok(Response::builder().status(status).body(Bytes::new()).unwrap());
            }
            // A page for each, so that all pages are read.
            let list = if is_list {
                &self.functions
            } else {
                &self.alarms.iter().map(|name| json!({ "AlarmName": name })).collect()
            };
            let asked = if is_list {
                let query = request.uri().query().unwrap_or_default();
                query.split_once("Marker=").map(|(_, marker)| marker.to_owned())
            } else {
                let body: Value = serde_json::from_slice(request.body()).unwrap();
                assert_eq!(
                    (&body["AlarmNamePrefix"], &body["StateValue"]),
                    (&"flexglue-".into(), &"ALARM".into())
                );
                body["NextToken"].as_str().map(str::to_owned)
            };
            let place: usize = asked.map_or(0, |asked| asked.parse().unwrap());
            let page = list.get(place).cloned().into_iter().collect::<Vec<_>>();
            let next = (place + 1 < list.len()).then(|| (place + 1).to_string());
            let body = if is_list {
                json!({ "Functions": page, "NextMarker": next })
            } else {
                json!({ "MetricAlarms": page, "NextToken": next })
            };
            Ok(Response::new(body.to_string().into()))
        })
    }
}

/// The functions that are deployed, as Lambda lists them, among others.
fn deployed(settings: &shared::config::Settings) -> Vec<Value> {
    let ids = ["InboundWebhook", "OutboundParticipant", "TaskRouterEvents", "WebchatToken", "OrphanSweeper"];
    let base = settings.public_base_url.as_ref().map(ToString::to_string);
    let of = |id: &&str| {
        json!({ "FunctionName": format!("flexglue-{id}-AB12CD"), "Environment": { "Variables": {
            "TABLE_NAME": settings.table, "METRICS_NAMESPACE": "flexglue", "PUBLIC_BASE_URL": base,
            "TWILIO_ACCOUNT_SID": settings.account.as_str(), "FLEX_CHAT_SERVICE_SID": settings.chat_service.as_str(),
            "FLEX_WORKSPACE_SID": settings.routing.workspace.as_str(),
            "FLEX_WORKFLOW_SID": settings.routing.workflow.as_str(), "TASK_CHANNEL": settings.routing.task_channel,
        }}})
    };
    let elsewhere =
        json!({ "FunctionName": "something-else", "Environment": { "Variables": { "TABLE_NAME": "x" } } });
    ids.iter().map(of).chain([elsewhere, json!({ "FunctionName": "bare" })]).collect()
}

/// DynamoDB with an answer of its own to some of its operations: the embedded one knows no backups.
#[derive(Debug)]
struct Answering {
    to: Arc<dyn Transport>,
    answers: Vec<(&'static str, u16, String)>,
}

impl Transport for Answering {
    fn send(&self, request: Request<Bytes>) -> BoxFuture<'_, Result<Response<Bytes>, TransportError>> {
        let target = request.headers().get("x-amz-target").and_then(|target| target.to_str().ok());
        let operation = target.and_then(|target| target.split('.').next_back()).unwrap_or_default();
        match self.answers.iter().find(|(name, ..)| *name == operation) {
            Some((_, status, body)) => {
                let answer = Response::builder().status(*status).body(Bytes::from(body.clone())).unwrap();
                Box::pin(async { Ok(answer) })
            }
            None => self.to.send(request),
        }
    }
}

const BACKUPS: &str = "DescribeContinuousBackups";

fn backups(status: &str) -> (&'static str, u16, String) {
    let recovery = json!({ "PointInTimeRecoveryStatus": status });
    let backups = json!({ "ContinuousBackupsStatus": "ENABLED", "PointInTimeRecoveryDescription": recovery });
    (BACKUPS, 200, json!({ "ContinuousBackupsDescription": backups }).to_string())
}

/// A change of the simulated account.
type Change = Box<dyn FnOnce(&mut Settings)>;

/// What may be wrong.
#[derive(Default)]
struct Wrong {
    account: Option<Change>,
    /// The operator's variables, where they differ from those of the deployed functions.
    variables: Vec<(&'static str, &'static str)>,
    fault: Option<(&'static str, Misbehaviour)>,
    dynamodb: Vec<(&'static str, u16, String)>,
    /// Nobody answers at the public address.
    undeployed: bool,
    functions: Option<fn(&mut Vec<Value>)>,
    alarms: Vec<&'static str>,
    aws_refuses: Option<u16>,
    /// The sweeper has never run.
    unswept: bool,
    /// So long ago it has.
    later: Duration,
}

fn healthy(account: &mut Settings) {
    call_back(account, PUBLIC_URL);
    account.default_closed_timer = Some("PT24H".to_owned());
}

async fn examined(wrong: Wrong) -> Examination {
    let elsewhere = Rig::with(1, healthy, &[]);
    let rig = Rig::with(1, healthy, &wrong.variables);
    if let Some(change) = wrong.account {
        rig.system.twilio.change_settings(change);
    }
    if !wrong.unswept {
        rig.sweep().await;
    }
    rig.pass(wrong.later).await;
    if let Some((route, what)) = wrong.fault {
        let on = if route.is_empty() { Matcher::Any } else { Matcher::route(route) };
        rig.system.twilio.misbehave(Fault { on, times: Times::Forever, what });
    }
    let mut answers = wrong.dynamodb;
    answers.push(backups("ENABLED"));
    let world = rig.system.world_through(|to| to, |to| Arc::new(Answering { to, answers })).await;
    let front = if wrong.undeployed { None } else { Some(elsewhere.front().await) };
    let mut functions = deployed(&rig.system.settings);
    if let Some(change) = wrong.functions {
        change(&mut functions);
    }
    let web = Arc::new(Web { front, functions, alarms: wrong.alarms, refuses: wrong.aws_refuses });
    let world = World { web, ..world };
    examine(&rig.system.settings, &world, Deadline::within(Duration::from_secs(20))).await
}

/// What is not good.
fn complaints(examination: &Examination) -> Vec<&Check> {
    examination.checks.iter().filter(|check| check.verdict != Verdict::Good).collect()
}

/// Has one thing wrong, and compares what is said about it: the names of the lines that are not good, and the worst of them.
async fn finds(name: &'static str, verdict: Verdict, wrong: Wrong) {
    let examination = examined(wrong).await;
    let names: BTreeSet<&str> = complaints(&examination).iter().map(|check| check.check).collect();
    assert_eq!(
        (names, examination.verdict),
        (BTreeSet::from([name]), verdict),
        "{:#?}",
        complaints(&examination)
    );
    for check in complaints(&examination).into_iter().filter(|check| check.verdict != Verdict::Unknown) {
        assert!(check.remedy.as_ref().is_some_and(|remedy| remedy.len() > 20), "what mends it? {check:?}");
    }
}

async fn account(name: &'static str, verdict: Verdict, change: impl FnOnce(&mut Settings) + 'static) {
    finds(name, verdict, Wrong { account: Some(Box::new(change)), ..Wrong::default() }).await;
}

async fn variable(name: &'static str, verdict: Verdict, variable: &'static str, value: &'static str) {
    finds(name, verdict, Wrong { variables: vec![(variable, value)], ..Wrong::default() }).await;
}

use Verdict::{Broken, Unknown, Warning};

#[tokio::test(start_paused = true)]
async fn an_account_in_which_all_is_well_is_told_so() {
    let examination = examined(Wrong::default()).await;
    assert_eq!(examination.verdict, Verdict::Good, "{:#?}", complaints(&examination));
    compare("doctor-healthy", &examination);
}

/// Compares what a person sees with what somebody has read.
fn compare(name: &str, examination: &Examination) -> String {
    let seen = anstream::adapter::strip_str(&text(examination)).to_string();
    assert!(seen.lines().all(|line| line.chars().count() <= 80), "{seen}");
    insta::with_settings!({ omit_expression => true, prepend_module_to_snapshot => false }, {
        insta::assert_snapshot!(name, seen);
    });
    seen
}

#[tokio::test(start_paused = true)]
async fn an_account_in_which_much_is_wrong_is_told_what_mends_it() {
    let change = |it: &mut Settings| {
        it.addresses[0].integration = Integration::Default;
        it.event_callback_url = Some("https://elsewhere.example/events".to_owned());
        it.shown.workflows_have_default = false;
        it.shown.alerts = vec![Alert { code: 11_200, at_ms: 1_799_999_000_000 }; 12];
    };
    let examination = examined(Wrong { account: Some(Box::new(change)), ..Wrong::default() }).await;
    let seen = compare("doctor-complaints", &examination);
    assert!(include_str!("../../README.md").contains(&seen), "the README shows it as it is");
}

#[tokio::test(start_paused = true)]
async fn the_account_itself() {
    account("account", Broken, |it| it.shown.account_status = "suspended".to_owned()).await;
    account("clock", Warning, |it| it.shown.clock_ahead_ms = 30_000).await;
    account("clock", Broken, |it| it.shown.clock_ahead_ms = -90_000).await;
    account("api-key", Broken, |it| it.extra_auth.clear()).await;
    account("debugger", Warning, |it| {
        it.shown.alerts = vec![Alert { code: 11_200, at_ms: 1_799_999_000_000 }];
    })
    .await;
}

/// What is long over, or about other things, is of no interest.
#[tokio::test(start_paused = true)]
async fn the_debugger_is_heard_of_the_last_day_and_of_what_concerns_us() {
    let old_or_foreign = |it: &mut Settings| {
        it.shown.alerts = vec![
            Alert { code: 11_200, at_ms: 1_799_900_000_000 },
            Alert { code: 13_224, at_ms: 1_799_999_000_000 },
        ];
    };
    let examination = examined(Wrong { account: Some(Box::new(old_or_foreign)), ..Wrong::default() }).await;
    assert_eq!(examination.verdict, Verdict::Good, "{:#?}", complaints(&examination));
}

/// Of a service that is not there nothing can be said but that.
#[tokio::test(start_paused = true)]
async fn another_service_or_workspace_than_flexs() {
    for (name, value, broken) in [
        ("FLEX_CHAT_SERVICE_SID", "IS000000000000000000000000000000ff", "flex-chat-service"),
        ("FLEX_WORKSPACE_SID", "WS000000000000000000000000000000ff", "flex-workspace"),
    ] {
        let examination = examined(Wrong { variables: vec![(name, value)], ..Wrong::default() }).await;
        let check = examination.checks.iter().find(|check| check.check == broken).unwrap();
        assert_eq!(check.verdict, Broken);
        assert!(check.remedy.as_ref().unwrap().contains(name), "{check:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn flex_ui_and_attachments() {
    account("flex-ui", Broken, |it| it.shown.ui_version = "~1.33.0".to_owned()).await;
    account("attachments", Warning, |it| {
        it.shown.attachments.insert("whatsapp".to_owned(), false);
    })
    .await;
    account("default-service", Broken, |it| {
        it.shown.default_chat_service_sid = Some("IS000000000000000000000000000000ff".to_owned());
    })
    .await;
    account("close-timer", Warning, |it| it.default_closed_timer = None).await;
}

#[tokio::test(start_paused = true)]
async fn addresses() {
    account("address", Warning, |it| it.addresses[0].enabled = false).await;
    account("address", Broken, |it| {
        it.addresses[0].service_sid = Some("IS000000000000000000000000000000ff".to_owned());
    })
    .await;
    account("address", Warning, |it| {
        it.addresses[0].integration = Integration::Studio { flow_sid: format!("FW{:032x}", 1) };
    })
    .await;
    account("address", Broken, |it| it.addresses[0].integration = Integration::Default).await;
    for (url, method, filter, verdict) in [
        ("https://elsewhere.example/hook", "POST", "onMessageAdded", Warning),
        ("https://old.example/webhooks/conversations", "POST", "onMessageAdded", Broken),
        ("https://flexglue.example/webhooks/conversations", "GET", "onMessageAdded", Broken),
        ("https://flexglue.example/webhooks/conversations", "POST", "onParticipantAdded", Broken),
    ] {
        let webhook = Integration::Webhook {
            url: url.to_owned(),
            method: method.to_owned(),
            filters: vec![filter.to_owned()],
        };
        account("address", verdict, |it| it.addresses[0].integration = webhook).await;
    }
    let none = Wrong {
        account: Some(Box::new(|it| it.addresses.clear())),
        variables: vec![("WEBCHAT_ADDRESS_SID", "")],
        ..Wrong::default()
    };
    finds("addresses", Broken, none).await;
    let elsewhere = |it: &mut Settings| {
        for address in &mut it.addresses {
            address.integration = Integration::Studio { flow_sid: format!("FW{:032x}", 1) };
        }
    };
    let examination = examined(Wrong { account: Some(Box::new(elsewhere)), ..Wrong::default() }).await;
    assert_eq!(examination.verdict, Broken, "no address at all tells flexglue");
}

#[tokio::test(start_paused = true)]
async fn webhooks_that_refuse_or_double() {
    account("global-webhook", Warning, |it| {
        it.shown.global_webhook.pre_url = Some("https://elsewhere.example/pre".to_owned());
    })
    .await;
    account("global-webhook", Warning, |it| {
        it.shown.global_webhook = WebhookConfiguration {
            pre_url: None,
            post_url: Some(format!("{PUBLIC_URL}{CONVERSATIONS_PATH}")),
            filters: vec!["onMessageAdded".to_owned()],
        };
    })
    .await;
    account("service-webhook", Warning, |it| {
        it.shown.service_pre_webhook_url = Some("https://elsewhere.example/pre".to_owned());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_workspace() {
    account("workspace-callback", Broken, |it| it.event_callback_url = None).await;
    account("workspace-callback", Warning, |it| {
        it.event_callback_url = Some("https://elsewhere.example/events".to_owned());
    })
    .await;
    account("workspace-callback", Warning, |it| {
        it.event_callback_url = Some(format!("{PUBLIC_URL}/webhooks/taskrouter"));
    })
    .await;
    account("workspace-events", Broken, |it| it.events_filter.retain(|event| event != "task.canceled")).await;
    account("workspace-events", Warning, |it| it.events_filter.retain(|event| event != "task.created")).await;
    account("workflow", Warning, |it| it.shown.workflows_have_default = false).await;
    variable("workflow", Broken, "FALLBACK_WORKFLOW_SID", "WW000000000000000000000000000000ff").await;
    variable("task-channel", Broken, "TASK_CHANNEL", "chats").await;
    variable("task-channel", Broken, "ROUTING_RULES", r#"[{"task_channel": "fax"}]"#).await;
    variable("web-chat-address", Broken, "WEBCHAT_ADDRESS_SID", "IG000000000000000000000000000000ff").await;
}

#[tokio::test(start_paused = true)]
async fn the_table_and_the_secret() {
    let table = |body: serde_json::Value| vec![("DescribeTable", 200, json!({ "Table": body }).to_string())];
    let key = |name: &str, kind: &str| json!({ "AttributeName": name, "KeyType": kind });
    let keys = json!([key("pk", "HASH"), key("sk", "RANGE")]);
    for described in [json!({ "KeySchema": [key("id", "HASH")] }), json!({ "KeySchema": keys })] {
        finds("table", Broken, Wrong { dynamodb: table(described), ..Wrong::default() }).await;
    }
    let ttl = json!({ "TimeToLiveDescription": { "TimeToLiveStatus": "DISABLED" } }).to_string();
    let ttl = vec![("DescribeTimeToLive", 200, ttl)];
    finds("table-ttl", Warning, Wrong { dynamodb: ttl, ..Wrong::default() }).await;
    finds("table-recovery", Warning, Wrong { dynamodb: vec![backups("DISABLED")], ..Wrong::default() }).await;
    let denied = (BACKUPS, 400, r#"{"__type": "AccessDeniedException"}"#.to_owned());
    finds("table-recovery", Unknown, Wrong { dynamodb: vec![denied], ..Wrong::default() }).await;
    let gone = (BACKUPS, 400, r#"{"__type": "ResourceNotFoundException"}"#.to_owned());
    finds("table-recovery", Broken, Wrong { dynamodb: vec![gone], ..Wrong::default() }).await;
    variable("secret", Warning, "OUTBOUND_API_KEYS", "").await;
}

#[tokio::test(start_paused = true)]
async fn what_is_deployed() {
    finds("inbound-webhook", Broken, Wrong { undeployed: true, ..Wrong::default() }).await;
    finds("orphan-sweeper", Broken, Wrong { unswept: true, ..Wrong::default() }).await;
    finds("orphan-sweeper", Broken, Wrong { later: Duration::from_mins(9), ..Wrong::default() }).await;
    let missing = |functions: &mut Vec<Value>| drop(functions.remove(1));
    finds("functions", Broken, Wrong { functions: Some(missing), ..Wrong::default() }).await;
    let by_hand =
        |functions: &mut Vec<Value>| functions[4]["Environment"]["Variables"]["MAX_REINVITES"] = "9".into();
    let alone = examined(Wrong { functions: Some(by_hand), ..Wrong::default() }).await;
    assert_eq!(alone.verdict, Verdict::Good, "a variable that one function has differs from nothing");
    let two = |functions: &mut Vec<Value>| {
        functions[0]["Environment"]["Variables"]["LOG_LEVEL"] = "trace".into();
        functions[4]["Environment"]["Variables"]["LOG_LEVEL"] = "info".into();
    };
    finds("function-variables", Broken, Wrong { functions: Some(two), ..Wrong::default() }).await;
    let others = |functions: &mut Vec<Value>| {
        for function in functions {
            function["Environment"]["Variables"]["FLEX_WORKFLOW_SID"] =
                "WW000000000000000000000000000000ee".into();
        }
    };
    finds("variables", Warning, Wrong { functions: Some(others), ..Wrong::default() }).await;
    // The second is of another stack, whose name begins with this one's.
    let alarms = vec!["flexglue-SweeperNotRunning-AB12", "flexglue-staging-TableThrottled-CD34"];
    let examination = examined(Wrong { alarms, ..Wrong::default() }).await;
    let [alarm] = complaints(&examination)[..] else { panic!("{:#?}", complaints(&examination)) };
    assert_eq!((alarm.check, alarm.found.as_str()), ("alarms", "SweeperNotRunning go off"));
    let refused = examined(Wrong { aws_refuses: Some(403), ..Wrong::default() }).await;
    let unknown: Vec<&str> = complaints(&refused).iter().map(|check| check.check).collect();
    assert_eq!(unknown, ["functions", "function-variables", "variables", "alarms"]);
    assert_eq!(refused.verdict, Unknown);
    variable("orphan-sweeper", Unknown, "SWEEP_DISCOVERY_MINUTES", "0").await;
    let lately = examined(Wrong { later: Duration::from_mins(5), ..Wrong::default() }).await;
    assert_eq!(lately.verdict, Verdict::Good, "{:#?}", complaints(&lately));
    let elsewhere =
        examined(Wrong { variables: vec![("PUBLIC_BASE_URL", "https://old.example")], ..Wrong::default() })
            .await;
    let probe = complaints(&elsewhere).into_iter().find(|check| check.check == "inbound-webhook").unwrap();
    assert!(probe.verdict == Broken && probe.found.contains("403"), "{probe:?}");
}

/// A token that is not the account's: that is said once, and all else could not be looked at.
#[tokio::test(start_paused = true)]
async fn wrong_credentials_are_told_from_a_broken_account() {
    let examination =
        examined(Wrong { variables: vec![("TWILIO_AUTH_TOKEN", "rotated")], ..Wrong::default() }).await;
    let broken = checks_that(&examination, |verdict| verdict == Broken);
    assert_eq!(broken, ["account", "inbound-webhook"], "the functions have another token, too");
    assert!(checks_that(&examination, |verdict| verdict == Unknown).len() >= 10, "{examination:#?}");
    let said = serde_json::to_string(&examination).unwrap() + &text(&examination);
    assert!(!said.contains("rotated") && !said.contains(API_KEY.1), "no secret is ever said");
}

/// Twilio answers nothing at all, or errors: what else there is is looked at all the same, within the deadline.
#[tokio::test(start_paused = true)]
async fn a_twilio_that_does_not_answer_is_not_taken_for_anything_else() {
    let status = |status| Misbehaviour::Status { status, code: 20_500, retry_after: None };
    for what in [Misbehaviour::Hang, status(500), status(429), Misbehaviour::Malformed] {
        let began = tokio::time::Instant::now();
        let examination = examined(Wrong { fault: Some(("", what)), ..Wrong::default() }).await;
        assert!(began.elapsed() <= Duration::from_secs(21), "{:?}", began.elapsed());
        assert_eq!(examination.verdict, Unknown, "{:#?}", complaints(&examination));
        let good = checks_that(&examination, |verdict| verdict == Verdict::Good);
        assert_eq!(
            good,
            [
                "secret",
                "table",
                "table-ttl",
                "table-recovery",
                "functions",
                "function-variables",
                "variables",
                "alarms",
                "orphan-sweeper",
                "inbound-webhook"
            ]
        );
    }
}

/// Nothing but questions: whatever is found, nothing is changed.
#[tokio::test(start_paused = true)]
async fn an_examination_changes_nothing() {
    let rig = Rig::with(1, healthy, &[]);
    let world = rig.system.world().await;
    examine(&rig.system.settings, &world, Deadline::within(Duration::from_secs(20))).await;
    let requests = rig.system.twilio.requests();
    assert!(requests.len() > 10 && requests.iter().all(|request| request.method == "GET"), "{requests:#?}");
}
