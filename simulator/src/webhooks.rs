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
