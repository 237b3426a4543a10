//! `POST /initWebchat`, `/refreshToken` and `/endChat`: begins web chats, mints and refreshes their tokens, and has
//! their customers end them. A drop-in server for
//! [`twilio-webchat-react-app`](https://github.com/twilio/twilio-webchat-react-app): the same bodies and fields.
//!
//! Read `WebchatToken::begin` first: it is the order in which a stranger is let in. `form` reads what they filled in,
//! `captcha` and `customer` are the two checks that a site may ask for; how a chat is made, and undone, is
//! [`shared::web_chat_host`], which the sweeper shares.

mod captcha;
mod customer;
mod form;

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderValue, Response, StatusCode, header};
use serde_json::{Map, Value, json};
use shared::{
    access_token::{Admission as Minted, ApiKey, Audience, Refused as TokenRefused},
    body::{self, BodyError},
    clock::{Deadline, Timestamp},
    config::{ConfigError, Settings, WebChatSettings},
    cors::{Cors, Origin},
    gateway::HttpFunction,
    jws,
    ledger::{Admission, LedgerError},
    parts::{Parts, World},
    problem::{invalid, json as answer, method_not_allowed, problem, problem_with, retry_after},
    reach::hexadecimal,
    secrets::{Credentials, Secret, Secrets},
    sid::{AddressSid, ConversationSid},
    telemetry::Metric,
    web_chat::{Guest, Stage, WebChat},
    web_chat_host::{NotBegun, Wanted, WebChatHost},
    webhook::RawRequest,
};

use self::{captcha::Captcha, form::Form};

/// The function.
#[derive(Debug)]
pub struct WebchatToken {
    host: WebChatHost,
    secrets: Arc<Secrets>,
    audience: Audience,
    address: AddressSid,
    settings: WebChatSettings,
    cors: Cors,
    captcha: Captcha,
    /// Conversations that Twilio has just said to be open, until when that is believed.
    open: Mutex<HashMap<ConversationSid, Timestamp>>,
    /// Whose tokens were refreshed here lately: when that minute ends, and how often.
    refreshed: Mutex<HashMap<Guest, (Timestamp, u32)>>,
}

/// The largest body in bytes.
const MAX_BODY: usize = 16 * 1024;

/// A customer waits for the answer, not Twilio.
const ANSWER_LIMIT: Duration = Duration::from_secs(9);

/// How soon to ask again while something is not to be had.
const ASK_AGAIN: Duration = Duration::from_secs(2);

/// For so long a conversation that was open counts as open.
const BELIEVED_FOR: Duration = Duration::from_secs(20);

/// More chats than this at once begin anew, with what an instance remembers of them.
const MOST_REMEMBERED: usize = 1000;

/// Tokens a minute for one chat. An honest client asks once in the lifetime of a token, for each of its tabs.
const REFRESHES_PER_MINUTE: u32 = 20;

/// So many of them each instance lets pass by what it remembers: what all instances share costs a write.
const REFRESHES_REMEMBERED: u32 = 5;

/// The answer to a request of which nothing came.
type Refused = Box<Response<Bytes>>;

/// What a request is for.
#[derive(Clone, Copy)]
enum Route {
    Begin,
    Refresh,
    End,
}

impl WebchatToken {
    /// The function as `settings` say, in `world`.
    ///
    /// # Errors
    /// Where the settings lack what no chat can do without.
    pub fn new(settings: &Settings, world: &World) -> Result<Self, ConfigError> {
        let Parts { host, secrets, .. } = Parts::new("webchat-token", settings, world);
        Ok(Self {
            host,
            secrets,
            audience: Audience {
                account: settings.account.clone(),
                service: settings.chat_service.clone(),
                region: settings.region.clone(),
            },
            address: settings.web_chat_address()?,
            cors: Cors {
                origins: settings.web_chat.origins.clone(),
                methods: "POST",
                headers: "content-type",
            },
            captcha: Captcha::new(Arc::clone(&world.web), &settings.web_chat.captcha_url),
            settings: settings.web_chat.clone(),
            open: Mutex::default(),
            refreshed: Mutex::default(),
        })
    }

