//! Twilio, DynamoDB and Secrets Manager as far as a first message needs them: fixed answers at once, so that what is
//! measured is the function. The same for every subject.

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    serve::ListenerExt as _,
};
use flexglue_tests::tls::TestRoot;
use http::{Response, header};
use serde_json::json;
use tokio::net::TcpListener;

/// How often each was asked.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    twilio: AtomicU64,
    dynamodb: AtomicU64,
    secrets: AtomicU64,
}

impl Asked {
    /// Twilio, DynamoDB, Secrets Manager.
    pub(crate) fn so_far(&self) -> [u64; 3] {
        [&self.twilio, &self.dynamodb, &self.secrets].map(|count| count.load(Ordering::Relaxed))
    }
}

/// Everything that a function calls, each at an address of its own: what is asked of one opens no connection to another.
pub(crate) struct Stub {
    /// Where.
    places: Places,
    /// How often.
    pub asked: Arc<Asked>,
    /// By which it proves who it is, where it speaks TLS.
    pub root: Option<TestRoot>,
}

impl Stub {
    /// Serves until the runtime ends, in the clear or over TLS. `token` is what the secret holds.
    pub(crate) async fn start(token: &str, root: Option<TestRoot>) -> anyhow::Result<Self> {
        let asked = Arc::new(Asked::default());
        let secret = json!({
            "auth_token": token,
            "api_key_sid": "SK00000000000000000000000000000001",
            "api_key_secret": "the-secret-of-a-local-api-key",
            "outbound_api_keys": ["local-back-end"],
        });
        let secret = json!({"SecretString": secret.to_string()}).to_string();
        let state = (Arc::clone(&asked), Arc::<str>::from(secret));
        let app = Router::new().fallback(answer).with_state(state);
        let place = || serve(app.clone(), root.as_ref());
        let places = Places { twilio: place().await?, dynamodb: place().await?, secrets: place().await? };
        Ok(Self { places, asked, root })
    }

    /// Where a function finds it.
    pub(crate) fn at(&self) -> At {
        At { places: self.places, root: self.root.as_ref().map(TestRoot::file) }
    }
}

async fn serve(app: Router, root: Option<&TestRoot>) -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    if let Some(root) = root {
        let guarded = root.guard(listener);
        tokio::spawn(async move { axum::serve(guarded, app).await });
    } else {
        let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
        tokio::spawn(async move { axum::serve(listener, app).await });
    }
    Ok(address)
}

/// The addresses of those whom a function calls.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Places {
    /// Twilio, all of it.
    pub twilio: SocketAddr,
    /// DynamoDB.
    pub dynamodb: SocketAddr,
    /// Secrets Manager.
    pub secrets: SocketAddr,
}

/// Where everybody is whom a function calls.
#[derive(Clone, Debug)]
pub(crate) struct At {
    /// The addresses.
    pub places: Places,
    /// The root to trust, where it is to be TLS.
    pub root: Option<PathBuf>,
}

async fn answer(State((asked, secret)): State<(Arc<Asked>, Arc<str>)>, request: Request) -> Response<Body> {
    let target = request.headers().get("x-amz-target").and_then(|target| target.to_str().ok());
    let target = target.unwrap_or_default().to_owned();
    // The request is read to its end, so that its connection can be used again.
    let read = axum::body::to_bytes(request.into_body(), 1 << 20).await;
    let count = |counter: &AtomicU64| counter.fetch_add(1, Ordering::Relaxed);
    let (content, body) = match target.split('.').next() {
        _ if read.is_err() => ("text/plain", "cut off".to_owned()),
        Some("secretsmanager") => {
            count(&asked.secrets);
            ("application/x-amz-json-1.1", secret.to_string())
        }
        Some("DynamoDB_20120810") => {
            count(&asked.dynamodb);
            (
                "application/x-amz-json-1.0",
                if target.ends_with("GetItem") { closed() } else { "{}".to_owned() },
            )
        }
        _ => {
            let number = count(&asked.twilio);
            ("application/json", interaction(number))
        }
    };
    let mut response = Response::new(Body::from(body));
    if let Ok(content) = content.parse() {
        response.headers_mut().insert(header::CONTENT_TYPE, content);
    }
    response
}

/// What is stored of any conversation: it is over, so that the end of its task is no news.
fn closed() -> String {
    let sid = format!("CH{:032x}", 1);
    json!({"Item": {
        "pk": {"S": format!("conversation#{sid}")}, "sk": {"S": "record"}, "sid": {"S": sid},
        "version": {"N": "3"}, "stage": {"S": "closed"},
        "created_at": {"N": "1800000000000"}, "updated_at": {"N": "1800000000000"}, "forget_at": {"N": "1900000000"},
    }})
    .to_string()
}

/// What Twilio answers to the creation of an Interaction.
fn interaction(number: u64) -> String {
    let sid = |kind: &str| format!("{kind}{number:032x}");
    let routing = json!({"properties": {"task_sid": sid("WT"), "workspace_sid": sid("WS")}});
    json!({
        "sid": sid("KD"),
        "channel": {"sid": sid("UO"), "type": "sms"},
        "routing": routing,
        "url": format!("https://flex-api.twilio.com/v1/Interactions/{}", sid("KD")),
        "links": {},
        "interaction_context_sid": null,
        "webhook_ttid": null,
    })
    .to_string()
}
