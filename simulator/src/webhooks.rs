//! Webhooks between the moment something happened and the moment they are taken for delivery, and those
//! that are sent again because a delivery failed.

use bytes::Bytes;
use http::{HeaderValue, Method, Request, header};

use crate::faults::WebhookMisbehaviour;
use crate::retries::Overrides;
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
    /// The header `I-Twilio-Idempotency-Token`, the same for all attempts. Conversations sends none.
    pub idempotency_token: Option<String>,
    /// Which attempt this is, from 1.
    pub attempt: u32,
}

/// How many milliseconds after a delivery failed it is tried again.
const RETRY_AFTER_MS: u64 = 1000;

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
        if let Some(token) = self.idempotency_token.as_deref().and_then(|token| token.parse().ok()) {
            headers.insert("i-twilio-idempotency-token", token);
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

    /// Puts a webhook whose delivery ended with this status back, if it is to be sent again.
    pub(crate) fn answered(&mut self, webhook: &Webhook, status: Option<u16>, now: u64) {
        let again =
            webhook.idempotency_token.is_some() && Overrides::of(&webhook.url).retry(webhook.attempt, status);
        if again {
            let attempt = webhook.attempt.saturating_add(1);
            let webhook = Webhook { attempt, due_ms: now.saturating_add(RETRY_AFTER_MS), ..webhook.clone() };
            self.waiting.push(Waiting { webhook, reordered: false });
        }
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

/// A webhook to be queued.
pub(crate) struct Draft<'a> {
    pub(crate) event_type: &'a str,
    pub(crate) url: &'a str,
    pub(crate) method: Method,
    pub(crate) params: Vec<(&'static str, String)>,
    /// With one it may be sent again.
    pub(crate) idempotency_token: Option<String>,
}

/// Queues a webhook, as the faults in force allow. A doubled one is the same webhook twice.
pub(crate) fn queue(world: &mut World, draft: Draft<'_>) {
    let event_type = draft.event_type;
    let mut webhook = Webhook {
        event_type: event_type.to_owned(),
        url: draft.url.to_owned(),
        method: draft.method,
        params: draft.params.into_iter().map(|(key, value)| (key.to_owned(), value)).collect(),
        happened_ms: world.now,
        due_ms: world.now,
        idempotency_token: draft.idempotency_token,
        attempt: 1,
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

#[cfg(test)]
mod tests {
    use crate::testing::{CUSTOMER, HOOK, OURS, Sim};
    use crate::{Integration, Times, WebhookFault, WebhookMisbehaviour, sign};

    fn with_fault(what: WebhookMisbehaviour) -> Sim {
        let sim = Sim::new();
        let event = Some("onMessageAdded".to_owned());
        sim.twilio.misbehave_with_webhooks(WebhookFault { event, times: Times::Next(1), what });
        sim.twilio.customer_writes(CUSTOMER, OURS, "first");
        sim.twilio.customer_writes(CUSTOMER, OURS, "second");
        sim
    }

    fn bodies(sim: &Sim) -> Vec<String> {
        sim.webhooks().iter().map(|webhook| webhook.param("Body").unwrap_or_default().to_owned()).collect()
    }

    #[test]
    fn a_webhook_is_a_signed_form() {
        let sim = Sim::new();
        sim.twilio.customer_writes(CUSTOMER, OURS, "hello & good-bye");
        let webhook = sim.webhooks().remove(0);
        let request = sim.twilio.webhook_request(&webhook);
        assert_eq!((request.method().as_str(), request.uri().to_string().as_str()), ("POST", HOOK));
        assert_eq!(request.headers()["user-agent"], "TwilioProxy/1.1");
        let params: Vec<(String, String)> = form_urlencoded::parse(request.body()).into_owned().collect();
        assert!(params.contains(&("Body".to_owned(), "hello & good-bye".to_owned())));
        let signature = sign(&sim.twilio.settings().auth_token, HOOK, &params);
        assert_eq!(request.headers()["x-twilio-signature"], signature.as_str());
    }

    #[test]
    fn a_webhook_by_get_carries_everything_in_its_signed_url() {
        let sim = Sim::with(|settings| {
            settings.addresses[0].integration = Integration::Webhook {
                url: "https://example.com/hook?a=1#rc=2".to_owned(),
                method: "GET".to_owned(),
                filters: vec!["onMessageAdded".to_owned()],
            };
        });
        sim.twilio.customer_writes(CUSTOMER, OURS, "hello");
        let request = sim.twilio.webhook_request(&sim.webhooks()[0]);
        let url = request.uri().to_string();
        assert!(url.starts_with("https://example.com/hook?a=1&EventType=onMessageAdded&"), "{url}");
        assert!(request.body().is_empty());
        let signature = sign(&sim.twilio.settings().auth_token, &url, &[]);
        assert_eq!(request.headers()["x-twilio-signature"], signature.as_str());
    }

    /// The task events that the workspace posts to a URL with this fragment, all of them answered so.
    fn attempts(fragment: &str, status: Option<u16>) -> Vec<crate::Webhook> {
        let url = format!("https://example.com/webhooks/taskrouter{fragment}");
        let sim = Sim::with(|settings| {
            settings.event_callback_url = Some(url);
            settings.set_up_ms = 3_600_000;
        });
        sim.interact(&sim.conversation());
        let mut seen = Vec::new();
        loop {
            let taken = sim.webhooks();
            let [webhook] = taken.as_slice() else { break };
            sim.twilio.webhook_answered(webhook, status);
            assert!(sim.webhooks().is_empty(), "not before a second is over");
            sim.clock.advance(1000);
            seen.extend(taken);
        }
        seen
    }

    #[test]
    fn a_task_event_is_sent_again_as_the_fragment_of_its_url_says() {
        let seen = attempts("#rc=2&rp=5xx", Some(503));
        assert_eq!(seen.iter().map(|webhook| webhook.attempt).collect::<Vec<_>>(), [1, 2, 3]);
        assert!(seen.iter().all(|webhook| webhook.params == seen[0].params));
        let sim = Sim::new();
        let tokens: Vec<_> = seen
            .iter()
            .map(|webhook| {
                sim.twilio.webhook_request(webhook).headers()["i-twilio-idempotency-token"].clone()
            })
            .collect();
        assert!(tokens.iter().all(|token| *token == tokens[0] && token.len() == 36), "{tokens:?}");
        assert_eq!(attempts("#rc=2&rp=5xx", Some(204)).len(), 1);
        assert_eq!(attempts("", Some(500)).len(), 1);
        assert_eq!(attempts("", None).len(), 2);
    }

    #[test]
    fn a_message_is_never_sent_again() {
        let sim = Sim::with(|settings| {
            settings.addresses[0].integration = Integration::Webhook {
                url: format!("{HOOK}#rc=3&rp=all"),
                method: "POST".to_owned(),
                filters: vec!["onMessageAdded".to_owned()],
            };
        });
        sim.twilio.customer_writes(CUSTOMER, OURS, "hello");
        let webhook = sim.webhooks().remove(0);
        assert_eq!((webhook.idempotency_token.as_ref(), webhook.attempt), (None, 1));
        assert!(!sim.twilio.webhook_request(&webhook).headers().contains_key("i-twilio-idempotency-token"));
        sim.twilio.webhook_answered(&webhook, None);
        assert_eq!(sim.twilio.next_due_ms(), None);
    }

    #[test]
    fn a_webhook_may_be_lost_doubled_late_or_out_of_order() {
        assert_eq!(bodies(&with_fault(WebhookMisbehaviour::Lost)), ["second"]);
        assert_eq!(bodies(&with_fault(WebhookMisbehaviour::Doubled)), ["first", "first", "second"]);
        assert_eq!(bodies(&with_fault(WebhookMisbehaviour::Reordered)), ["second", "first"]);
        let late = with_fault(WebhookMisbehaviour::DelayedMs(3000));
        assert_eq!(bodies(&late), ["second"]);
        late.clock.advance(2999);
        assert!(bodies(&late).is_empty());
        late.clock.advance(1);
        assert_eq!(bodies(&late), ["first"]);
        assert_eq!(late.twilio.webhooks_sent().len(), 2);
    }
}