    async fn answer(&self, request: RawRequest, deadline: Deadline) -> Response<Bytes> {
        let origin = self.cors.origin_of_page(&request.headers);
        if origin == Origin::Foreign {
            self.count(Metric::OriginRefused);
        }
        if let Some(answer) = self.cors.answer_first(&request.method, &origin) {
            return answer;
        }
        let answered = match route(&request) {
            Ok((route, body)) => match route {
                Route::Begin => self.begin(&request, body, &origin, deadline).await,
                Route::Refresh => self.refresh(&body, deadline).await,
                Route::End => self.end(&body, deadline).await,
            },
            Err(refused) => Err(refused),
        };
        self.cors.answer(answered.unwrap_or_else(|refused| *refused), &origin)
    }

    /// Begins a chat. What costs nothing is checked first, then what costs a write, then what asks somebody else.
    async fn begin(
        &self,
        request: &RawRequest,
        body: Map<String, Value>,
        origin: &Origin,
        deadline: Deadline,
    ) -> Result<Response<Bytes>, Refused> {
        let form = Form::read(body).map_err(|wrong| Box::new(invalid(wrong)))?;
        let credentials = self.credentials().await?;
        let keys = keys(&credentials)?;
        let key = &keys[0];
        let now = self.now();
        let customer = match &form.customer_token {
            None => None,
            Some(token) => {
                let secret =
                    credentials.webchat_customer_secret.as_ref().or(self.settings.customer_secret.as_ref());
                let signed = secret.and_then(|secret| customer::read(token, secret, now).ok());
                Some(
                    signed.ok_or_else(|| {
                        self.token_refused("customer_refused", "customerToken is not valid.")
                    })?,
                )
            }
        };
        let source = source(request.source_ip.as_deref(), key);
        self.limit(&source, self.settings.rate_per_source, deadline).await?;
        let secret = credentials.webchat_captcha_secret.as_ref().or(self.settings.captcha_secret.as_ref());
        if let Some(secret) = secret {
            self.check_captcha(secret, &form, request.source_ip.as_deref(), deadline).await?;
        }
        self.limit(&site(origin), self.settings.rate_per_site, deadline).await?;

        let (customer_id, signed_name) =
            customer.map_or((None, None), |customer| (Some(customer.id), customer.name));
        let (customer_name, pre_engagement) = form.filled_in(signed_name);
        let token_until = now + self.settings.token_ttl.min(self.settings.session);
        let wanted = Wanted {
            address: self.address.clone(),
            customer_name,
            pre_engagement,
            customer_id,
            query: form.query,
            token_until,
        };
        let chat =
            Box::pin(self.host.begin(wanted, deadline)).await.map_err(|error| self.not_begun(&error))?;
        let minted = self.mint(key, &chat.guest, token_until);
        Ok(without_store(answer(
            StatusCode::OK,
            &json!({
                "token": minted.token.expose(),
                "conversationSid": chat.conversation,
                "identity": chat.guest,
                "expiration": minted.until.as_millis(),
            }),
        )))
    }

