//! The engines, each with the state table of `template.yaml` under a name of the test's own.

use std::{collections::HashMap, env, fmt, sync::Arc};

use aws_credential_types::Credentials;
use aws_sdk_dynamodb::{
    Client, Config,
    config::{BehaviorVersion, Region},
    error::{ProvideErrorMetadata, SdkError},
    types::AttributeValue,
};
use bytes::Bytes;
use flexglue::local::{dynamodb::Dynamo, template::TableDefinition};
use serde_json::json;
use shared::transport::{HttpsTransport, SdkHttp, Transport};
use tokio::{
    net::TcpListener,
    sync::{Mutex, MutexGuard},
};

/// moto answers 500 to transactions that overlap, so one test at a time has it.
static SECOND: Mutex<()> = Mutex::const_new(());

pub(crate) type Item = HashMap<String, AttributeValue>;

/// One DynamoDB, with the test's table in it.
pub(crate) struct Engine {
    pub(crate) client: Client,
    pub(crate) table: String,
    pub(crate) embedded: bool,
    _turn: Option<MutexGuard<'static, ()>>,
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.embedded { "the embedded engine" } else { "the second engine" })
    }
}

/// The embedded engine, and the second one where there is one.
pub(crate) async fn every_engine(test: &str) -> Vec<Engine> {
    // A second engine that outlives its run may still hold the table of the one before.
    let table = format!("conformance-{test}-{}", std::process::id());

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    // Never told to stop: it ends with the runtime of the test.
    tokio::spawn(async move { Dynamo::memory().unwrap().serve(listener, std::future::pending()).await });
    let mut engines = vec![engine(&endpoint, &table, true, None).await];

    if let Ok(endpoint) = env::var("FLEXGLUE_SECOND_DYNAMODB") {
        let turn = SECOND.lock().await;
        engines.push(engine(&endpoint, &table, false, Some(turn)).await);
    }
    engines
}

async fn engine(
    endpoint: &str,
    table: &str,
    embedded: bool,
    turn: Option<MutexGuard<'static, ()>>,
) -> Engine {
    let transport: Arc<dyn Transport> = Arc::new(HttpsTransport::new().unwrap());
    let definition = TableDefinition::embedded(table).unwrap();
    call(&*transport, endpoint, "CreateTable", definition.create.to_string()).await;
    let ttl = json!({
        "TableName": table,
        "TimeToLiveSpecification": {"AttributeName": definition.ttl_attribute.unwrap(), "Enabled": true},
    });
    call(&*transport, endpoint, "UpdateTimeToLive", ttl.to_string()).await;

    let config = Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::from_static("us-east-1"))
        .credentials_provider(Credentials::new("local", "local", None, None, "conformance"))
        .endpoint_url(endpoint)
        .http_client(SdkHttp(transport))
        .build();
    Engine { client: Client::from_conf(config), table: table.to_owned(), embedded, _turn: turn }
}

/// The request as the template gives it: through the SDK it would be a second definition of the table.
async fn call(transport: &dyn Transport, endpoint: &str, operation: &str, body: String) {
    let request = http::Request::post(endpoint)
        .header("Content-Type", "application/x-amz-json-1.0")
        .header("X-Amz-Target", format!("DynamoDB_20120810.{operation}"))
        .header("X-Amz-Date", "20260101T000000Z")
        // Neither engine checks it; both want one that looks complete.
        .header(
            "Authorization",
            "AWS4-HMAC-SHA256 Credential=local/20260101/us-east-1/dynamodb/aws4_request, \
             SignedHeaders=host;x-amz-date;x-amz-target, Signature=none",
        )
        .body(Bytes::from(body))
        .unwrap();
    let response = transport.send(request).await.unwrap();
    assert_eq!(response.status(), 200, "{operation} at {endpoint}: {:?}", response.body());
}

/// A record with these attributes beside its keys.
pub(crate) fn item(pk: &str, attributes: &[(&str, AttributeValue)]) -> Item {
    let keys = [("pk", text(pk)), ("sk", text("record"))];
    keys.into_iter().chain(attributes.iter().cloned()).map(|(name, value)| (name.to_owned(), value)).collect()
}

pub(crate) fn text(value: &str) -> AttributeValue {
    AttributeValue::S(value.to_owned())
}

pub(crate) fn number(value: u32) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

/// The type of the error that the engine gave.
pub(crate) fn code<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>) -> Option<&str> {
    error.as_service_error().and_then(ProvideErrorMetadata::code)
}
