//! The simulated Twilio and the embedded DynamoDB on loopback, for functions that run as processes of their own.

use std::{collections::BTreeMap, sync::Arc};

use flexglue::local::{clock::SimulatorClock, dynamodb::Dynamo};
use shared::clock::SystemClock;
use simulator::RequestSeen;
use tokio::net::TcpListener;

/// The name of the table.
pub const TABLE: &str = "flexglue";

/// An account on loopback, and the environment that leads a function there.
pub struct Account {
    /// The simulated Twilio.
    pub twilio: simulator::Twilio,
    /// The embedded DynamoDB.
    pub dynamo: Dynamo,
    /// The function's variables.
    pub environment: BTreeMap<String, String>,
}

impl Account {
    /// Serves an account until the test's runtime ends.
    pub async fn start() -> Self {
        let dynamo = Dynamo::memory().expect("loopback works");
        dynamo.create_state_table(TABLE).expect("loopback works");
        let settings = simulator::Settings::default();
        let clock = Arc::new(SimulatorClock(Arc::new(SystemClock)));
        let twilio = simulator::Twilio::new(settings.clone(), clock);
        let (to_dynamo, to_twilio) = (listener().await, listener().await);
        let dynamodb_url = format!("http://{}", to_dynamo.local_addr().expect("loopback works"));
        let twilio_url = format!("http://{}", to_twilio.local_addr().expect("loopback works"));
        let served = dynamo.clone();
        tokio::spawn(async move { served.serve(to_dynamo, std::future::pending()).await });
        tokio::spawn(twilio.clone().serve(to_twilio, std::future::pending()));
        let environment = [
            ("TABLE_NAME", TABLE.to_owned()),
            ("TWILIO_ACCOUNT_SID", settings.account_sid),
            ("TWILIO_AUTH_TOKEN", settings.auth_token),
            ("FLEX_WORKSPACE_SID", settings.workspace_sid),
            ("FLEX_WORKFLOW_SID", settings.workflow_sid),
            ("FLEX_CHAT_SERVICE_SID", settings.chat_service_sid),
            ("TWILIO_FLEX_API_URL", twilio_url.clone()),
            ("TWILIO_CONVERSATIONS_API_URL", twilio_url.clone()),
            ("TWILIO_TASKROUTER_API_URL", twilio_url),
            ("AWS_ENDPOINT_URL_DYNAMODB", dynamodb_url),
            ("AWS_REGION", "us-east-1".to_owned()),
            ("AWS_ACCESS_KEY_ID", "local".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "local".to_owned()),
        ];
        let environment = environment.map(|(name, value)| (name.to_owned(), value)).into_iter().collect();
        Self { twilio, dynamo, environment }
    }

    /// What was asked of Twilio, without the request by which a function that starts has its connection stand.
    #[must_use]
    pub fn asked(&self) -> Vec<RequestSeen> {
        let mut requests = self.twilio.requests();
        requests.retain(|request| request.path != "/");
        requests
    }
}

async fn listener() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.expect("loopback works")
}
