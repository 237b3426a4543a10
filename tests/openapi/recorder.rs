//! A wire to the simulated Twilio that writes down what goes over it, so that somebody else can judge it.

use std::{
    collections::BTreeSet,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderMap, Method, Request, Response, header};
use serde_json::{Map, Value, json};
use shared::transport::{Transport, TransportError};

type Pairs = Vec<(String, String)>;

/// One question to Twilio, and what it said.
#[derive(Clone, Debug)]
pub(crate) struct Exchange {
    method: Method,
    /// `https://conversations.twilio.com/v1/…`, without the query.
    url: String,
    query: Pairs,
    headers: Map<String, Value>,
    body: Bytes,
    /// `None` where the answer was lost.
    answer: Option<Value>,
}

/// What makes one kind of request differ from another: method, address, the names of its parameters, and whether
/// webhooks are to hear of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Kind {
    /// `GET https://conversations.twilio.com/v1/Conversations/{CH}`.
    pub(crate) route: String,
    pub(crate) parameters: BTreeSet<String>,
    pub(crate) fires_webhooks: bool,
}

/// Everything that went over the wires that it has tapped.
#[derive(Clone, Debug, Default)]
pub(crate) struct Recorder(Arc<Mutex<Vec<Exchange>>>);

impl Recorder {
    /// A wire to `to` that is written down.
    pub(crate) fn tap(&self, to: Arc<dyn Transport>) -> Arc<dyn Transport> {
        Arc::new(Tapped { to, recorder: self.clone() })
    }

    pub(crate) fn count(&self) -> usize {
        self.exchanges().len()
    }

    /// The kinds of what was asked.
    pub(crate) fn kinds(&self) -> BTreeSet<Kind> {
        self.exchanges().iter().map(Exchange::kind).collect()
    }

    /// The statuses of the answers.
    pub(crate) fn statuses(&self) -> BTreeSet<u64> {
        let answers = self.exchanges();
        answers.iter().filter_map(|exchange| exchange.answer.as_ref()?["status"].as_u64()).collect()
    }

    /// The distinct exchanges, one JSON text each.
    pub(crate) fn lines(&self) -> BTreeSet<String> {
        self.exchanges().iter().map(|exchange| plain(exchange.json()).to_string()).collect()
    }

    fn exchanges(&self) -> MutexGuard<'_, Vec<Exchange>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Tapped {
    to: Arc<dyn Transport>,
    recorder: Recorder,
}

impl fmt::Debug for Tapped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tapped")
    }
}

impl Transport for Tapped {
    fn send(&self, request: Request<Bytes>) -> BoxFuture<'_, Result<Response<Bytes>, TransportError>> {
        Box::pin(async move {
            let mut exchange = Exchange::of(&request);
            let answer = self.to.send(request).await;
            exchange.answer = answer.as_ref().ok().map(answered);
            self.recorder.exchanges().push(exchange);
            answer
        })
    }
}

impl Exchange {
    fn of(request: &Request<Bytes>) -> Self {
        let uri = request.uri();
        Self {
            method: request.method().clone(),
            url: format!(
                "{}://{}{}",
                uri.scheme_str().unwrap_or_default(),
                uri.authority().map(ToString::to_string).unwrap_or_default(),
                uri.path()
            ),
            query: pairs(uri.query().unwrap_or_default().as_bytes()),
            headers: texts(request.headers()),
            body: request.body().clone(),
            answer: None,
        }
    }

    fn is_form(&self) -> bool {
        self.headers.get("content-type") == Some(&"application/x-www-form-urlencoded".into())
    }

    fn kind(&self) -> Kind {
        let form = if self.is_form() { pairs(&self.body) } else { Pairs::new() };
        Kind {
            route: format!("{} {}", self.method, template(&self.url)),
            parameters: self.query.iter().chain(&form).map(|(name, _)| name.clone()).collect(),
            fires_webhooks: self.headers.contains_key("x-twilio-webhook-enabled"),
        }
    }

    fn json(&self) -> Value {
        let mut exchange = json!({
            "method": self.method.as_str(), "url": self.url, "query": self.query, "headers": self.headers,
            "answer": self.answer,
        });
        if self.is_form() {
            exchange["form"] = json!(pairs(&self.body));
        } else if !self.body.is_empty() {
            exchange["body"] = read(&self.body);
        }
        exchange
    }
}

fn answered(answer: &Response<Bytes>) -> Value {
    json!({
        "status": answer.status().as_u16(),
        "headers": texts(answer.headers()),
        "body": if answer.body().is_empty() { Value::Null } else { read(answer.body()) },
    })
}

/// JSON, or the text that it is instead.
fn read(body: &[u8]) -> Value {
    serde_json::from_slice(body).unwrap_or_else(|_| String::from_utf8_lossy(body).into())
}

fn pairs(encoded: &[u8]) -> Pairs {
    form_urlencoded::parse(encoded).into_owned().collect()
}

