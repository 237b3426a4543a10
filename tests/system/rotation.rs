//! The account's auth token is replaced, as `docs/runbook.md` says, while customers write: no webhook is refused.

use std::{
    fmt,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use flexglue::local::{gateway::Routes, system::SMS_NUMBER};
use flexglue_tests::rig::{Answer, Rig};
use futures_util::future::BoxFuture;
use http::{Request, Response};
use serde_json::{Value, json};
use shared::{
    config::SecretSettings,
    transport::{Transport, TransportError},
};

/// A Secrets Manager with one secret, in front of DynamoDB.
#[derive(Clone)]
struct Manager {
    secret: Arc<Mutex<Value>>,
    dynamo: Option<Arc<dyn Transport>>,
}

impl fmt::Debug for Manager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Manager")
    }
}

impl Transport for Manager {
    fn send(&self, request: Request<Bytes>) -> BoxFuture<'_, Result<Response<Bytes>, TransportError>> {
        let is_ours = request.headers()["x-amz-target"].to_str().unwrap().starts_with("secretsmanager");
        match &self.dynamo {
            Some(dynamo) if !is_ours => dynamo.send(request),
            _ => {
                let secret = self.secret.lock().unwrap().to_string();
                Box::pin(async move {
                    Ok(Response::new(Bytes::from(json!({"SecretString": secret}).to_string())))
                })
            }
        }
    }
}

/// A contact centre in which somebody writes all the time.
struct Drill {
    rig: Rig,
    manager: Manager,
    /// An instance that lives through all of it, and what it keeps of the secret.
    long_lived: Routes,
    customers: u32,
}

impl Drill {
    async fn new() -> Self {
        let mut rig = Rig::new();
        let arn = "arn:aws:secretsmanager:us-east-1:123456789012:secret:flexglue-AbCdEf";
        rig.system.settings.secrets = SecretSettings::Arn(arn.to_owned());
        let token = rig.system.twilio.settings().auth_token;
        let manager = Manager { secret: Arc::new(Mutex::new(json!({"auth_token": token}))), dynamo: None };
        let long_lived = Self::front(&rig, &manager).await;
        Self { rig, manager, long_lived, customers: 0 }
    }

    async fn front(rig: &Rig, manager: &Manager) -> Routes {
        let before =
            |dynamo| Arc::new(Manager { dynamo: Some(dynamo), ..manager.clone() }) as Arc<dyn Transport>;
        rig.front_in(&rig.system.world_through(|to| to, before).await)
    }

    /// For so many seconds somebody new writes every second; a new instance answers each other one.
    async fn goes_on_for(&mut self, seconds: u32) {
        for _ in 0..seconds {
            self.customers += 1;
            let customer = format!("+1555{:07}", self.customers);
            let written = self.rig.system.twilio.customer_writes(&customer, SMS_NUMBER, "hello");
            let webhook = self.rig.system.twilio.take_webhooks().remove(0);
            let request = self.rig.system.twilio.webhook_request(&webhook);
            let answer = if self.customers.is_multiple_of(2) {
                self.long_lived.handle(request).await
            } else {
                Self::front(&self.rig, &self.manager).await.handle(request).await
            };
            assert_eq!(Answer::of(&answer), Answer::new(200, "created"), "customer {}", self.customers);
            assert_eq!(self.rig.live_interactions(&written.conversation_sid).len(), 1);
            self.rig.pass(Duration::from_secs(1)).await;
        }
    }

    fn secret(&self, secret: Value) {
        *self.manager.secret.lock().unwrap() = secret;
    }
}

const NEW: &str = "fedcba9876543210fedcba9876543210";

#[tokio::test(start_paused = true)]
async fn a_token_is_replaced_and_no_webhook_is_refused() {
    let mut drill = Drill::new().await;
    let account = drill.rig.system.twilio.settings();
    let old = account.auth_token.as_str();
    drill.goes_on_for(30).await;
    // 1, 2: a secondary token, which Twilio takes as a password already.
    let login = (account.account_sid.clone(), NEW.to_owned());
    drill.rig.system.twilio.change_settings(|account| account.extra_auth.push(login));
    drill.goes_on_for(30).await;
    // 3: both in the secret, and five minutes until every instance has read it.
    drill.secret(json!({"auth_token": NEW, "auth_token_secondary": old}));
    drill.goes_on_for(300).await;
    // 4: promoted. Twilio signs with the new one, and the old one is void.
    drill.rig.system.twilio.change_settings(|account| account.auth_token = NEW.to_owned());
    drill.goes_on_for(600).await;
    // 5: the old one is forgotten.
    drill.secret(json!({"auth_token": NEW}));
    drill.goes_on_for(310).await;
    assert_eq!(drill.rig.metric("SignatureRefused"), 0);
    assert_eq!(drill.rig.system.twilio.interactions().len(), 1270);
}

/// The promotion came first: the secret is mended within a minute, and whoever wrote meanwhile is served.
#[tokio::test(start_paused = true)]
async fn a_token_that_was_promoted_too_early_costs_minutes_and_no_customer() {
    let mut drill = Drill::new().await;
    drill.goes_on_for(5).await;
    drill.rig.system.twilio.change_settings(|account| account.auth_token = NEW.to_owned());
    let refused =
        drill.rig.system.twilio.customer_writes("+15559999999", SMS_NUMBER, "hello").conversation_sid;
    let webhook = drill.rig.system.twilio.take_webhooks().remove(0);
    let answer = drill.long_lived.handle(drill.rig.system.twilio.webhook_request(&webhook)).await;
    assert_eq!(answer.status(), 403);
    drill.rig.pass(Duration::from_secs(40)).await;
    drill.secret(json!({"auth_token": NEW}));
    drill.goes_on_for(5).await;
    let before =
        |dynamo| Arc::new(Manager { dynamo: Some(dynamo), ..drill.manager.clone() }) as Arc<dyn Transport>;
    let world = drill.rig.system.world_through(|to| to, before).await;
    let sweeper = drill.rig.system.orphan_sweeper(&world);
    for _ in 0..8 {
        drill.rig.pass(Duration::from_mins(1)).await;
        flexglue::local::system::sweep(&sweeper).await;
    }
    assert_eq!(drill.rig.live_interactions(&refused).len(), 1, "discovered");
}
