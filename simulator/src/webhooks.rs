//! Webhooks between the moment something happened and the moment they are taken for delivery. Twilio makes
//! one attempt and does not retry.

use bytes::Bytes;
use http::{HeaderValue, Method, Request, header};

use crate::faults::WebhookMisbehaviour;
use crate::settings::Settings;
use crate::signature::{sign, without_fragment};
use crate::world::World;

/// A webhook that is ready to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Webhook {
    /// `onMessageAdded`, `task.canceled` …
    pub event_type: String,
    /// Where it goes.
    pub url: String,
    /// `POST` or `GET`.
    pub method: Method,
    /// The form, or the query for GET.
    pub params: Vec<(String, String)>,
    /// When what it tells of happened, in milliseconds since the epoch.
    pub happened_ms: u64,
    /// When it may be sent, in milliseconds since the epoch.
    pub due_ms: u64,
}

impl Webhook {
    /// The value of one parameter.
    #[must_use]
    pub fn param(&self, name: &str) -> Option<&str> {
        self.params.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The request that Twilio would send, signed.
    pub(crate) fn request(&self, settings: &Settings) -> Request<Bytes> {
        let form: String =
            form_urlencoded::Serializer::new(String::new()).extend_pairs(&self.params).finish();
        let url = without_fragment(&self.url);
        let by_post = self.method == Method::POST;
        let url = if by_post {
            url.to_owned()
        } else {
            format!("{url}{}{form}", if url.contains('?') { '&' } else { '?' })
        };
        let signature = sign(&settings.auth_token, &url, if by_post { &self.params } else { &[] });
        let mut request = Request::new(if by_post { Bytes::from(form) } else { Bytes::new() });
        *request.method_mut() = self.method.clone();
        // A URL that is none gives a request to `/`: Twilio too takes any text for a webhook's URL.
        *request.uri_mut() = url.parse().unwrap_or_default();
        let headers = request.headers_mut();
        headers.insert(header::USER_AGENT, HeaderValue::from_static("TwilioProxy/1.1"));
        if by_post {
            let kind = HeaderValue::from_static("application/x-www-form-urlencoded; charset=UTF-8");
            headers.insert(header::CONTENT_TYPE, kind);
        }
        if let Ok(signature) = HeaderValue::from_str(&signature) {
            headers.insert("x-twilio-signature", signature);
        }
        request
    }
}

/// Webhooks that wait, and those that were taken.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    waiting: Vec<Waiting>,
    pub(crate) taken: Vec<Webhook>,
}

#[derive(Debug)]
struct Waiting {
    webhook: Webhook,
    reordered: bool,
}

impl Outbox {
    /// When the next webhook may be sent.
    pub(crate) fn next_due_ms(&self) -> Option<u64> {
        self.waiting.iter().map(|waiting| waiting.webhook.due_ms).min()
    }

    /// Takes those that are due, in the order they became due.
    pub(crate) fn take_due(&mut self, now: u64) -> Vec<Webhook> {
        let due = |waiting: &mut Waiting| waiting.webhook.due_ms <= now;
        let mut taken: Vec<Waiting> = self.waiting.extract_if(.., due).collect();
        taken.sort_by_key(|waiting| waiting.webhook.due_ms);
        let (mut late, mut taken): (Vec<_>, Vec<_>) =
            taken.into_iter().partition(|waiting| waiting.reordered);
        late.reverse();
        taken.append(&mut late);
        let taken: Vec<Webhook> = taken.into_iter().map(|waiting| waiting.webhook).collect();
        self.taken.extend_from_slice(&taken);
        taken
    }
}

/// Queues a webhook, as the faults in force allow.
pub(crate) fn queue(
    world: &mut World,
    event_type: &str,
    url: &str,
    method: Method,
    params: Vec<(String, String)>,
) {
    let mut webhook = Webhook {
        event_type: event_type.to_owned(),
        url: url.to_owned(),
        method,
        params,
        happened_ms: world.now,
        due_ms: world.now,
    };
    let (mut copies, mut reordered) = (1, false);
    for what in world.faults.on_webhook(event_type) {
        match what {
            WebhookMisbehaviour::Lost => copies = 0,
            WebhookMisbehaviour::Doubled => copies *= 2,
            WebhookMisbehaviour::DelayedMs(ms) => webhook.due_ms += ms,
            WebhookMisbehaviour::Reordered => reordered = true,
        }
    }
    for _ in 0..copies {
        world.outbox.waiting.push(Waiting { webhook: webhook.clone(), reordered });
    }
}
