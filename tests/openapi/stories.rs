//! Whole stories, with every function of ours on tapped wires: how conversations begin, are served, are lost and
//! found, and end; reaches of every kind; web chats. Each also with its answers lost, one after the other.

use std::{sync::Arc, time::Duration};

use flexglue::{
    local::{
        gateway::Routes,
        system::{self, OUTBOUND_PATH, PLUGIN_ORIGIN, PUBLIC_URL, SMS_NUMBER, WHATSAPP_NUMBER, call_back},
    },
    setup::{Journal, make, plan},
};
use flexglue_tests::{
    chat::{begin, end, refresh},
    outbound::{ask, reach, request, tell, with},
    rig::{CUSTOMER, Rig},
    wires::Forgetful,
};
use http::Method;
use orphan_sweeper::{OrphanSweeper, SweepRequest};
use serde_json::{Value, json};
use shared::{clock::Deadline, parts::Parts, transport::Transport, twilio::Bases};

use crate::recorder::Recorder;

/// Everything in one process, at the public addresses, on tapped wires.
struct Stage {
    rig: Rig,
    front: Routes,
    sweeper: OrphanSweeper,
}

/// The task channel, the priority and the agent that a rule chooses.
const RULES: &str = r#"[{"match": {"channel": "whatsapp"}, "task_channel": "chat", "priority": 5, "timeout": 600,
    "attributes": {"language": "en"}, "known_worker_sid": "WK0000000000000000000000000000000a"}]"#;