    /// Gives a customer another token: while their own is good, and their chat goes on.
    async fn refresh(
        &self,
        body: &Map<String, Value>,
        deadline: Deadline,
    ) -> Result<Response<Bytes>, Refused> {
        let (chat, key) = self.chat_of(body, deadline).await?;
        let over = || self.token_refused("chat_over", "This chat is over.");
        let (Stage::Open { .. }, Some(conversation)) = (&chat.stage, &chat.conversation) else {
            return Err(over());
        };
        if self.refreshes_in_this_minute(&chat.guest) > REFRESHES_REMEMBERED {
            let name = format!("webchat-refresh#{}", chat.guest);
            self.limit(&name, REFRESHES_PER_MINUTE - REFRESHES_REMEMBERED, deadline).await?;
        }
        if !self.is_open(conversation, deadline).await? {
            self.host.has_been_closed(&chat, deadline).await.map_err(|error| self.unavailable(&error))?;
            return Err(over());
        }
        let guest = chat.guest.clone();
        let WebChatSettings { session, token_ttl, .. } = self.settings;
        let refreshed = self.host.refresh(chat, token_ttl, session, deadline).await;
        let token_until = refreshed.map_err(|error| self.unavailable(&error))?.ok_or_else(over)?;
        let minted = self.mint(&key, &guest, token_until);
        Ok(without_store(answer(
            StatusCode::OK,
            &json!({"token": minted.token.expose(), "expiration": minted.until.as_millis()}),
        )))
    }

    /// Has a customer end their chat. Once is enough, and twice is no mistake.
    async fn end(&self, body: &Map<String, Value>, deadline: Deadline) -> Result<Response<Bytes>, Refused> {
        let (chat, _) = self.chat_of(body, deadline).await?;
        Box::pin(self.host.end(chat, deadline)).await.map_err(|error| self.unavailable(&error))?;
        let mut response = Response::new(Bytes::new());
        *response.status_mut() = StatusCode::NO_CONTENT;
        Ok(response)
    }

    /// The chat of the token that a body carries, and the key that signs tokens.
    async fn chat_of(
        &self,
        body: &Map<String, Value>,
        deadline: Deadline,
    ) -> Result<(WebChat, ApiKey), Refused> {
        let not_valid = || self.token_refused("token_refused", "This token is not valid.");
        let token = body.get("token").and_then(Value::as_str).ok_or_else(not_valid)?;
        let mut admitted = self.guest_of(token).await?;
        if matches!(admitted, Err(TokenRefused::Forged | TokenRefused::Foreign))
            && self.secrets.refresh().await
        {
            // The key may have been replaced since it was read.
            admitted = self.guest_of(token).await?;
        }
        let (guest, key) = admitted.map_err(|_| not_valid())?;
        let chat = self.host.opener.ledger.web_chat(&guest, deadline).await;
        let chat = chat.map_err(|error| self.unavailable(&error))?.ok_or_else(not_valid)?;
        if let Some(sid) = &chat.conversation {
            tracing::Span::current().record("conversation_sid", sid.as_str());
        }
        Ok((chat, key))
    }

    /// Whose token it is, and the key that signs the next.
    async fn guest_of(&self, token: &str) -> Result<Result<(Guest, ApiKey), TokenRefused>, Refused> {
        let keys = keys(&*self.credentials().await?)?;
        let now = self.now();
        let mut refused = TokenRefused::Forged;
        for key in &keys {
            match self.audience.admits(key, token, now) {
                Ok(admitted) => {
                    let guest = admitted.identity.parse().map_err(|_| TokenRefused::Foreign);
                    return Ok(guest.map(|guest| (guest, keys[0].clone())));
                }
                Err(error) => refused = error,
            }
        }
        Ok(Err(refused))
    }

    fn mint(&self, key: &ApiKey, guest: &Guest, until: Timestamp) -> Minted {
        let now = self.now();
        self.audience.token(key, guest.as_str(), until.since(now), now)
    }

    /// Whether a conversation is open at Twilio, or was a moment ago.
    async fn is_open(&self, sid: &ConversationSid, deadline: Deadline) -> Result<bool, Refused> {
        let now = self.now();
        let known = self.open.lock().unwrap_or_else(PoisonError::into_inner).get(sid).copied();
        if known.is_some_and(|until| now < until) {
            return Ok(true);
        }
        let is_open = self.host.is_open(sid, deadline).await.map_err(|error| {
            tracing::warn!(%error, "Twilio could not be asked whether a chat goes on");
            unavailable(ASK_AGAIN)
        })?;
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.len() >= MOST_REMEMBERED {
            open.clear();
        }
        if is_open {
            open.insert(sid.clone(), now + BELIEVED_FOR);
        }
        Ok(is_open)
    }

