//! The compiled command line, as a person runs it.

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "these are tests, helpers and all")]

use std::{process::Stdio, sync::Arc, time::Duration};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http::{Method, Request};
use serde_json::Value;
use shared::transport::{HttpsTransport, Transport};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
};

const BINARY: &str = env!("CARGO_BIN_EXE_flexglue");

#[tokio::test]
async fn the_demo_holds_and_says_so_without_colours_in_a_pipe() {
    let output = Command::new(BINARY).arg("demo").output().await.unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    assert!(text.contains("55 of 55 held") && !text.contains('✗'), "{text}");
    assert!(!text.contains('\u{1b}'), "no colours where nobody looks");
}

#[tokio::test]
async fn the_demo_tells_the_same_in_json() {
    let output = Command::new(BINARY).args(["demo", "--json"]).output().await.unwrap();
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 55);
    assert!(lines.iter().all(|line| line["holds"] == true && line["expected"] == line["seen"]));
}

/// `flexglue dev` on free ports, killed when dropped.
struct Dev {
    _process: Child,
    introduction: Vec<String>,
    transport: Arc<dyn Transport>,
}

impl Dev {
    async fn start() -> Self {
        let mut process = Command::new(BINARY)
            .args(["dev", "--listen", "127.0.0.1:0", "--twilio", "127.0.0.1:0"])
            .args(["--dynamodb", "127.0.0.1:0", "--page", "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut introduction = Vec::new();
        while let Some(line) = lines.next_line().await.unwrap() {
            let done = line.starts_with("Stop with");
            introduction.push(line);
            if done {
                break;
            }
        }
        // Somebody must go on reading, or the process stops when the pipe is full.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Self { _process: process, introduction, transport: Arc::new(HttpsTransport::new().unwrap()) }
    }

    /// The words of the line that begins so.
    fn line(&self, begins: &str) -> Vec<String> {
        let line = self.introduction.iter().find(|line| line.trim_start().starts_with(begins));
        line.expect("the introduction has this line").split_whitespace().map(str::to_owned).collect()
    }

    async fn ask(&self, method: Method, url: &str, headers: &[(&str, &str)], body: &str) -> (u16, Value) {
        let mut request = Request::builder().method(method).uri(url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Bytes::copy_from_slice(body.as_bytes())).unwrap();
        let answer = self.transport.send(request).await.unwrap();
        (answer.status().as_u16(), serde_json::from_slice(answer.body()).unwrap_or_default())
    }
}

const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

/// The lines that it prints for pasting work, and a message goes all the way round over HTTP.
#[tokio::test]
async fn dev_serves_all_of_it_and_its_lines_can_be_pasted() {
    let dev = Dev::start().await;

    // The webhook by hand.
    let by_hand = dev.introduction.iter().find(|line| line.contains("X-Twilio-Signature")).unwrap();
    let quoted: Vec<&str> = by_hand.split('\'').collect();
    let signature = quoted[1].strip_prefix("X-Twilio-Signature: ").unwrap();
    let url = by_hand.rsplit(' ').next().unwrap();
    let headers = [FORM, ("x-twilio-signature", signature)];
    let (status, body) = dev.ask(Method::POST, url, &headers, quoted[3]).await;
    assert_eq!((status, body["outcome"].as_str()), (200, Some("created")));
    let (status, _) = dev.ask(Method::POST, url, &[FORM], quoted[3]).await;
    assert_eq!(status, 403);

    // A customer writes; the simulated Twilio calls back.
    let customer = dev.line("curl --data-urlencode").pop().unwrap();
    let (status, written) = dev.ask(Method::POST, &customer, &[FORM], "from=%2B15551230001&body=Hello").await;
    assert_eq!(status, 201);
    let sid = written["conversation_sid"].as_str().unwrap();
    let login = dev.line("curl -u")[2].clone();
    let authorization = format!("Basic {}", BASE64_STANDARD.encode(login));
    let twilio = dev.line("simulated Twilio")[2].clone();
    let workspace = simulator::Settings::default().workspace_sid;
    let tasks = format!(
        "{twilio}/v1/Workspaces/{workspace}/Tasks?EvaluateTaskAttributes=conversationSid%20%3D%3D%20%22{sid}%22"
    );
    let found = tokio::time::timeout(Duration::from_secs(20), async {
        loop {
            let (_, body) = dev.ask(Method::GET, &tasks, &[("authorization", &authorization)], "").await;
            if body["tasks"].as_array().is_some_and(|tasks| !tasks.is_empty()) {
                return body["tasks"].as_array().map(Vec::len);
            }
            tokio::task::yield_now().await;
        }
    });
    assert_eq!(found.await.expect("the task appears"), Some(1));
}

/// The page is there, and web chats begin on its origin and on no other.
#[tokio::test]
async fn dev_serves_a_page_on_which_web_chats_begin() {
    let dev = Dev::start().await;
    let page = dev.line("web chat")[2].clone();
    assert_eq!(dev.ask(Method::GET, &page, &[], "").await.0, 200);
    let origin = page.trim_end_matches('/');
    let begin = dev.line("functions")[1].replace("/webhooks/conversations", "/initWebchat");
    for (origin, status) in [(origin, 200), (&origin.replace("127.0.0.1", "localhost"), 403)] {
        let headers = [("content-type", "application/json"), ("origin", origin)];
        let (answered, body) = dev.ask(Method::POST, &begin, &headers, "{}").await;
        assert_eq!((answered, body["token"].is_string()), (status, status == 200), "{origin}");
    }
}

/// The README's lines for reaching out are run as they stand, but for the port.
#[tokio::test]
async fn the_readmes_lines_for_reaching_out_work() {
    let dev = Dev::start().await;
    let functions = dev.line("functions")[1].replace("/webhooks/conversations", "");
    let readme = include_str!("../../README.md");
    let lines: Vec<&str> = readme.lines().filter(|line| line.contains("/outbound -H")).collect();
    assert_eq!(lines.len(), 3, "one for each kind");
    for line in lines {
        let line = line.replace("http://127.0.0.1:8080", &functions);
        let output = Command::new("bash").args(["-c", &line]).output().await.unwrap();
        let body: Value = serde_json::from_slice(&output.stdout).expect("an answer");
        assert_eq!(body["status"], "open", "{line}: {body}");
    }
    let token = dev.introduction.iter().find(|line| line.contains("X-Flex-Token")).unwrap();
    let output = Command::new("bash").args(["-c", &format!("{token} -sS")]).output().await.unwrap();
    let body: Value = serde_json::from_slice(&output.stdout).expect("an answer");
    assert_eq!(
        body["error"], "participant_in_conversation",
        "the customer has asked to be called back: {body}"
    );
}

#[tokio::test]
async fn a_port_that_is_taken_is_named() {
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = Command::new(BINARY).args(["dev", "--listen", &address]).output().await.unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains(&address) && said.contains("choose another"), "{said}");
}

/// Runs the command line as an operator of the account and the table that `dev` serves.
async fn operate(dev: &Dev, arguments: &[&str], changes: &[(&str, &str)]) -> (Option<i32>, String, String) {
    let account = simulator::Settings::default();
    let table = dev.line("DynamoDB")[3].clone();
    let mut command = Command::new(BINARY);
    command.args(arguments).env_clear();
    for (name, value) in [
        ("TABLE_NAME", &table),
        ("TWILIO_ACCOUNT_SID", &account.account_sid),
        ("TWILIO_AUTH_TOKEN", &account.auth_token),
        ("FLEX_WORKSPACE_SID", &account.workspace_sid),
        ("FLEX_WORKFLOW_SID", &account.workflow_sid),
        ("FLEX_CHAT_SERVICE_SID", &account.chat_service_sid),
        ("TWILIO_FLEX_API_URL", &dev.line("simulated Twilio")[2]),
        ("TWILIO_CONVERSATIONS_API_URL", &dev.line("simulated Twilio")[2]),
        ("TWILIO_TASKROUTER_API_URL", &dev.line("simulated Twilio")[2]),
        ("AWS_ENDPOINT_URL_DYNAMODB", &dev.line("DynamoDB")[1]),
    ] {
        command.env(name, value);
    }
    for (name, value) in
        [("AWS_REGION", "us-east-1"), ("AWS_ACCESS_KEY_ID", "local"), ("AWS_SECRET_ACCESS_KEY", "local")]
    {
        command.env(name, value);
    }
    command.envs(changes.iter().copied());
    let output = command.output().await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// An operator has a customer served whom nobody serves, sees so, and sweeps.
#[tokio::test]
async fn an_operator_explains_adopts_and_sweeps() {
    let dev = Dev::start().await;
    // A conversation that somebody made over REST: no webhook tells of it.
    let twilio = dev.line("simulated Twilio")[2].clone();
    let login = dev.line("curl -u")[2].clone();
    let authorization = format!("Basic {}", BASE64_STANDARD.encode(login));
    let headers = [FORM, ("authorization", &*authorization)];
    let made = format!("{twilio}/v1/Conversations");
    let (_, conversation) = dev.ask(Method::POST, &made, &headers, "").await;
    let sid = conversation["sid"].as_str().unwrap();
    let binding = "MessagingBinding.Address=%2B15551230007&MessagingBinding.ProxyAddress=%2B15557770000";
    dev.ask(Method::POST, &format!("{made}/{sid}/Participants"), &headers, binding).await;
    let message = "Author=%2B15551230007&Body=hello";
    dev.ask(Method::POST, &format!("{made}/{sid}/Messages"), &headers, message).await;

    let (code, told, wrong) = operate(&dev, &["explain", "+15551230007", "--json"], &[]).await;
    let told: Value = serde_json::from_str(&told).expect(&wrong);
    assert_eq!((code, &told["conversation_sid"]), (Some(1), &conversation["sid"]));
    assert_eq!(told["standing"]["heals"], format!("flexglue adopt {sid}"));

    let (code, text, _) = operate(&dev, &["sweep", "--dry-run"], &[]).await;
    assert_eq!((code, text.lines().next()), (Some(0), Some("0 due; nothing was changed")));

    let (code, text, _) = operate(&dev, &["adopt", sid], &[]).await;
    assert!(code == Some(0) && text.contains("has its Interaction now: KD"), "{text}");
    let (code, again, _) = operate(&dev, &["adopt", sid, "--json"], &[]).await;
    let again: Value = serde_json::from_str(&again).unwrap();
    assert_eq!((code, again["outcome"].as_str()), (Some(0), Some("looked_after")), "{again}");

    // Twilio takes a moment to set it up.
    let seen = tokio::time::timeout(Duration::from_secs(20), async {
        loop {
            let (code, text, _) = operate(&dev, &["explain", sid], &[]).await;
            if text.contains("A task waits") {
                return (code, text);
            }
        }
    });
    let (code, text) = seen.await.expect("its Interaction comes up");
    assert!(code == Some(0) && !text.contains('\u{1b}'), "{text}");
    let (code, report, _) = operate(&dev, &["sweep", "--json"], &[]).await;
    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!((code, report["errors"].as_u64()), (Some(0), Some(0)), "{report}");
}

/// What is missing is named, what cannot be asked is said, and no secret is.
#[tokio::test]
async fn an_operator_is_told_what_is_wrong() {
    let dev = Dev::start().await;
    let nobody = format!("CH{:032x}", 7);
    let (code, _, said) = operate(&dev, &["explain", &nobody], &[("FLEX_WORKFLOW_SID", "")]).await;
    assert!(code == Some(2) && said.contains("FLEX_WORKFLOW_SID: missing"), "{said}");
    let (code, _, said) = operate(&dev, &["sweep"], &[("AWS_REGION", "")]).await;
    assert!(code == Some(2) && said.contains("AWS_REGION"), "{said}");
    let (code, _, said) = operate(&dev, &["sweep"], &[("TABLE_NAME", "elsewhere")]).await;
    assert!(code == Some(1) && said.contains("ResourceNotFoundException"), "{said}");
    let (code, told, said) =
        operate(&dev, &["adopt", &nobody], &[("TWILIO_AUTH_TOKEN", "not-the-token")]).await;
    assert!(code == Some(2) && told.contains("401") && !format!("{told}{said}").contains("not-the-token"));
    let (code, told, _) = operate(&dev, &["explain", &nobody], &[]).await;
    assert!(code == Some(2) && told.contains("Neither Twilio nor flexglue"), "{told}");
    let (code, _, said) = operate(&dev, &["explain", "ada@example.com"], &[]).await;
    assert!(code == Some(2) && said.contains("expected a conversation"), "{said}");
}

/// Over HTTP, from outside: the functions, the account and the table that `dev` serves.
#[tokio::test]
async fn an_operator_has_an_account_examined() {
    let dev = Dev::start().await;
    let twilio = dev.line("simulated Twilio")[2].clone();
    let at = |api: &str| format!("{twilio}/{api}");
    let (flex, monitor, account) = (at("flex-api"), at("monitor"), at("api"));
    let functions = dev.line("functions")[1].replace("/webhooks/conversations", "");
    let mut changes = vec![
        ("TWILIO_FLEX_API_URL", &*flex),
        ("TWILIO_MONITOR_API_URL", &*monitor),
        ("TWILIO_API_URL", &*account),
        ("PUBLIC_BASE_URL", &*functions),
    ];
    // Whoever swept last, it is seen.
    operate(&dev, &["sweep"], &changes).await;
    let (code, told, wrong) = operate(&dev, &["doctor", "--json"], &changes).await;
    let told: Value = serde_json::from_str(&told).expect(&wrong);
    let verdict = |name: &str| {
        let checks = told["checks"].as_array().unwrap();
        checks.iter().find(|check| check["check"] == name).unwrap()["verdict"].clone()
    };
    // The embedded DynamoDB knows no backups.
    assert_eq!(
        (code, verdict("table-recovery"), verdict("inbound-webhook")),
        (Some(2), "unknown".into(), "good".into())
    );
    assert_eq!(told["verdict"], "unknown", "{told:#}");
    changes.push(("FLEX_WORKFLOW_SID", "WW000000000000000000000000000000ff"));
    let (code, text, _) = operate(&dev, &["doctor"], &changes).await;
    assert!(code == Some(1) && text.contains("✗ workflow WW") && !text.contains('\u{1b}'), "{text}");
}

/// A plan, made, made again, and undone, as a person does it.
#[tokio::test]
async fn an_operator_sets_an_account_up_and_back() {
    let dev = Dev::start().await;
    let twilio = dev.line("simulated Twilio")[2].clone();
    let flex = format!("{twilio}/flex-api");
    // The account is set up for `dev`: elsewhere it is somebody else's.
    let changes = [("TWILIO_FLEX_API_URL", &*flex), ("PUBLIC_BASE_URL", "https://flexglue.example")];
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("journal.json");
    let journal = file.to_str().unwrap();
    let (code, text, _) = operate(&dev, &["setup"], &changes).await;
    assert!(
        code == Some(0) && text.contains("Nothing was changed") && text.contains("only --force"),
        "{text}"
    );
    let (code, text, _) = operate(&dev, &["setup", "--apply", "--journal", journal], &changes).await;
    assert!(code == Some(1) && text.contains("was left") && text.contains("✓ close timer"), "{text}");
    let (code, ..) = operate(&dev, &["setup", "--apply", "--force", "--journal", journal], &changes).await;
    assert_eq!(code, Some(0));
    let (code, text, _) = operate(&dev, &["setup", "--apply"], &changes).await;
    assert_eq!((code, text.as_str()), (Some(0), "All is as it is to be.\n"));
    let (code, text, _) = operate(&dev, &["setup", "--undo", journal, "--json"], &changes).await;
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(code == Some(0) && lines.len() == 5 && lines.iter().all(|line| line["done"] == "made"), "{text}");
    let (code, _, said) = operate(&dev, &["setup"], &changes[..1]).await;
    assert!(code == Some(2) && said.contains("PUBLIC_BASE_URL"), "{said}");
}

/// The help names what most people come for, and shells complete it.
#[tokio::test]
async fn the_help_begins_with_the_common_case_and_shells_complete() {
    let output = Command::new(BINARY).arg("--help").output().await.unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    let commands = help.split_once("Commands:").unwrap().1;
    assert!(commands.trim_start().starts_with("explain") && help.contains("flexglue explain CH…"), "{help}");
    for shell in ["bash", "zsh", "fish"] {
        let output = Command::new(BINARY).args(["completions", shell]).output().await.unwrap();
        let script = String::from_utf8(output.stdout).unwrap();
        assert!(
            output.status.success() && script.contains("doctor") && script.contains("backfill-hours"),
            "{shell}"
        );
    }
}

#[tokio::test]
async fn an_operator_replays_what_was_recorded() {
    let dev = Dev::start().await;
    let by_hand = dev.introduction.iter().find(|line| line.contains("X-Twilio-Signature")).unwrap();
    let form = by_hand.split('\'').nth(3).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("events");
    std::fs::write(&file, format!("{form}\n{form}\n")).unwrap();
    let (code, text, wrong) = operate(&dev, &["replay", file.to_str().unwrap()], &[]).await;
    assert_eq!(
        (code, text.as_str()),
        (Some(0), "✓ inbound-webhook 200: created\n· the same again\n"),
        "{wrong}"
    );
    std::fs::write(&file, "hello").unwrap();
    let (code, _, wrong) = operate(&dev, &["replay", file.to_str().unwrap()], &[]).await;
    assert!(code == Some(2) && wrong.contains("entry 1"), "{wrong}");
}

/// With a profile of Twilio's command line and nothing else: what a key may look at is looked at.
#[tokio::test]
async fn an_operator_logs_in_with_a_profile_of_twilios_command_line() {
    let dev = Dev::start().await;
    let account = simulator::Settings::default();
    let home = tempfile::tempdir().unwrap();
    let (sid, secret) = flexglue::local::system::API_KEY;
    let profile = serde_json::json!({"accountSid": account.account_sid, "apiKey": sid, "apiSecret": secret});
    let config = serde_json::json!({"activeProject": "local", "profiles": {"local": profile}});
    std::fs::create_dir(home.path().join(".twilio-cli")).unwrap();
    std::fs::write(home.path().join(".twilio-cli/config.json"), config.to_string()).unwrap();
    let changes = [("HOME", home.path().to_str().unwrap()), ("TWILIO_AUTH_TOKEN", "")];
    let nobody = format!("CH{:032x}", 7);
    let (code, text, wrong) = operate(&dev, &["explain", &nobody], &changes).await;
    assert!(code == Some(2) && text.contains("Neither Twilio nor flexglue"), "{text}{wrong}");
    let file = home.path().join("events");
    std::fs::write(&file, "EventType=onMessageAdded").unwrap();
    let (code, _, wrong) = operate(&dev, &["replay", file.to_str().unwrap()], &changes).await;
    assert!(code == Some(2) && wrong.contains("TWILIO_AUTH_TOKEN") && !wrong.contains(secret), "{wrong}");
}

/// A real account is served from here, beside a table of its own: here the account that another `dev` simulates.
#[tokio::test]
async fn dev_serves_a_real_account_too() {
    let dev = Dev::start().await;
    let account = simulator::Settings::default();
    let twilio = dev.line("simulated Twilio")[2].clone();
    let public = "https://tunnel.example";
    let mut process = Command::new(BINARY)
        .args(["dev", "--live", "--json", "--listen", "127.0.0.1:0", "--dynamodb", "127.0.0.1:0"])
        .env_clear()
        .envs([
            ("TWILIO_ACCOUNT_SID", &*account.account_sid),
            ("TWILIO_AUTH_TOKEN", &account.auth_token),
            ("FLEX_WORKSPACE_SID", &account.workspace_sid),
            ("FLEX_WORKFLOW_SID", &account.workflow_sid),
            ("FLEX_CHAT_SERVICE_SID", &account.chat_service_sid),
            ("TWILIO_FLEX_API_URL", &twilio),
            ("TWILIO_CONVERSATIONS_API_URL", &twilio),
            ("TWILIO_TASKROUTER_API_URL", &twilio),
            ("PUBLIC_BASE_URL", public),
        ])
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
    let told: Value = serde_json::from_str(&lines.next_line().await.unwrap().unwrap()).unwrap();
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    assert_eq!((&told["public"], &told["table"]), (&public.into(), &"flexglue-local".into()));

    let by_hand = dev.introduction.iter().find(|line| line.contains("X-Twilio-Signature")).unwrap();
    let form = by_hand.split('\'').nth(3).unwrap();
    let params = shared::signature::Params::parse(form.as_bytes());
    let signed = format!("{public}/webhooks/conversations");
    let signature = shared::signature::signature(account.auth_token.as_bytes(), &signed, &params);
    let url = format!("{}/webhooks/conversations", told["functions"].as_str().unwrap());
    let (status, body) = dev.ask(Method::POST, &url, &[FORM, ("x-twilio-signature", &signature)], form).await;
    assert_eq!((status, body["outcome"].as_str()), (200, Some("created")), "{body}");
    let (status, _) = dev.ask(Method::POST, &url, &[FORM], form).await;
    assert_eq!(status, 403);
}

#[tokio::test]
async fn dev_says_what_a_real_account_needs() {
    let dev = Dev::start().await;
    let changes = [("PUBLIC_BASE_URL", "")];
    let (code, _, wrong) = operate(&dev, &["dev", "--live", "--listen", "127.0.0.1:0"], &changes).await;
    assert!(code == Some(2) && wrong.contains("PUBLIC_BASE_URL") && wrong.contains("tunnel"), "{wrong}");
    // With neither of these is the token at hand with which webhooks are checked: each would be refused.
    let (key, hush) = flexglue::local::system::API_KEY;
    let login = [("TWILIO_AUTH_TOKEN", ""), ("TWILIO_API_KEY", key), ("TWILIO_API_SECRET", hush)];
    let secret =
        [("TWILIO_AUTH_TOKEN", ""), ("TWILIO_SECRET_ARN", "arn:aws:secretsmanager:us-east-1:1:secret:1")];
    for without_token in [&login[..], &secret] {
        let changes = [without_token, &[("PUBLIC_BASE_URL", "https://tunnel.example.com")]].concat();
        let (code, _, wrong) = operate(&dev, &["dev", "--live", "--listen", "127.0.0.1:0"], &changes).await;
        assert!(code == Some(2) && wrong.contains("set TWILIO_AUTH_TOKEN"), "{wrong}");
    }
}

/// The name of a stack is all that has to be known: its functions say the rest.
#[tokio::test]
async fn an_operator_names_the_stack() {
    let dev = Dev::start().await;
    let account = simulator::Settings::default();
    let variables = serde_json::json!({
        "METRICS_NAMESPACE": "shop", "TABLE_NAME": dev.line("DynamoDB")[3],
        "FLEX_WORKSPACE_SID": account.workspace_sid, "FLEX_WORKFLOW_SID": account.workflow_sid,
    });
    let function =
        serde_json::json!({"FunctionName": "shop-OrphanSweeper-1", "Environment": {"Variables": variables}});
    let body = serde_json::json!({"Functions": [function]}).to_string();
    let lambda = axum::Router::new().fallback(move || std::future::ready(body.clone()));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, lambda).await });
    let changes = [
        ("AWS_ENDPOINT_URL", &*endpoint),
        ("TABLE_NAME", ""),
        ("FLEX_WORKSPACE_SID", ""),
        ("FLEX_WORKFLOW_SID", ""),
    ];
    let nobody = format!("CH{:032x}", 7);
    let (code, text, wrong) = operate(&dev, &["explain", &nobody, "--stack", "shop"], &changes).await;
    assert!(code == Some(2) && text.contains("Neither Twilio nor flexglue"), "{text}{wrong}");
    let (code, _, wrong) = operate(&dev, &["explain", &nobody, "--stack", "elsewhere"], &changes).await;
    assert!(code == Some(2) && wrong.contains("no functions of a stack elsewhere"), "{wrong}");
}
