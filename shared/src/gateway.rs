//! Between Lambda and a function that answers HTTP: what API Gateway (HTTP and REST), a function URL or a load
//! balancer hands over becomes a [`RawRequest`], and the function's answer what they expect back.
//!
//! The events are read by `lambda_http`, but not turned into its `http::Request`: that loses the raw bytes that
//! a signature covers, and panics on hosts and queries that anybody may send.

use std::{collections::BTreeMap, future::ready, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{Response, StatusCode};
use lambda_http::{LambdaEvent, request::LambdaRequest, service_fn};
use serde::Serialize;
use tokio::task::yield_now;
use tracing::{Instrument as _, Span};

use crate::{
    clock::{Clock, Deadline},
    problem::problem,
    telemetry,
    webhook::RawRequest,
};

/// A function that answers HTTP.
pub trait HttpFunction: Send + Sync {
    /// How long an answer may take at most, whatever time the function has.
    fn answer_limit(&self) -> Duration {
        ANSWER_LIMIT
    }

    /// Opens what the first request will need, while Lambda is about to hand it over. What fails shows then.
    fn warm_up(&self) -> BoxFuture<'_, ()> {
        Box::pin(ready(()))
    }

    /// Answers one request before the deadline.
    fn handle(&self, request: RawRequest, deadline: Deadline) -> BoxFuture<'_, Response<Bytes>>;
}

/// The answer in the form that all four front ends take
/// ([HTTP API](https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html),
/// [load balancer](https://docs.aws.amazon.com/elasticloadbalancing/latest/application/lambda-functions.html)).
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Answer {
    status_code: u16,
    /// A load balancer wants it; the others ignore it.
    status_description: String,
    headers: BTreeMap<String, String>,
    body: String,
    is_base64_encoded: bool,
}

impl From<Response<Bytes>> for Answer {
    fn from(response: Response<Bytes>) -> Self {
        let headers = response
            .headers()
            .iter()
            .filter_map(|(name, value)| Some((name.to_string(), value.to_str().ok()?.to_owned())))
            .collect();
        Self {
            status_code: response.status().as_u16(),
            status_description: response.status().to_string(),
            headers,
            // Every answer of ours is JSON, which is UTF-8.
            body: String::from_utf8_lossy(response.body()).into_owned(),
            is_base64_encoded: false,
        }
    }
}

/// An answer takes no longer than this, unless a function says otherwise: Twilio's Conversations wait five
/// seconds ([webhooks](https://www.twilio.com/docs/conversations/conversations-webhooks)) and the way is part
/// of it.
const ANSWER_LIMIT: Duration = Duration::from_millis(3600);

/// Turns of the runtime after which Lambda has been asked for the first event, and a few more: what is opened
/// meanwhile must not keep it from being asked.
const TURNS_UNTIL_ASKED: u32 = 16;

/// What an invocation leaves of Lambda's own time limit.
const LAMBDA_MARGIN: Duration = Duration::from_millis(200);

/// Answers one event, within the span of its invocation.
pub async fn invoke(
    function: &dyn HttpFunction,
    event: LambdaRequest,
    span: Span,
    deadline: Deadline,
) -> Answer {
    let response = match RawRequest::from_lambda(event) {
        Ok(request) => function.handle(request, deadline).instrument(span).await,
        Err(error) => {
            span.in_scope(|| tracing::warn!(%error, "an event that is no request"));
            problem(StatusCode::BAD_REQUEST, "malformed", "The request could not be read.")
        }
    };
    response.into()
}

/// Serves a function until Lambda ends the process.
///
/// # Errors
/// Where the Lambda runtime itself fails.
pub async fn run(
    function: Arc<dyn HttpFunction>,
    clock: Arc<dyn Clock>,
) -> Result<(), lambda_runtime::Error> {
    let warming = Arc::clone(&function);
    tokio::spawn(async move {
        for _ in 0..TURNS_UNTIL_ASKED {
            yield_now().await;
        }
        warming.warm_up().await;
    });
    lambda_runtime::run(service_fn(|event: LambdaEvent<LambdaRequest>| {
        let (function, clock) = (Arc::clone(&function), Arc::clone(&clock));
        async move {
            let LambdaEvent { payload, context } = event;
            let left = Duration::from_millis(context.deadline.saturating_sub(clock.now().as_millis()));
            let deadline =
                Deadline::within(left.saturating_sub(LAMBDA_MARGIN)).or_sooner(function.answer_limit());
            let span = telemetry::invocation(&context.request_id, context.xray_trace_id.as_deref());
            Ok::<_, lambda_runtime::Error>(invoke(&*function, payload, span, deadline).await)
        }
    }))
    .await
}