    async fn check_captcha(
        &self,
        secret: &Secret,
        form: &Form,
        source_ip: Option<&str>,
        deadline: Deadline,
    ) -> Result<(), Refused> {
        let refused = |detail| {
            self.count(Metric::CaptchaRefused);
            Box::new(problem(StatusCode::FORBIDDEN, "captcha_refused", detail))
        };
        let Some(token) = &form.captcha_token else {
            return Err(refused("captchaToken is missing."));
        };
        match self.captcha.passes(secret, token, source_ip, deadline).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(refused("The CAPTCHA was not passed.")),
            Err(error) => {
                tracing::error!(%error, "no CAPTCHA can be checked, and so no chat begins");
                Err(unavailable(ASK_AGAIN))
            }
        }
    }

    /// How often a guest's token was to be refreshed here within the minute that began with the first time.
    fn refreshes_in_this_minute(&self, guest: &Guest) -> u32 {
        let now = self.now();
        let mut refreshed = self.refreshed.lock().unwrap_or_else(PoisonError::into_inner);
        if refreshed.len() >= MOST_REMEMBERED {
            refreshed.clear();
        }
        let (until, times) = refreshed.entry(guest.clone()).or_insert((now, 0));
        if now >= *until {
            (*until, *times) = (now + Duration::from_mins(1), 0);
        }
        *times += 1;
        *times
    }

    /// Counts a request against a limit.
    async fn limit(&self, name: &str, rate: u32, deadline: Deadline) -> Result<(), Refused> {
        let admission = self.host.opener.ledger.admit(name, rate, self.now(), deadline).await;
        match admission.map_err(|error| self.unavailable(&error))? {
            Admission::Admitted => Ok(()),
            Admission::TooMany(wait) => {
                self.count(Metric::RateLimited);
                let detail = "Too many requests. Try again later.";
                let refused = problem(StatusCode::TOO_MANY_REQUESTS, "rate_limited", detail);
                Err(retry_after(refused, wait).into())
            }
        }
    }

    async fn credentials(&self) -> Result<Arc<Credentials>, Refused> {
        self.secrets.current().await.map_err(|error| {
            tracing::error!(%error, "no token can be checked or signed");
            unavailable(ASK_AGAIN)
        })
    }

    fn not_begun(&self, error: &NotBegun) -> Refused {
        match error {
            NotBegun::NotNow { retry_after } => unavailable(retry_after.unwrap_or(ASK_AGAIN)),
            NotBegun::Refused { code, .. } => {
                let more = code.iter().map(|code| ("code".to_owned(), (*code).into())).collect();
                problem_with(StatusCode::BAD_GATEWAY, "twilio_refused", "Twilio refused.", more).into()
            }
            NotBegun::Ledger(error) => self.unavailable(error),
        }
    }

    fn token_refused(&self, error: &str, detail: &str) -> Refused {
        self.count(Metric::TokenRefused);
        tracing::warn!(error, "a token is refused");
        problem(StatusCode::FORBIDDEN, error, detail).into()
    }

    /// The state table could not be asked or written: nothing is promised.
    fn unavailable(&self, error: &LedgerError) -> Refused {
        self.count(Metric::TableUnavailable);
        tracing::error!(%error, "a web chat could not be read or written");
        unavailable(ASK_AGAIN)
    }

    fn now(&self) -> Timestamp {
        self.host.opener.clock.now()
    }

    fn count(&self, metric: Metric) {
        self.host.opener.metrics.count(metric);
    }
}

impl HttpFunction for WebchatToken {
    fn answer_limit(&self) -> Duration {
        ANSWER_LIMIT
    }

