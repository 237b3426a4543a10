//! A CAPTCHA's provider that answers as Turnstile does.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{Request, Response};
use serde_json::json;
use shared::transport::{Transport, TransportError};
use tokio::net::TcpListener;

/// The secret that it knows.
pub const SECRET: &str = "the-secret-of-a-captcha";

/// What it says besides yes and no.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    /// Nothing.
    Well,
    /// It answers with this status.
    Status(u16),
    /// It answers, but no JSON.
    Garbled,
    /// It does not answer.
    Silent,
}

/// The fields of a form.
pub type Form = Vec<(String, String)>;

/// Says yes to tokens that begin with `person`, once each.
#[derive(Clone, Debug)]
pub struct Turnstile {
    mood: Mood,
    seen: Arc<Mutex<Vec<Form>>>,
}

impl Turnstile {
    /// One in this mood.
    #[must_use]
    pub fn new(mood: Mood) -> Self {
        Self { mood, seen: Arc::default() }
    }

    /// Serves it on loopback until the test's runtime ends. Its URL.
    ///
    /// # Panics
    /// Where loopback does not work.
    pub async fn serve(self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback works");
        let url = format!("http://{}/siteverify", listener.local_addr().expect("loopback works"));
        let app = axum::Router::new().fallback(move |form: Bytes| async move {
            let answer = self.send(Request::new(form)).await;
            answer.expect("nothing is lost here").map(axum::body::Body::from)
        });
        tokio::spawn(async move { axum::serve(listener, app).await });
        url
    }

    /// The forms that it was sent.
    #[must_use]
    pub fn seen(&self) -> Vec<Form> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn verdict(&self, form: &[(String, String)]) -> serde_json::Value {
        let field =
            |name: &str| form.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value.as_str());
        let seen = self.seen();
        let spent: BTreeSet<_> = seen.iter().flatten().filter(|(key, _)| key == "response").collect();
        let response = ("response".to_owned(), field("response").to_owned());
        let code = if field("secret") != SECRET {
            "invalid-input-secret"
        } else if spent.contains(&response) {
            "timeout-or-duplicate"
        } else if !response.1.starts_with("person") {
            "invalid-input-response"
        } else {
            return json!({"success": true, "error-codes": [], "hostname": "shop.example"});
        };
        json!({"success": false, "error-codes": [code]})
    }
}

impl Transport for Turnstile {
    fn send(&self, request: Request<Bytes>) -> BoxFuture<'_, Result<Response<Bytes>, TransportError>> {
        Box::pin(async move {
            let form: Form = form_urlencoded::parse(request.body()).into_owned().collect();
            let verdict = self.verdict(&form);
            self.seen.lock().unwrap_or_else(PoisonError::into_inner).push(form);
            let (status, body) = match self.mood {
                Mood::Well => (200, verdict.to_string()),
                Mood::Status(status) => (status, verdict.to_string()),
                Mood::Garbled => (200, "<html>".to_owned()),
                Mood::Silent => std::future::pending().await,
            };
            Ok(Response::builder().status(status).body(Bytes::from(body)).expect("a good status"))
        })
    }
}
