//! `POST /outbound`: reaches out to a customer, and makes sure that they are in no open conversation first.
//! `GET /outbound/{id}` tells what became of it.
//!
//! Read `OutboundParticipant::ask` first: it is the whole of it. `caller` says who asks, `request` reads what
//! they ask for, `answer` says what came of it; how a reach is made is [`shared::reaching`], which the sweeper
//! shares.

mod answer;
mod caller;
mod request;

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{Response, StatusCode};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use shared::{
    body::{self, BodyError},
    clock::Deadline,
    config::{OutboundSettings, Settings},
    cors::Cors,
    gateway::HttpFunction,
    ledger::{Admission, Begun, LedgerError},
    opening::Opener,
    parts::{Parts, World},
    problem::{method_not_allowed, problem, retry_after},
    reach::{Reach, ReachId, hexadecimal},
    reaching::Reacher,
    safeguard::Safeguard,
    telemetry::Metric,
    webhook::{PublicBaseUrl, RawRequest},
};

use self::{
    caller::{Callers, Who},
    request::{Asked, read_key},
};

/// The function.
#[derive(Debug)]
pub struct OutboundParticipant {
    callers: Callers,
    reacher: Reacher,
    settings: OutboundSettings,
    public_base_url: Option<PublicBaseUrl>,
    cors: Cors,
}

/// The largest body in bytes: a whole message, whole attributes and whole template variables fit well.
const MAX_BODY: usize = 32 * 1024;

/// An agent waits for the answer, not Twilio: it may take as long as the function may run.
const ANSWER_LIMIT: Duration = Duration::from_secs(9);

/// How soon to ask again while somebody else reaches out to the same customer.
const ASK_AGAIN: Duration = Duration::from_secs(2);

/// Where replies to reminders are told of.
const WEBHOOK_PATH: &str = "/webhooks/conversations";

/// The answer to a request of which nothing came.
pub(crate) type Refused = Box<Response<Bytes>>;

/// What a request is for.
enum Route {
    Begin,
    Tell(ReachId),
}

impl OutboundParticipant {
    /// The function as `settings` say, in `world`.
    #[must_use]
    pub fn new(settings: &Settings, world: &World) -> Self {
        let Parts { reacher, secrets, .. } = Parts::new("outbound-participant", settings, world);
        Self {
            callers: Callers::new(secrets, reacher.opener.clone()),
            reacher,
            settings: settings.outbound.clone(),
            public_base_url: settings.public_base_url.clone(),
            cors: Cors {
                origins: settings.outbound.origins.clone(),
                methods: "GET, POST",
                headers: "authorization, content-type, idempotency-key, x-flex-token",
            },
        }
    }

    async fn answer(&self, request: RawRequest, deadline: Deadline) -> Response<Bytes> {
        let origin = self.cors.origin(&request.headers);
        if let Some(answer) = self.cors.answer_first(&request.method, &origin) {
            return answer;
        }
        let answered = match route(&request) {
            Ok(Route::Begin) => self.ask(&request, deadline).await,
            Ok(Route::Tell(id)) => self.tell(&request, &id, deadline).await,
            Err(refused) => Err(refused),
        };
        self.cors.answer(answered.unwrap_or_else(|refused| *refused), &origin)
    }

    /// Makes a reach, or says how one that was asked for before stands.
    async fn ask(&self, request: &RawRequest, deadline: Deadline) -> Result<Response<Bytes>, Refused> {
        let who = self.callers.admit(&request.headers, deadline).await?;
        let body = json_object(request)?;
        let fingerprint = hexadecimal(&Sha256::digest(Value::Object(body.clone()).to_string()));
        let asked = request::read(body, self.reply_url(request).as_deref());
        let (key, asked) = request::both(read_key(&request.headers), asked)?;
        let Asked { mut reach, worker } = asked;
        who.may_ask_for(worker.as_ref())?;
        if !self.settings.senders.contains(&reach.from) {
            let detail = "This sender is not one of OUTBOUND_SENDERS.";
            return Err(problem(StatusCode::FORBIDDEN, "sender_not_allowed", detail).into());
        }
        reach.author = who.author(&reach.initiator);
        let caller = who.caller();
        let Opener { ledger, random, .. } = &self.reacher.opener;
        let id = ReachId::of(&caller, &if Safeguard::IdempotencyKey.is_on() { key } else { random.token() });
        let known = ledger.reach(&id, deadline).await.map_err(|error| self.unavailable(&error))?;
        if let Some(known) = known {
            return self.again(known, &fingerprint, deadline).await;
        }
        self.limit(&who, &reach.from, deadline).await?;
        let owner = self.reacher.opener.random.token();
        let now = self.reacher.opener.clock.now();
        let reach = Reach::begin(id, caller, fingerprint.clone(), reach, &owner, now);
        match ledger.begin_reach(&reach, deadline).await.map_err(|error| self.unavailable(&error))? {
            Begun::Ours => {
                let reach = Box::pin(self.reacher.go_on(reach, &owner, false, deadline)).await;
                note(&reach);
                Ok(answer::first(&reach))
            }
            Begun::Known(known) => self.again(*known, &fingerprint, deadline).await,
            Begun::PairBusy => {
                let detail = "A request for this customer and this sender is under way.";
                Err(retry_after(problem(StatusCode::CONFLICT, "pair_busy", detail), ASK_AGAIN).into())
            }
        }
    }

