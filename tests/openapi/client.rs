//! Every function of `shared::twilio::Twilio`, with every choice of arguments that changes what is asked, and with
//! the refusals that it knows.

use std::{collections::BTreeSet, fs, path::Path, sync::Arc, time::Duration};

use flexglue::local::{
    system::{PUBLIC_URL, SMS_NUMBER, WEB_CHAT, WHATSAPP_NUMBER},
    transports::ToTwilio,
};
use flexglue_tests::rig::{CUSTOMER, Rig};
use serde_json::json;
use shared::{
    clock::{Clock, Deadline},
    random::SeededRandom,
    secrets::{Credentials, Secret, SecretSource, Secrets},
    sid::{ChatServiceSid, ConversationSid, InteractionChannelSid, InteractionSid, TaskSid, WorkspaceSid},
    telemetry::Metrics,
    twilio::{
        AutoCreation, Bases, EndOfTasks, EventQuery, MessageContent, NewConversation, NewInteraction,
        NewMessage, NewScopedWebhook, NewWebChat, Timers, Twilio,
    },
};
use simulator::{Address, Fault, Matcher, Misbehaviour, Times};

use crate::recorder::Recorder;

/// Asks by a function of the client, and notes that it was asked by.
macro_rules! ask {
    ($driver:ident, $function:ident($($argument:expr),* $(,)?)) => {{
        let before = $driver.recorder.count();
        let answer = $driver.twilio.$function($($argument,)* Deadline::within(Duration::from_secs(4))).await;
        assert!($driver.recorder.count() > before, "{} asks Twilio nothing", stringify!($function));
        $driver.asked.insert(stringify!($function).to_owned());
        answer
    }};
}

/// Drives the client.
pub(crate) struct Driver {
    rig: Rig,
    twilio: Twilio,
    pub(crate) recorder: Recorder,
    /// The functions by which Twilio was asked.
    pub(crate) asked: BTreeSet<String>,
    service: ChatServiceSid,
    workspace: WorkspaceSid,
    customers: u32,
}

/// A name that nobody has.
const NOBODY: &str = "nobody";

impl Driver {
    pub(crate) fn new() -> Self {
        let rig = Rig::new();
        let recorder = Recorder::default();
        let account = rig.system.twilio.settings();
        Self {
            twilio: client(&rig, &recorder, &account.auth_token),
            service: sid(&account.chat_service_sid),
            workspace: sid(&account.workspace_sid),
            recorder,
            asked: BTreeSet::new(),
            customers: 0,
            rig,
        }
    }

    pub(crate) async fn ask_everything(&mut self) {
        self.conversations().await;
        self.lists_of_conversations().await;
        self.participants().await;
        self.messages().await;
        self.webhooks().await;
        self.interactions().await;
        self.tasks().await;
        self.web_chats().await;
        self.tokens().await;
        self.configuration().await;
        self.refusals().await;
    }

    async fn conversations(&mut self) {
        let durations = [None, Some("PT10M".to_owned())];
        let mut made = Vec::new();
        for inactive in &durations {
            for closed in &durations {
                let new = NewConversation {
                    unique_name: format!("flexglue-{}", made.len()),
                    attributes: json!({"case": 7}).to_string(),
                    timers: Timers { inactive: inactive.clone(), closed: closed.clone() },
                };
                made.push(ask!(self, create_conversation(&self.service, new)).unwrap().sid);
            }
        }
        let named = ask!(self, conversation_named(&self.service, "flexglue-0")).unwrap();
        assert_eq!(named.unwrap().sid, made[0]);
        assert!(ask!(self, conversation_named(&self.service, NOBODY)).unwrap().is_none());
        assert!(ask!(self, conversation(&made[0])).unwrap().is_some());
        assert!(ask!(self, conversation(&unknown("CH"))).unwrap().is_none());
        // The second time it is gone, or closed: that is no error.
        for _ in 0..2 {
            ask!(self, delete_conversation(&made[1])).unwrap();
            ask!(self, close_conversation(&made[2])).unwrap();
        }
        ask!(self, close_conversation(&unknown("CH"))).unwrap();
    }

