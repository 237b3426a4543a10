//! What each function may do in AWS is what it does, no more and no less: its policy in `template.yaml`, against the
//! calls that it makes.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use flexglue::local::{
    gateway::EventShape,
    system::{self, API_KEY, OUTBOUND_API_KEY, SMS_NUMBER},
    template::TEMPLATE,
};
use flexglue_tests::{
    chat,
    outbound::{ask, reach, with},
    rig::{Rig, every_event, forever},
};
use futures_util::future::BoxFuture;
use http::{Request, Response};
use orphan_sweeper::SweepRequest;
use serde_json::{Value, json};
use serde_norway::Value as Yaml;
use shared::{
    config::SecretSettings,
    parts::World,
    transport::{Transport, TransportError},
};
use simulator::{Fault, Matcher, Misbehaviour, Times};

/// What may be done, and to what: the table, its index, or the secret.
type Permissions = BTreeSet<(String, &'static str)>;

/// Notes what a function asks AWS for, and gives it the secret.
#[derive(Clone)]
struct Recorder {
    seen: Arc<Mutex<Permissions>>,
    secret: Arc<str>,
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Recorder")
    }
}

#[derive(Debug)]
struct Recorded {
    to: Arc<dyn Transport>,
    recorder: Recorder,
}

/// The permissions that a call needs. A transaction needs that of each of its writes
/// ([permissions](https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/transaction-apis-iam.html)).
fn needed(operation: &str, body: &Value) -> Vec<(String, &'static str)> {
    let on_table = |operation: &str| (format!("dynamodb:{operation}"), "table");
    match operation {
        "TransactWriteItems" => {
            let writes =
                body["TransactItems"].as_array().unwrap().iter().flat_map(|item| item.as_object().unwrap());
            writes
                .map(|(kind, _)| match kind.as_str() {
                    "ConditionCheck" => on_table("ConditionCheckItem"),
                    kind => on_table(&format!("{kind}Item")),
                })
                .collect()
        }
        "Query" if body.get("IndexName").is_some() => vec![("dynamodb:Query".to_owned(), "index")],
        operation => vec![on_table(operation)],
    }
}

impl Transport for Recorded {
    fn send(&self, request: Request<Bytes>) -> BoxFuture<'_, Result<Response<Bytes>, TransportError>> {
        let target = request.headers()["x-amz-target"].to_str().unwrap().to_owned();
        let (service, operation) = target.split_once('.').unwrap();
        let mut seen = self.recorder.seen.lock().unwrap();
        if service.starts_with("secretsmanager") {
            seen.insert((format!("secretsmanager:{operation}"), "secret"));
            let answer = json!({"SecretString": &*self.recorder.secret}).to_string();
            return Box::pin(async { Ok(Response::new(Bytes::from(answer))) });
        }
        let body = serde_json::from_slice(request.body()).unwrap();
        seen.extend(needed(operation, &body));
        drop(seen);
        self.to.send(request)
    }
}

/// The policies of a function in the template, all of which must name what they allow and to what.
fn granted(template: &Yaml, function: &str) -> Permissions {
    let text = |value: &Yaml| serde_norway::to_string(value).unwrap();
    let policies = &template["Resources"][format!("{function}Role")]["Properties"]["Policies"];
    let policies = policies.as_sequence().unwrap().iter().map(|policy| &policy["PolicyDocument"]);
    let mut granted = Permissions::new();
    for statement in policies.flat_map(|policy| policy["Statement"].as_sequence().unwrap()) {
        assert_eq!(statement["Effect"].as_str(), Some("Allow"), "{function}");
        let resource = text(&statement["Resource"]);
        assert!(!resource.contains('*'), "{function}: {resource}");
        if [format!("{function}Logs.Arn"), "SweepFailures.Arn".to_owned()]
            .iter()
            .any(|own| resource.contains(own))
        {
            // Lambda's own part, before and after the function.
            continue;
        }
        let to = if resource.contains("/index/due") {
            "index"
        } else if resource.contains("StateTable.Arn") {
            "table"
        } else {
            assert!(resource.contains("Secret"), "{function}: {resource}");
            "secret"
        };
        let actions = match &statement["Action"] {
            Yaml::String(action) => vec![action.clone()],
            actions => actions
                .as_sequence()
                .unwrap()
                .iter()
                .map(|action| action.as_str().unwrap().to_owned())
                .collect(),
        };
        granted.extend(actions.into_iter().map(|action| (action, to)));
    }
    granted
}

/// A world of its own for each function, which notes what is asked for in it.
struct Worlds {
    worlds: BTreeMap<&'static str, World>,
    recorders: BTreeMap<&'static str, Recorder>,
}

const FUNCTIONS: [&str; 5] =
    ["InboundWebhook", "OutboundParticipant", "TaskRouterEvents", "WebchatToken", "OrphanSweeper"];