impl Stage {
    /// `loses` is the number of the request to Twilio, counted from 0, whose answer is lost.
    async fn new(recorder: &Recorder, loses: Option<usize>, variables: &[(&'static str, &str)]) -> Self {
        let account = |account: &mut simulator::Settings| {
            call_back(account, PUBLIC_URL);
            account.workflow_timeout_s = Some(600);
        };
        let mut rig = Rig::with(1, account, variables);
        rig.system.settings.bases = Bases::public(None, None);
        let to_twilio = |to: Arc<dyn Transport>| -> Arc<dyn Transport> {
            Arc::new(Forgetful::new(recorder.tap(to), move |number, _| Some(number) == loses))
        };
        let world = rig.system.world_through(to_twilio, |to| to).await;
        let (front, sweeper) = (rig.front_in(&world), rig.system.orphan_sweeper(&world));
        Self { rig, front, sweeper }
    }

    fn twilio(&self) -> &simulator::Twilio {
        &self.rig.system.twilio
    }

    /// Time passes, webhooks are delivered, and the sweeper comes every minute.
    async fn minutes(&self, minutes: u32) {
        for _ in 0..minutes {
            self.deliver().await;
            self.rig.pass(Duration::from_mins(1)).await;
            self.deliver().await;
            system::sweep(&self.sweeper).await;
        }
    }

    async fn deliver(&self) {
        while !self.rig.deliver_all(&self.front).await.is_empty() {}
    }

    /// An agent takes every task that waits, if there is one.
    fn agents_accept(&self) {
        let worker = self.twilio().settings().workers[0].sid.clone();
        for task in self.twilio().tasks() {
            // One that is over is not offered any more.
            let _ = self.twilio().agent_accepts(&task.sid, &worker);
        }
    }

    fn agents_end_chats(&self) {
        for task in self.twilio().tasks() {
            // Only one that somebody has.
            let _ = self.twilio().agent_ends_chat(&task.sid);
        }
    }

    fn reach(&self, kind: &str, changes: &Value) -> Value {
        with(reach(&self.twilio().settings(), kind), changes)
    }
}

/// Plays every story with nothing lost, and those that look for what an answer would have told with the answer to
/// each of their first requests lost.
pub(crate) async fn play(recorder: &Recorder) {
    served(recorder).await;
    given_up(recorder).await;
    unheard(recorder).await;
    examined(recorder).await;
    reached_on_whatsapp(recorder).await;
    reached_by_a_plugin(recorder).await;
    for loses in std::iter::once(None).chain((0..6).map(Some)) {
        chats(recorder, loses).await;
        for kind in ["agent", "api", "system"] {
            reached(recorder, loses, kind, "reject").await;
        }
    }
    for kind in ["agent", "api", "system"] {
        for on_conflict in ["join", "replace"] {
            reached(recorder, None, kind, on_conflict).await;
        }
    }
}

/// An operator looks whether all is well, and sets up what is not.
async fn examined(recorder: &Recorder) {
    let stage = Stage::new(recorder, None, &[]).await;
    let world = stage.rig.system.world_through(|to| recorder.tap(to), |to| to).await;
    let deadline = Deadline::within(Duration::from_secs(20));
    let settings = &stage.rig.system.settings;
    flexglue::doctor::examine(settings, &world, deadline).await;
    let twilio = Parts::new("flexglue", settings, &world).rescuer.opener.twilio;
    stage.twilio().change_settings(|account| {
        account.addresses[0].integration = simulator::Integration::Default;
        account.event_callback_url = None;
        account.shown.attachments.insert("sms".to_owned(), false);
    });
    let folder = tempfile::tempdir().expect("there is room for a file");
    let path = folder.path().join("journal.json");
    let mut journal = Journal { account_sid: settings.account.clone(), changes: Vec::new() };
    for change in plan(&twilio, settings, &["sms".to_owned()], deadline).await.expect("Twilio answers") {
        make(&twilio, settings, &change, false, (&mut journal, &path), deadline)
            .await
            .expect("Twilio does it");
    }
}

/// Customers of every channel write, are served, and it ends.
async fn served(recorder: &Recorder) {
    let stage = Stage::new(recorder, None, &[("ROUTING_RULES", RULES)]).await;
    stage.twilio().customer_writes(CUSTOMER, SMS_NUMBER, "hello");
    stage.twilio().customer_writes("whatsapp:+15551230002", WHATSAPP_NUMBER, "hello");
    stage.minutes(4).await;
    stage.agents_accept();
    stage.minutes(5).await;
    stage.agents_end_chats();
    stage.minutes(10).await;
}

/// Nobody accepts: agents are invited again, the customer is told, and in the end it is closed.
async fn given_up(recorder: &Recorder) {
    let stage = Stage::new(recorder, None, &[]).await;
    stage.twilio().customer_writes(CUSTOMER, SMS_NUMBER, "hello");
    stage.minutes(40).await;
}

/// No webhook arrives, and later no callback: the sweeper finds out by itself.
async fn unheard(recorder: &Recorder) {
    let stage = Stage::new(recorder, None, &[]).await;
    stage.twilio().customer_writes(CUSTOMER, SMS_NUMBER, "hello");
    let _ = stage.twilio().take_webhooks();
    for _ in 0..20 {
        stage.rig.pass(Duration::from_mins(1)).await;
        let _ = stage.twilio().take_webhooks();
        system::sweep(&stage.sweeper).await;
    }
    let request = SweepRequest { backfill_hours: 2, ..SweepRequest::default() };
    stage.sweeper.sweep(request, Deadline::within(Duration::from_secs(50))).await;
}

/// Web chats begin, go on and are ended by either side.
async fn chats(recorder: &Recorder, loses: Option<usize>) {
    let stage = Stage::new(recorder, loses, &[]).await;
    for query in ["Where is my order?", ""] {
        let form = json!({"friendlyName": "Ada", "email": "ada@example.com", "query": query});
        let told = begin(&stage.front, &form).await;
        stage.minutes(2).await;
        stage.agents_accept();
        stage.minutes(2).await;
        let token = told.text("token");
        refresh(&stage.front, &token).await;
        end(&stage.front, &token).await;
        stage.minutes(5).await;
    }
}

/// A reach, to a customer whom nobody knows and to one who is in a conversation.
async fn reached(recorder: &Recorder, loses: Option<usize>, kind: &str, on_conflict: &str) {
    let stage = Stage::new(recorder, loses, &[]).await;
    let body = stage.reach(kind, &json!({"on_conflict": on_conflict}));
    for key in ["first", "second"] {
        let told = ask(&stage.front, key, &body).await;
        stage.minutes(2).await;
        tell(&stage.front, &told.text("id")).await;
    }
    stage.agents_accept();
    let elsewhere = "+15551230009";
    stage.twilio().conversation_elsewhere(elsewhere, SMS_NUMBER);
    ask(&stage.front, "third", &with(body, &json!({"to": elsewhere}))).await;
    stage.twilio().customer_writes(CUSTOMER, SMS_NUMBER, "thank you");
    stage.minutes(10).await;
}

/// Templates, and a flow that hears of replies.
async fn reached_on_whatsapp(recorder: &Recorder) {
    let stage = Stage::new(recorder, None, &[]).await;
    let template = format!("HX{:032x}", 1);
    for (number, content) in [
        json!({"content_sid": template}),
        json!({"content_sid": template, "content_variables": {"1": "Ada"}}),
    ]
    .into_iter()
    .enumerate()
    {
        let body = stage.reach(
            "system",
            &json!({
                "to": format!("+1555123010{number}"), "from": SMS_NUMBER, "channel": "whatsapp",
                "message": content, "flow_sid": format!("FW{:032x}", 7),
            }),
        );
        let told = ask(&stage.front, &format!("key-{number}"), &body).await;
        assert_eq!(told.status, 201, "{told:?}");
    }
    stage.minutes(2).await;
}

/// A plugin shows who is behind it.
async fn reached_by_a_plugin(recorder: &Recorder) {
    let stage = Stage::new(recorder, None, &[]).await;
    let worker = stage.twilio().settings().workers[0].clone();
    let token = stage.twilio().flex_token(&worker.identity, &["agent"], Some(&worker.sid), 3_600_000);
    for token in [&*token, "a.b.c.d.e"] {
        let headers = [
            ("origin", PLUGIN_ORIGIN),
            ("content-type", "application/json"),
            ("idempotency-key", "key"),
            ("x-flex-token", token),
        ];
        let body = stage.reach("agent", &json!({})).to_string();
        stage.front.handle(request(Method::POST, OUTBOUND_PATH, &headers, &body)).await;
    }
}