    async fn lists_of_conversations(&mut self) {
        for customer in 0..101 {
            let from = format!("+1556{customer:07}");
            self.rig.system.twilio.customer_writes(&from, SMS_NUMBER, "hello");
        }
        for state in ["active", "inactive", "closed"] {
            let first = ask!(self, conversations(&self.service, state, None)).unwrap();
            if let Some(next) = first.next {
                assert!(
                    !ask!(self, conversations(&self.service, state, Some(&next))).unwrap().items.is_empty()
                );
            }
        }
        for _ in 0..51 {
            let written = self.rig.system.twilio.customer_writes("+15579999999", SMS_NUMBER, "hello");
            ask!(self, close_conversation(&sid(&written.conversation_sid))).unwrap();
        }
        let first = ask!(self, participant_conversations("+15579999999", None)).unwrap();
        let next = first.next.expect("a second page");
        assert_eq!(
            ask!(self, participant_conversations("+15579999999", Some(&next))).unwrap().items.len(),
            1
        );
        assert!(
            ask!(self, participant_conversations("whatsapp:+15550000000", None)).unwrap().items.is_empty()
        );
        let chat = self.rig.chat_of("guest-1").await;
        let of_guest = ask!(self, conversations_of_identity("guest-1")).unwrap().items;
        assert_eq!(of_guest[0].conversation_sid.as_str(), chat);
    }

    async fn participants(&mut self) {
        let (first, second) = (self.conversation("first").await, self.conversation("second").await);
        ask!(self, add_customer(&first, CUSTOMER, SMS_NUMBER)).unwrap();
        let whatsapp = "whatsapp:+15551230001";
        ask!(self, add_customer(&first, whatsapp, WHATSAPP_NUMBER)).unwrap();
        self.rig.joins(first.as_str(), "agent-1").await;
        assert_eq!(ask!(self, participants(&first)).unwrap().items.len(), 3);
        for (to, address, proxy, code) in [
            (&first, CUSTOMER, SMS_NUMBER, shared::twilio::ALREADY_THERE),
            (&second, CUSTOMER, SMS_NUMBER, shared::twilio::PAIR_IN_USE[0]),
            (&second, "15551230001", SMS_NUMBER, shared::twilio::ADDRESS_INVALID),
            (&second, CUSTOMER, "15557770000", shared::twilio::PROXY_ADDRESS_INVALID[0]),
        ] {
            let refused = ask!(self, add_customer(to, address, proxy)).unwrap_err();
            assert!(refused.has_code(code), "{refused:?}");
        }
    }