impl Worlds {
    async fn of(rig: &Rig) -> Self {
        let secret = json!({
            "auth_token": rig.system.twilio.settings().auth_token, "outbound_api_keys": [OUTBOUND_API_KEY],
            "api_key_sid": API_KEY.0, "api_key_secret": API_KEY.1,
        });
        let (mut worlds, mut recorders) = (BTreeMap::new(), BTreeMap::new());
        for function in FUNCTIONS {
            let recorder = Recorder { seen: Arc::default(), secret: secret.to_string().into() };
            let wire = |to| Arc::new(Recorded { to, recorder: recorder.clone() }) as Arc<dyn Transport>;
            worlds.insert(function, rig.system.world_through(|to| to, wire).await);
            recorders.insert(function, recorder);
        }
        Self { worlds, recorders }
    }
}

#[tokio::test(start_paused = true)]
async fn each_function_may_do_what_it_does_and_nothing_else() {
    let account = |account: &mut simulator::Settings| {
        every_event(account);
        system::call_back(account, system::PUBLIC_URL);
        account.workflow_timeout_s = Some(120);
    };
    let mut rig = Rig::with(1, account, &[("OUTBOUND_RATE_PER_SENDER", "100")]);
    rig.system.settings.secrets = SecretSettings::Arn(
        "arn:aws:secretsmanager:us-east-1:123456789012:secret:flexglue-AbCdEf".to_owned(),
    );
    let Worlds { worlds, recorders } = Worlds::of(&rig).await;
    let front = rig.system.front_between(EventShape::HttpApi, |function| &worlds[function]);
    let sweeper = rig.system.orphan_sweeper(&worlds["OrphanSweeper"]);

    // Customers who write, whom nobody serves, of whom nobody tells; the agents' tasks, whose attributes somebody
    // has overwritten.
    rig.system.twilio.customer_writes("+15551230001", SMS_NUMBER, "hello");
    rig.deliver_all(&front).await;
    rig.system.twilio.customer_writes("+15551230001", SMS_NUMBER, "hello?");
    rig.deliver_all(&front).await;
    rig.system.twilio.customer_writes("+15551230002", SMS_NUMBER, "hello");
    let _never_delivered = rig.system.twilio.take_webhooks();
    // Reaches of every kind, asked for twice, in each other's way, left half-way.
    for (number, kind) in [(3, "agent"), (4, "api"), (5, "system"), (1, "agent")] {
        for on_conflict in ["reject", "join", "replace"] {
            let changes = json!({"to": format!("+1555123000{number}"), "on_conflict": on_conflict});
            let body = with(reach(&rig.system.twilio.settings(), kind), &changes);
            for _ in 0..2 {
                ask(&front, &format!("{number}-{on_conflict}"), &body).await;
            }
        }
    }
    let on = Matcher::route("POST /v1/Interactions");
    let what = Misbehaviour::Status { status: 503, code: 20503, retry_after: None };
    rig.system.twilio.misbehave(Fault { on, times: Times::Next(1), what });
    ask(&front, "left", &with(reach(&rig.system.twilio.settings(), "agent"), &json!({"to": "+15551230009"})))
        .await;
    // Chats that go on, end, and are left half-way.
    let told = chat::begun(&front).await;
    chat::refresh(&front, &told.text("token")).await;
    chat::refresh(&front, &told.text("token")).await;
    chat::end(&front, &told.text("token")).await;
    let (on, what) = (Matcher::route("POST /v2/WebChats"), Misbehaviour::LostAfter);
    rig.system.twilio.misbehave(Fault { on, times: Times::Next(1), what });
    chat::begin(&front, &json!({})).await;
    chat::begin(&front, &json!({})).await;
    for _ in 0..75 {
        rig.pass(Duration::from_mins(1)).await;
        system::sweep(&sweeper).await;
        rig.deliver_all(&front).await;
    }
    sweeper.sweep(SweepRequest { backfill_hours: 1, dry_run: false }, forever()).await;

    let template: Yaml = serde_norway::from_str(TEMPLATE).unwrap();
    for function in FUNCTIONS {
        let seen = recorders[function].seen.lock().unwrap().clone();
        assert_eq!(seen, granted(&template, function), "{function}: what it does, and what it may");
        // One action less or more, anywhere in its role, is seen.
        for (action, _) in &seen {
            let one_less = TEMPLATE.replace(&format!(" {action}\n"), " dynamodb:Scan\n");
            let one_less: Yaml = serde_norway::from_str(&one_less).unwrap();
            assert_ne!(seen, granted(&one_less, function), "{function} without {action}");
            let one_more = TEMPLATE.replace(
                &format!("- {action}\n"),
                &format!("- {action}\n                  - dynamodb:Scan\n"),
            );
            let one_more: Yaml = serde_norway::from_str(&one_more).unwrap();
            let is_listed = TEMPLATE.contains(&format!("- {action}\n"));
            assert!(
                !is_listed || seen != granted(&one_more, function),
                "{function} with one more than {action}"
            );
        }
    }
}