    fn warm_up(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.host.opener.warm_up())
    }

    fn handle(&self, request: RawRequest, deadline: Deadline) -> BoxFuture<'_, Response<Bytes>> {
        Box::pin(self.answer(request, deadline))
    }
}

/// What a request is for, by the end of its path (a custom domain may put something before it), and its body.
fn route(request: &RawRequest) -> Result<(Route, Map<String, Value>), Refused> {
    let route = match request.path().trim_end_matches('/').rsplit('/').next() {
        Some("initWebchat") => Route::Begin,
        Some("refreshToken") => Route::Refresh,
        Some("endChat") => Route::End,
        _ => return Err(problem(StatusCode::NOT_FOUND, "not_found", "There is nothing here.").into()),
    };
    if request.method != http::Method::POST {
        return Err(method_not_allowed("POST").into());
    }
    let (status, error, detail) = match body::json_object(request, MAX_BODY, true) {
        Ok(body) => return Ok((route, body)),
        Err(BodyError::TooLarge) => {
            (StatusCode::PAYLOAD_TOO_LARGE, "too_large", "The body is longer than 16 KiB.")
        }
        Err(BodyError::OtherType) => {
            (StatusCode::BAD_REQUEST, "not_json", "The body must be application/json.")
        }
        Err(BodyError::NotAnObject) => {
            (StatusCode::BAD_REQUEST, "malformed", "The body is not a JSON object.")
        }
    };
    Err(problem(status, error, detail).into())
}

/// The keys whose tokens are accepted, one at least, the one that signs first.
fn keys(credentials: &Credentials) -> Result<Vec<ApiKey>, Refused> {
    let keys = credentials.api_keys();
    if keys.is_empty() {
        tracing::error!(
            "the secret holds no api_key_sid and api_key_secret: no token can be signed or checked"
        );
        return Err(unavailable(ASK_AGAIN));
    }
    Ok(keys)
}

/// By what requests from one source address are counted: a digest that nobody without the key can make, of an IPv4
/// address, or of the 64 bits of an IPv6 address that one customer's line has.
fn source(address: Option<&str>, key: &ApiKey) -> String {
    let place = match address.map(str::parse::<IpAddr>) {
        Some(Ok(address)) => match address.to_canonical() {
            IpAddr::V4(address) => address.to_string(),
            IpAddr::V6(address) => hexadecimal(&address.octets()[..8]),
        },
        // All who come from nowhere are one.
        Some(Err(_)) | None => "unknown".to_owned(),
    };
    let digest = jws::keyed_digest(&format!("webchat source {place}"), &key.secret);
    format!("webchat-source#{}", hexadecimal(&digest[..16]))
}

/// By what requests of one site are counted.
fn site(origin: &Origin) -> String {
    let origin = match origin {
        Origin::Allowed(origin) => origin.to_str().unwrap_or_default(),
        Origin::None | Origin::Foreign => "none",
    };
    format!("webchat-site#{origin}")
}

/// An answer with a token, which no cache may keep.
fn without_store(mut response: Response<Bytes>) -> Response<Bytes> {
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn unavailable(wait: Duration) -> Refused {
    retry_after(problem(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "Try again later."), wait).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_one_line_of_one_customer_and_does_not_show() {
        let key = |secret: &str| ApiKey {
            sid: format!("SK{:032}", 1).parse().unwrap(),
            secret: Secret::new(secret),
        };
        let of = |address| source(Some(address), &key("s"));
        assert_eq!(of("203.0.113.7"), of("::ffff:203.0.113.7"));
        assert_ne!(of("203.0.113.7"), of("203.0.113.8"));
        assert_eq!(of("2001:db8:1:2::1"), of("2001:db8:1:2:ffff::9"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
        assert_eq!(of("not an address"), source(None, &key("s")));
        assert_ne!(of("203.0.113.7"), source(Some("203.0.113.7"), &key("t")));
        assert!(!of("203.0.113.7").contains("203"));
    }
}