    /// The answer to a request that was made before. One that nobody is at work on is gone on with at once.
    async fn again(
        &self,
        known: Reach,
        fingerprint: &str,
        deadline: Deadline,
    ) -> Result<Response<Bytes>, Refused> {
        if known.fingerprint != fingerprint {
            let detail = "This Idempotency-Key was used for another request.";
            return Err(problem(StatusCode::UNPROCESSABLE_ENTITY, "idempotency_key_reused", detail).into());
        }
        let now = self.reacher.opener.clock.now();
        if known.may_act_until().is_some() && known.wait(now) > Duration::ZERO {
            let detail = "The first request with this Idempotency-Key is still under way.";
            return Err(retry_after(problem(StatusCode::CONFLICT, "in_progress", detail), ASK_AGAIN).into());
        }
        let reach = if known.is_final() {
            known
        } else {
            let resumed = Box::pin(self.reacher.resume(known, deadline)).await;
            resumed.map_err(|error| self.unavailable(&error))?
        };
        note(&reach);
        Ok(answer::repeated(&reach))
    }

    /// Says how a reach stands. Somebody in Flex sees their own alone.
    async fn tell(
        &self,
        request: &RawRequest,
        id: &ReachId,
        deadline: Deadline,
    ) -> Result<Response<Bytes>, Refused> {
        let who = self.callers.admit(&request.headers, deadline).await?;
        let reach = self.reacher.opener.ledger.reach(id, deadline).await;
        let reach = reach.map_err(|error| self.unavailable(&error))?;
        match reach.filter(|reach| who.may_see(&reach.caller)) {
            Some(reach) => Ok(answer::told(&reach)),
            None => Err(not_found()),
        }
    }

    /// Counts the request against the limits of its sender and its caller, where there are any.
    async fn limit(&self, who: &Who, sender: &str, deadline: Deadline) -> Result<(), Refused> {
        let now = self.reacher.opener.clock.now();
        for (name, rate) in [
            (format!("outbound-sender#{sender}"), self.settings.rate_per_sender),
            (format!("outbound-caller#{}", who.name()), self.settings.rate_per_caller),
        ] {
            let admission = self.reacher.opener.ledger.admit(&name, rate, now, deadline).await;
            if let Admission::TooMany(wait) = admission.map_err(|error| self.unavailable(&error))? {
                self.reacher.opener.metrics.count(Metric::RateLimited);
                let detail = "Too many requests. Try again later.";
                let refused = problem(StatusCode::TOO_MANY_REQUESTS, "rate_limited", detail);
                return Err(retry_after(refused, wait).into());
            }
        }
        Ok(())
    }

    /// Where replies to reminders are told of: as Twilio was given it, else where this request came in.
    fn reply_url(&self, request: &RawRequest) -> Option<String> {
        let base =
            self.public_base_url.as_ref().map(ToString::to_string).or_else(|| request.gateway_url())?;
        Some(format!("{base}{WEBHOOK_PATH}"))
    }

    /// The state table could not be asked or written: nothing is promised, and the same key may be asked again.
    fn unavailable(&self, error: &LedgerError) -> Refused {
        self.reacher.opener.metrics.count(Metric::TableUnavailable);
        tracing::error!(%error, "a reach could not be recorded");
        unavailable()
    }
}

impl HttpFunction for OutboundParticipant {
    fn answer_limit(&self) -> Duration {
        ANSWER_LIMIT
    }

    fn warm_up(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.reacher.opener.warm_up())
    }

    fn handle(&self, request: RawRequest, deadline: Deadline) -> BoxFuture<'_, Response<Bytes>> {
        Box::pin(self.answer(request, deadline))
    }
}

/// What a request is for, by the end of its path: a custom domain may put something before it.
fn route(request: &RawRequest) -> Result<Route, Refused> {
    let path: Vec<&str> = request.path().split('/').filter(|segment| !segment.is_empty()).collect();
    let (allowed, route) = match path.as_slice() {
        [.., "outbound", id] => {
            let id = id.parse().map_err(|_| not_found())?;
            ("GET", Route::Tell(id))
        }
        [.., "outbound"] => ("POST", Route::Begin),
        _ => return Err(not_found()),
    };
    if request.method.as_str() == allowed {
        return Ok(route);
    }
    Err(method_not_allowed(allowed).into())
}

/// The body, which must be a JSON object.
fn json_object(request: &RawRequest) -> Result<serde_json::Map<String, Value>, Refused> {
    let (status, error, detail) = match body::json_object(request, MAX_BODY, false) {
        Ok(object) => return Ok(object),
        Err(BodyError::TooLarge) => {
            (StatusCode::PAYLOAD_TOO_LARGE, "too_large", "The body is longer than 32 KiB.")
        }
        Err(BodyError::OtherType) => {
            (StatusCode::UNSUPPORTED_MEDIA_TYPE, "not_json", "The body must be application/json.")
        }
        Err(BodyError::NotAnObject) => {
            (StatusCode::BAD_REQUEST, "malformed", "The body is not a JSON object.")
        }
    };
    Err(problem(status, error, detail).into())
}

/// Notes on the log line of the invocation what it was about.
fn note(reach: &Reach) {
    let span = tracing::Span::current();
    if let Some(sid) = &reach.conversation {
        span.record("conversation_sid", sid.as_str());
    }
    if let Some(sid) = &reach.interaction {
        span.record("interaction_sid", sid.as_str());
    }
    if let Some(sid) = &reach.task {
        span.record("task_sid", sid.as_str());
    }
}

fn not_found() -> Refused {
    problem(StatusCode::NOT_FOUND, "not_found", "There is nothing here.").into()
}

fn unavailable() -> Refused {
    retry_after(problem(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "Try again later."), ASK_AGAIN).into()
}