/// The headers, without the password.
fn texts(headers: &HeaderMap) -> Map<String, Value> {
    let text = |(name, value): (&header::HeaderName, &header::HeaderValue)| {
        let text = value.to_str().expect("all of our headers are ASCII");
        let shown = if name == header::AUTHORIZATION { user(text) } else { text.to_owned() };
        (name.to_string(), shown.into())
    };
    headers.iter().map(text).collect()
}

/// `Basic AC…`.
fn user(authorization: &str) -> String {
    let (scheme, login) = authorization.split_once(' ').expect("a scheme and what it wants");
    let login = String::from_utf8(BASE64_STANDARD.decode(login).expect("a login")).expect("a text");
    format!("{scheme} {}", login.split(':').next().unwrap_or_default())
}

/// The URL with `{XX}` for SIDs and `{name}` for other names of a conversation.
fn template(url: &str) -> String {
    let mut after = "";
    let segments = url.split('/').map(|segment| {
        let is_name = after == "Conversations";
        after = segment;
        match sid_at(segment.as_bytes(), 0) {
            true if segment.len() == SID => format!("{{{}}}", &segment[..2]),
            _ if is_name => "{name}".to_owned(),
            _ => segment.to_owned(),
        }
    });
    segments.collect::<Vec<_>>().join("/")
}

/// How long a SID is.
const SID: usize = 34;
/// How long a date is, up to its seconds.
const DATE: usize = "2027-01-15T08:00:00".len();

/// What tells nothing about the kind of an exchange is made the same everywhere: the digits of SIDs, the time;
/// and of items of a list that are then the same, one is enough.
fn plain(value: Value) -> Value {
    match value {
        Value::String(text) => plain_text(&text).into(),
        Value::Number(number) => match number.as_u64() {
            Some(1_000_000_000_000..) => 1_800_000_000_000_u64.into(),
            Some(1_000_000_000..) => 1_800_000_000_u64.into(),
            _ => Value::Number(number),
        },
        Value::Array(items) => {
            let mut kept: Vec<Value> = Vec::new();
            for item in items.into_iter().map(plain) {
                // Parameters of a form are pairs; the same pair twice would be a finding.
                if !item.is_object() || !kept.contains(&item) {
                    kept.push(item);
                }
            }
            Value::Array(kept)
        }
        Value::Object(fields) => fields.into_iter().map(|(name, value)| (name, plain(value))).collect(),
        other => other,
    }
}

fn plain_text(text: &str) -> String {
    let bytes = text.as_bytes();
    let (mut plain, mut at) = (String::new(), 0);
    while let Some(next) = text[at..].chars().next() {
        let begins_word = at == 0 || !bytes[at - 1].is_ascii_alphanumeric();
        if begins_word && sid_at(bytes, at) {
            plain.push_str(&text[at..at + 2]);
            plain.push_str(&"0".repeat(SID - 2));
            at += SID;
        } else if begins_word && date_at(bytes, at) {
            plain.push_str("2027-01-15T08:00:00");
            at += DATE;
        } else {
            plain.push(next);
            at += next.len_utf8();
        }
    }
    plain
}

fn sid_at(bytes: &[u8], at: usize) -> bool {
    let is_hex = |byte: &u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(byte);
    bytes
        .get(at..at + SID)
        .is_some_and(|sid| sid[..2].iter().all(u8::is_ascii_uppercase) && sid[2..].iter().all(is_hex))
        && bytes.get(at + SID).is_none_or(|byte| !byte.is_ascii_alphanumeric())
}

fn date_at(bytes: &[u8], at: usize) -> bool {
    bytes.get(at..at + DATE).is_some_and(|date| {
        date.iter().zip(b"0000-00-00T00:00:00").all(|(given, wanted)| match wanted {
            b'0' => given.is_ascii_digit(),
            _ => given == wanted,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_tells_nothing_is_made_the_same() {
        let sid = format!("CH{}", "0123456789abcdef".repeat(2));
        let zeros = format!("CH{}", "0".repeat(32));
        for (given, expected) in [
            (format!("at/{sid}/x"), format!("at/{zeros}/x")),
            (format!("{{\"a\":\"{sid}\"}}é"), format!("{{\"a\":\"{zeros}\"}}é")),
            (format!("x{sid}"), format!("x{sid}")),
            (format!("{sid}0"), format!("{sid}0")),
            (sid.to_uppercase(), sid.to_uppercase()),
            ("2026-02-03T04:05:06.7Z".to_owned(), "2027-01-15T08:00:00.7Z".to_owned()),
            ("2026-02-03 04:05:06".to_owned(), "2026-02-03 04:05:06".to_owned()),
        ] {
            assert_eq!(plain_text(&given), expected);
        }
        let list =
            json!([{"sid": sid, "at": 1_700_000_000}, {"sid": sid.replace('1', "2"), "at": 1_600_000_000}]);
        assert_eq!(plain(list), json!([{"sid": zeros, "at": 1_800_000_000}]));
    }

    #[test]
    fn a_route_names_what_kind_of_thing_stands_where() {
        let sid = format!("IS{:032x}", 1);
        let url = format!("https://a.example/v1/Services/{sid}/Conversations/reach-1");
        assert_eq!(template(&url), "https://a.example/v1/Services/{IS}/Conversations/{name}");
    }
}