    async fn messages(&mut self) {
        let (open, held) = (self.conversation("messages").await, "+15551230002");
        ask!(self, add_customer(&open, held, SMS_NUMBER)).unwrap();
        let template = |variables: Option<&str>| MessageContent::Template {
            sid: sid(&format!("HX{:032x}", 1)),
            variables: variables.map(|variables| variables.to_owned().into()),
        };
        let contents = [
            MessageContent::Text("hello".to_owned().into()),
            template(None),
            template(Some(r#"{"1":"Ada"}"#)),
        ];
        let mut sent = Vec::new();
        for content in contents {
            for name in [None, Some("one".to_owned())] {
                for fire_webhooks in [false, true] {
                    let (author, content, name) = ("system".to_owned(), content.clone(), name.clone());
                    let message = NewMessage { author, content, name, fire_webhooks };
                    sent.push(ask!(self, send_message(&open, message)).unwrap().sid);
                }
            }
        }
        self.rig.system.twilio.customer_writes(held, SMS_NUMBER, "thank you");
        assert_eq!(ask!(self, newest_messages(&open)).unwrap().items.len(), sent.len() + 1);
        for (passes, delivered) in [(0, false), (5, true)] {
            self.rig.pass(Duration::from_secs(passes)).await;
            let receipts = ask!(self, receipts(&open, &sent[0])).unwrap().items;
            assert_eq!(receipts[0].is_delivered(), delivered);
        }
        self.rig.system.twilio.cannot_be_reached(held, 21610, simulator::Unreachable::Later);
        let late = ask!(self, send_message(&open, text())).unwrap().sid;
        self.rig.pass(Duration::from_secs(5)).await;
        let receipts = ask!(self, receipts(&open, &late)).unwrap().items;
        assert!(receipts[0].is_undelivered() && receipts[0].code() == Some(21610));
        self.rig.system.twilio.cannot_be_reached(held, 21610, simulator::Unreachable::AtOnce);
        assert!(ask!(self, send_message(&open, text())).unwrap_err().has_code(21610));
    }

    async fn webhooks(&mut self) {
        let conversation = self.conversation("webhooks").await;
        let url = format!("{PUBLIC_URL}/webhooks/conversations");
        let flow = sid(&format!("FW{:032x}", 7));
        for new in [NewScopedWebhook::Webhook { url }, NewScopedWebhook::Studio { flow }] {
            ask!(self, attach_webhook(&conversation, &new)).unwrap();
        }
        assert_eq!(ask!(self, scoped_webhooks(&conversation)).unwrap().items.len(), 2);
        // As an address attaches it.
        let written = self.rig.system.twilio.customer_writes("+15551230003", SMS_NUMBER, "hello");
        assert_eq!(ask!(self, scoped_webhooks(&sid(&written.conversation_sid))).unwrap().items.len(), 1);
    }

    async fn interactions(&mut self) {
        for tasks in [EndOfTasks::Completed, EndOfTasks::WrapUp] {
            let (interaction, channel, task) = self.interaction().await;
            let worker = self.rig.system.twilio.settings().workers[0].sid.clone();
            self.rig.system.twilio.agent_accepts(task.as_str(), &worker).unwrap();
            assert_eq!(ask!(self, interaction_channels(&interaction)).unwrap().items.len(), 1);
            assert!(ask!(self, interaction_channel(&interaction, &channel)).unwrap().is_some());
            assert!(ask!(self, interaction_channel(&interaction, &unknown("UO"))).unwrap().is_none());
            let people = ask!(self, interaction_participants(&interaction, &channel)).unwrap().items;
            assert!(people.iter().any(|one| one.kind == "agent" && one.task_sid() == Some(&task)));
            let routing = routing(&self.rig).into();
            ask!(self, create_invite(&interaction, &channel, &routing)).unwrap();
            assert!(!ask!(self, invites(&interaction, &channel)).unwrap().items.is_empty());
            for _ in 0..2 {
                ask!(self, close_interaction_channel(&interaction, &channel, tasks)).unwrap();
            }
            assert!(ask!(self, interaction_channel(&interaction, &channel)).unwrap().is_some());
        }
        ask!(self, close_interaction_channel(&unknown("KD"), &unknown("UO"), EndOfTasks::Completed)).unwrap();
        let fails = Misbehaviour::FailSetUp { code: 45381 };
        self.rig.system.twilio.misbehave(Fault { on: Matcher::Any, times: Times::Next(1), what: fails });
        let (interaction, channel, _) = self.interaction().await;
        let failed = ask!(self, interaction_channel(&interaction, &channel)).unwrap().expect("it is there");
        assert_eq!(failed.error_code, Some(45381));
    }

    async fn tasks(&mut self) {
        let (_, _, task) = self.interaction().await;
        let attributes = self.rig.system.twilio.task(task.as_str()).expect("it waits").attributes;
        let conversation: ConversationSid = sid(attributes["conversationSid"].as_str().expect("a SID"));
        for hidden in [false, true] {
            self.rig.system.twilio.change_settings(|account| account.list_hides_task_attributes = hidden);
            let found = ask!(self, tasks_of_conversation(&self.workspace, &conversation)).unwrap();
            assert_eq!(found.len(), 1);
        }
        assert!(ask!(self, task(&self.workspace, &task)).unwrap().is_some());
        assert!(ask!(self, task(&self.workspace, &unknown("WT"))).unwrap().is_none());
        let worker = self.rig.system.twilio.settings().workers[0].sid.clone();
        self.rig.system.twilio.agent_accepts(task.as_str(), &worker).unwrap();
        ask!(self, task(&self.workspace, &task)).unwrap();
        let since = self.rig.system.clock.now() - Duration::from_hours(1);
        for query in [
            EventQuery::OfTask(&task),
            EventQuery::OfType("task.created"),
            EventQuery::OfTypeUntil("task.created", self.rig.system.clock.now()),
        ] {
            assert!(!ask!(self, events(&self.workspace, &query, since, None)).unwrap().items.is_empty());
        }
        for _ in 0..100 {
            self.rig.pass(Duration::from_secs(1)).await;
            self.interaction().await;
        }
        let query = EventQuery::OfType("task.created");
        let next = ask!(self, events(&self.workspace, &query, since, None)).unwrap().next;
        assert!(next.is_some(), "a second page");
        ask!(self, events(&self.workspace, &query, since, next.as_ref())).unwrap();
        self.rig.system.twilio.agent_ends_chat(task.as_str()).unwrap();
        ask!(self, task(&self.workspace, &task)).unwrap();
        let query = EventQuery::OfTask(&task);
        ask!(self, events(&self.workspace, &query, since, next.as_ref())).unwrap();
    }

    async fn web_chats(&mut self) {
        let new = NewWebChat {
            address: sid(&Address::webhook("chat", WEB_CHAT, "").sid),
            identity: "guest-2".to_owned(),
            customer_name: "Ada".to_owned().into(),
            pre_engagement: json!({"friendlyName": "Ada"}).to_string().into(),
        };
        let begun = ask!(self, create_web_chat(new)).unwrap();
        assert!(ask!(self, conversation(&begun.conversation_sid)).unwrap().is_some());
    }

    async fn tokens(&mut self) {
        let account = self.rig.system.twilio.settings();
        let (worker, hour_ms) = (&account.workers[0], 3_600_000);
        let token = |worker: Option<&str>, roles: &[&str]| {
            Secret::new(self.rig.system.twilio.flex_token(
                &account.workers[0].identity,
                roles,
                worker,
                hour_ms,
            ))
        };
        let (agents, guests) = (token(Some(&worker.sid), &["agent"]), token(None, &["guest"]));
        assert!(ask!(self, flex_user(&agents)).unwrap().is_some_and(|user| user.is_staff()));
        assert!(ask!(self, flex_user(&guests)).unwrap().is_some_and(|user| !user.is_staff()));
        for refused in [false, true] {
            self.rig.system.twilio.change_settings(|account| account.invalid_tokens_are_400 = refused);
            assert!(ask!(self, flex_user(&Secret::new("a.b.c.d.e"))).unwrap().is_none());
        }
    }

    async fn configuration(&mut self) {
        self.rig.system.twilio.change_settings(|account| {
            let at_ms = 1_799_999_000_000;
            account.shown.alerts = (0..1001).map(|_| simulator::Alert { code: 11_200, at_ms }).collect();
            let integration = simulator::Integration::Studio { flow_sid: format!("FW{:032x}", 1) };
            let of = |number| Address::webhook("sms", &format!("+15558{number:06}"), "https://example.com");
            account.addresses.extend((0..50).map(of));
            account.addresses.push(Address { integration, ..of(50) });
            let integration = simulator::Integration::Default;
            account.addresses.push(Address { integration, ..of(51) });
        });
        let (_, date) = ask!(self, account()).unwrap();
        assert!(date.is_some());
        assert!(!ask!(self, flex_configuration()).unwrap().channel_configs.is_empty());
        ask!(self, conversations_configuration()).unwrap();
        assert!(ask!(self, addresses()).unwrap().len() > 52);
        ask!(self, global_webhook()).unwrap();
        ask!(self, service_webhook(&self.service)).unwrap();
        ask!(self, workspace(&self.workspace)).unwrap();
        let workflow = sid(&self.rig.system.twilio.settings().workflow_sid);
        assert!(ask!(self, workflow(&self.workspace, &workflow)).unwrap().is_some());
        assert!(ask!(self, workflow(&self.workspace, &unknown("WW"))).unwrap().is_none());
        assert!(!ask!(self, task_channels(&self.workspace)).unwrap().items.is_empty());
        let webhook = AutoCreation {
            enabled: true,
            kind: Some("webhook".to_owned()),
            conversation_service_sid: Some(self.service.to_string()),
            webhook_url: Some(PUBLIC_URL.to_owned()),
            webhook_method: Some("POST".to_owned()),
            webhook_filters: vec!["onMessageAdded".to_owned(), "onConversationRemoved".to_owned()],
            studio_flow_sid: None,
        };
        let flow = Some(format!("FW{:032x}", 1));
        let studio = AutoCreation {
            enabled: true,
            kind: Some("studio".to_owned()),
            studio_flow_sid: flow,
            ..AutoCreation::default()
        };
        let address = sid(&self.rig.system.twilio.settings().addresses[0].sid);
        let elsewhere = AutoCreation { conversation_service_sid: None, ..webhook.clone() };
        for creation in [webhook, elsewhere, studio, AutoCreation::default()] {
            ask!(self, update_address(&address, &creation)).unwrap();
        }
        assert!(
            ask!(self, update_address(&unknown("IG"), &AutoCreation::default())).unwrap_err().is_not_found()
        );
        ask!(self, update_workspace(&self.workspace, PUBLIC_URL, "task.canceled,task.deleted")).unwrap();
        ask!(self, update_closed_timer("PT24H")).unwrap();
        let channels = ask!(self, flex_configuration()).unwrap().channel_configs;
        ask!(self, update_channel_configs(&channels)).unwrap();
        let since = self.rig.system.clock.now() - Duration::from_hours(24);
        assert_eq!(ask!(self, alerts("error", since)).unwrap().len(), 1001);
    }

    /// What Twilio may refuse anything with.
    async fn refusals(&mut self) {
        let conversation = self.conversation("refused").await;
        for problem_json in [false, true] {
            self.rig.system.twilio.change_settings(|account| account.problem_json = problem_json);
            for (status, code, retry_after) in [(429, 20429, Some(1)), (500, 20500, None), (503, 20503, None)]
            {
                let what = Misbehaviour::Status { status, code, retry_after };
                self.rig.system.twilio.misbehave(Fault { on: Matcher::Any, times: Times::Forever, what });
                assert!(ask!(self, conversation(&conversation)).is_err());
                self.rig.system.twilio.behave();
            }
            let right = std::mem::replace(&mut self.twilio, client(&self.rig, &self.recorder, "wrong"));
            let refused = ask!(self, conversation(&conversation)).unwrap_err();
            assert!(refused.has_code(20003), "{refused:?}");
            self.twilio = right;
            assert!(ask!(self, conversation(&unknown("CH"))).unwrap().is_none());
        }
    }

    /// A conversation of this name.
    async fn conversation(&mut self, name: &str) -> ConversationSid {
        let timers = Timers { inactive: None, closed: None };
        let new = NewConversation { unique_name: name.to_owned(), attributes: "{}".to_owned(), timers };
        ask!(self, create_conversation(&self.service, new)).unwrap().sid
    }

    /// An Interaction whose task waits for an agent, for a customer of its own.
    async fn interaction(&mut self) -> (InteractionSid, InteractionChannelSid, TaskSid) {
        self.customers += 1;
        let from = format!("+1558{:07}", self.customers);
        let conversation =
            self.rig.system.twilio.customer_writes(&from, SMS_NUMBER, "hello").conversation_sid;
        let properties = json!({"media_channel_sid": conversation});
        let new = NewInteraction {
            channel: json!({"type": "sms", "initiated_by": "customer", "properties": properties}).into(),
            routing: routing(&self.rig).into(),
        };
        let made = ask!(self, create_interaction(&new)).unwrap();
        self.rig.pass(Duration::from_secs(1)).await;
        let (channel, task) = (made.channel_sid().cloned(), made.task_sid().cloned());
        (made.sid, channel.expect("a channel"), task.expect("a task"))
    }
}

fn routing(rig: &Rig) -> serde_json::Value {
    let account = rig.system.twilio.settings();
    json!({"properties": {
        "workspace_sid": account.workspace_sid, "workflow_sid": account.workflow_sid,
        "task_channel_unique_name": "sms", "attributes": {"customerName": "Ada"},
    }})
}

fn sid<T: std::str::FromStr>(text: &str) -> T
where
    T::Err: std::fmt::Debug,
{
    text.parse().expect("the simulator makes well-formed SIDs")
}

/// A message to be sent.
fn text() -> NewMessage {
    let content = MessageContent::Text("hello".to_owned().into());
    NewMessage { author: "system".to_owned(), content, name: None, fire_webhooks: false }
}

/// A SID that means nothing.
fn unknown<T: std::str::FromStr>(prefix: &str) -> T
where
    T::Err: std::fmt::Debug,
{
    sid(&format!("{prefix}{:032x}", 0xdead))
}

fn client(rig: &Rig, recorder: &Recorder, auth_token: &str) -> Twilio {
    let system = &rig.system;
    let credentials = Credentials::of(Secret::new(auth_token));
    Twilio::new(
        recorder.tap(Arc::new(ToTwilio(system.twilio.clone()))),
        Arc::new(SeededRandom::new(1)),
        Arc::new(Secrets::new(SecretSource::Given(credentials), Arc::clone(&system.clock))),
        system.settings.account.clone(),
        Bases::public(None, None),
        Metrics::new("test", "test", Arc::clone(&system.clock) as Arc<dyn Clock>, Arc::new(|_| {})),
    )
}

/// The sources of the client, without their tests.
fn sources() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/src/twilio");
    let files = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    let sources: Vec<_> = files
        .filter(|file| file.file_name().is_some_and(|name| name != "tests.rs"))
        .map(|file| fs::read_to_string(file).unwrap())
        .map(|source| source.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default().to_owned())
        .collect();
    assert!(sources.len() > 10, "the client is where it was");
    sources
}

/// The names of the functions by which the client asks.
pub(crate) fn functions() -> BTreeSet<String> {
    let mut functions = BTreeSet::new();
    for source in sources() {
        let all = source.lines().filter_map(|line| line.trim_start().strip_prefix("pub async fn "));
        functions.extend(all.filter_map(|rest| rest.split(['(', '<']).next()).map(str::to_owned));
    }
    functions
}

/// The names of the parameters that the client knows: words in quotes that begin with a capital letter.
pub(crate) fn parameters() -> BTreeSet<String> {
    let is_name = |text: &&str| {
        text.starts_with(|first: char| first.is_ascii_uppercase())
            && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '.')
    };
    let mut parameters = BTreeSet::new();
    for source in sources() {
        let code = source.lines().filter(|line| !line.trim_start().starts_with("//"));
        let quoted = code.flat_map(|line| line.split('"').skip(1).step_by(2));
        parameters.extend(quoted.filter(is_name).map(str::to_owned));
    }
    parameters
}
