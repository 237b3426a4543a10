//! A request as Lambda hands it over, byte for byte.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{HeaderMap, Method, header};
use lambda_http::{
    aws_lambda_events::{
        alb::AlbTargetGroupRequest,
        apigw::{ApiGatewayProxyRequest, ApiGatewayV2httpRequest},
    },
    request::LambdaRequest,
};

use super::{
    authority::is_authority,
    query::{RawQuery, pairs},
};

/// The largest body in bytes that any function of flexglue takes. A larger one is not even decoded.
pub const MAX_BODY: usize = 64 * 1024;

/// A request that nobody has vouched for yet. [`Verifier::verify`](super::Verifier::verify) makes a
/// [`Verified`](super::Verified) of it.
///
/// `Debug` shows neither the body nor the headers nor the query.
pub struct RawRequest {
    /// The method.
    pub method: Method,
    /// The headers. A name that was sent twice is here twice where the front end tells.
    pub headers: HeaderMap,
    /// The bytes of the body, decoded if Lambda got them as base64. Empty if they are more than
    /// [`MAX_BODY`]; see [`RawRequest::is_longer_than`].
    pub body: Bytes,
    /// The address that the front end saw the request come from.
    pub source_ip: Option<String>,
    pub(super) too_long: bool,
    /// As the front end gives it; may begin with the stage.
    pub(super) path: String,
    /// Another writing of the path that the front end gives.
    pub(super) context_path: Option<String>,
    /// `None` if there is none, or it is never part of the path.
    pub(super) stage: Option<String>,
    pub(super) query: RawQuery,
    /// The domain name that the front end was asked for.
    pub(super) domain: Option<String>,
    /// The same, where API Gateway says it and not whoever sent the request.
    pub(super) gateway: Option<String>,
}

/// Why what Lambda handed over is no request. The sender cannot cause it; the front end is set up wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MalformedEvent {
    /// `isBase64Encoded` is true and the body is not base64.
    #[error("the body is marked as base64 and is not")]
    BodyNotBase64,
    /// The event comes from a kind of front end that is not supported.
    #[error("expected an event of API Gateway (payload 1.0 or 2.0), of a function URL or of an ALB")]
    UnknownFrontEnd,
}

impl RawRequest {
    /// Takes over an event of API Gateway (payload 1.0 or 2.0), of a function URL or of an ALB.
    ///
    /// `lambda_http`'s own way from here to an `http::Request` is not taken: it rebuilds the URL, so that
    /// what Twilio signed is lost, and it panics on odd hosts and queries.
    ///
    /// # Errors
    /// The body is marked as base64 and is not, or the event is of another kind.
    pub fn from_lambda(event: LambdaRequest) -> Result<Self, MalformedEvent> {
        match event {
            LambdaRequest::ApiGatewayV2(event) => Self::from_payload_2(event),
            LambdaRequest::ApiGatewayV1(event) => Self::from_payload_1(event),
            LambdaRequest::Alb(event) => Self::from_alb(event),
            _ => Err(MalformedEvent::UnknownFrontEnd),
        }
    }

    /// Whether the body has more than `max` bytes.
    #[must_use]
    pub fn is_longer_than(&self, max: usize) -> bool {
        self.too_long || self.body.len() > max
    }

    /// The path without the stage, for routing.
    #[must_use]
    pub fn path(&self) -> &str {
        self.stage.as_deref().and_then(|stage| without_stage(&self.path, stage)).unwrap_or(&self.path)
    }

    /// Scheme, domain and stage under which API Gateway or a function URL was reached; `None` behind a load
    /// balancer, which only repeats what the sender said.
    #[must_use]
    pub fn gateway_url(&self) -> Option<String> {
        let domain = self.gateway.as_deref().filter(|domain| is_authority(domain))?;
        let stage = self.stage.as_deref().filter(|stage| without_stage(&self.path, stage).is_some());
        Some(stage.map_or_else(|| format!("https://{domain}"), |stage| format!("https://{domain}/{stage}")))
    }

    /// [Payload 2.0](https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html),
    /// which [function URLs](https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html) use too.
    fn from_payload_2(event: ApiGatewayV2httpRequest) -> Result<Self, MalformedEvent> {
        let (body, too_long) = body(event.body, event.is_base64_encoded)?;
        let context = event.request_context;
        Ok(Self {
            method: context.http.method,
            gateway: context.domain_name.clone(),
            domain: context.domain_name.or_else(|| host(&event.headers)),
            headers: event.headers,
            body,
            too_long,
            source_ip: context.http.source_ip,
            path: rooted(event.raw_path),
            context_path: None,
            stage: stage(context.stage),
            query: RawQuery::Exact(event.raw_query_string.unwrap_or_default()),
        })
    }

    /// [Payload 1.0](https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html).
    fn from_payload_1(event: ApiGatewayProxyRequest) -> Result<Self, MalformedEvent> {
        let (body, too_long) = body(event.body, event.is_base64_encoded)?;
        let context = event.request_context;
        let headers = headers(event.multi_value_headers, &event.headers);
        Ok(Self {
            method: event.http_method,
            gateway: context.domain_name.clone(),
            domain: context.domain_name.or_else(|| host(&headers)),
            headers,
            body,
            too_long,
            source_ip: context.identity.source_ip,
            path: rooted(event.path),
            context_path: context.path,
            stage: stage(context.stage),
            query: RawQuery::Decoded(pairs(
                &event.multi_value_query_string_parameters,
                &event.query_string_parameters,
            )),
        })
    }

    /// [ALB](https://docs.aws.amazon.com/elasticloadbalancing/latest/application/lambda-functions.html).
    fn from_alb(event: AlbTargetGroupRequest) -> Result<Self, MalformedEvent> {
        let (body, too_long) = body(event.body, event.is_base64_encoded)?;
        let headers = headers(event.multi_value_headers, &event.headers);
        Ok(Self {
            method: event.http_method,
            domain: host(&headers),
            gateway: None,
            source_ip: last_forwarded_for(&headers),
            headers,
            body,
            too_long,
            path: rooted(event.path),
            context_path: None,
            stage: None,
            query: RawQuery::Encoded(pairs(
                &event.multi_value_query_string_parameters,
                &event.query_string_parameters,
            )),
        })
    }
}

impl fmt::Debug for RawRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawRequest")
            .field("method", &self.method)
            .field("path", &self.path)
            .field("body_bytes", &self.body.len())
            .field("too_long", &self.too_long)
            .finish_non_exhaustive()
    }
}

/// The path without the stage that it begins with.
pub(super) fn without_stage<'a>(path: &'a str, stage: &str) -> Option<&'a str> {
    let rest = path.strip_prefix('/')?.strip_prefix(stage)?;
    match rest {
        "" => Some("/"),
        _ if rest.starts_with('/') => Some(rest),
        _ => None,
    }
}

/// The bytes of the body, and whether there were too many. The length is looked at before and after
/// decoding: what is refused anyway is not worth the work.
fn body(text: Option<String>, is_base64: bool) -> Result<(Bytes, bool), MalformedEvent> {
    let text = text.unwrap_or_default();
    let max_text = if is_base64 { MAX_BODY.div_ceil(3) * 4 } else { MAX_BODY };
    if text.len() > max_text {
        return Ok((Bytes::new(), true));
    }
    let bytes: Bytes = if is_base64 {
        STANDARD.decode(text).map_err(|_| MalformedEvent::BodyNotBase64)?.into()
    } else {
        text.into()
    };
    Ok(if bytes.len() > MAX_BODY { (Bytes::new(), true) } else { (bytes, false) })
}

/// An empty path is how a front end may write the root.
fn rooted(path: Option<String>) -> String {
    path.filter(|path| !path.is_empty()).unwrap_or_else(|| "/".to_owned())
}

/// `$default` is the stage that is in no path.
fn stage(stage: Option<String>) -> Option<String> {
    stage.filter(|stage| !stage.is_empty() && stage != "$default")
}

/// The headers of an event's two maps: the one with many values tells of repeated headers, which the other
/// one hides.
fn headers(mut many: HeaderMap, single: &HeaderMap) -> HeaderMap {
    for (name, value) in single {
        if !many.contains_key(name) {
            many.insert(name.clone(), value.clone());
        }
    }
    many
}

fn host(headers: &HeaderMap) -> Option<String> {
    headers.get(header::HOST)?.to_str().ok().map(str::to_owned)
}

/// An ALB puts the address that it saw at the end; whatever stands before is the sender's word.
fn last_forwarded_for(headers: &HeaderMap) -> Option<String> {
    let value = headers.get_all("x-forwarded-for").iter().next_back()?.to_str().ok()?;
    value.rsplit(',').next().map(|address| address.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn lambda(event: Value) -> Result<RawRequest, MalformedEvent> {
        RawRequest::from_lambda(serde_json::from_value(event).unwrap())
    }

    fn payload_2(body: &Value, is_base64: bool) -> Value {
        json!({
            "version": "2.0", "rawPath": "/prod/a%2Fb/", "rawQueryString": "b=2&a=%27",
            "headers": {"host": "other.example", "x-one": "1"},
            "requestContext": {
                "stage": "prod", "domainName": "api.example",
                "http": {"method": "POST", "sourceIp": "192.0.2.1"}
            },
            "body": body, "isBase64Encoded": is_base64
        })
    }

    #[test]
    fn payload_2_keeps_path_and_query_byte_for_byte() {
        let request = lambda(payload_2(&json!("a=1"), false)).unwrap();
        assert_eq!(request.method, Method::POST);
        assert_eq!(request.body, "a=1");
        assert_eq!(request.path, "/prod/a%2Fb/");
        assert_eq!(request.path(), "/a%2Fb/");
        assert_eq!(request.query.strings(), ["b=2&a=%27"]);
        assert_eq!(request.domain.as_deref(), Some("api.example"));
        assert_eq!(request.source_ip.as_deref(), Some("192.0.2.1"));
    }

    #[test]
    fn payload_1_keeps_both_paths_and_repeated_headers() {
        let request = lambda(json!({
            "path": "/webhooks", "httpMethod": "POST", "headers": {"X-Twilio-Signature": "b", "Only": "1"},
            "multiValueHeaders": {"X-Twilio-Signature": ["a", "b"]},
            "queryStringParameters": {"a": "2"}, "multiValueQueryStringParameters": {"a": ["1", "2"]},
            "requestContext": {
                "httpMethod": "POST", "path": "/prod/webhooks", "stage": "prod", "domainName": "api.example",
                "identity": {"sourceIp": "192.0.2.1"}
            },
            "body": null, "isBase64Encoded": false
        }))
        .unwrap();
        assert_eq!(request.headers.get_all("x-twilio-signature").iter().count(), 2);
        assert_eq!(request.headers["only"], "1");
        assert_eq!(request.context_path.as_deref(), Some("/prod/webhooks"));
        assert_eq!(request.query.strings(), ["a=1&a=2", "a=2&a=1"]);
        assert_eq!(request.source_ip.as_deref(), Some("192.0.2.1"));
        assert!(request.body.is_empty());
    }

    #[test]
    fn an_alb_gives_its_domain_in_the_host_header_and_the_senders_address_last() {
        let request = lambda(json!({
            "requestContext": {"elb": {"targetGroupArn": "arn:aws:elasticloadbalancing:x"}},
            "httpMethod": "POST", "path": "/webhooks", "queryStringParameters": {"a": "%27+"},
            "headers": {"host": "lb.example:8443", "x-forwarded-for": "203.0.113.9, 192.0.2.1"},
            "body": "a=1", "isBase64Encoded": false
        }))
        .unwrap();
        assert_eq!(request.domain.as_deref(), Some("lb.example:8443"));
        assert_eq!(request.source_ip.as_deref(), Some("192.0.2.1"));
        assert_eq!(request.query.strings(), ["a=%27+"]);
    }

    #[test]
    fn a_base64_body_is_decoded_and_a_broken_one_is_a_malformed_event() {
        assert_eq!(lambda(payload_2(&json!("YT0x"), true)).unwrap().body, "a=1");
        for broken in ["YT0", "YT0x!", "a=1", "YT0x YT0x"] {
            let error = lambda(payload_2(&json!(broken), true)).unwrap_err();
            assert_eq!(error, MalformedEvent::BodyNotBase64, "{broken}");
        }
    }

    #[test]
    fn the_size_limit_holds_before_and_after_decoding() {
        let at_limit = STANDARD.encode(vec![b'a'; MAX_BODY]);
        let request = lambda(payload_2(&json!(at_limit), true)).unwrap();
        assert!(!request.is_longer_than(MAX_BODY) && request.is_longer_than(MAX_BODY - 1));

        let over_limit = STANDARD.encode(vec![b'a'; MAX_BODY + 1]);
        assert!(lambda(payload_2(&json!(over_limit), true)).unwrap().is_longer_than(MAX_BODY));

        // Not decoded at all: that it is no base64 goes unnoticed.
        let far_over = "!".repeat(MAX_BODY * 2);
        assert!(lambda(payload_2(&json!(far_over), true)).unwrap().is_longer_than(MAX_BODY));

        let plain = lambda(payload_2(&json!("a".repeat(MAX_BODY)), false)).unwrap();
        assert!(!plain.is_longer_than(MAX_BODY));
        let plain = lambda(payload_2(&json!("a".repeat(MAX_BODY + 1)), false)).unwrap();
        assert!(plain.is_longer_than(MAX_BODY));
    }

    #[test]
    fn only_a_whole_segment_is_a_stage() {
        assert_eq!(without_stage("/prod/x", "prod"), Some("/x"));
        assert_eq!(without_stage("/prod", "prod"), Some("/"));
        assert_eq!(without_stage("/prod/", "prod"), Some("/"));
        assert_eq!(without_stage("/production/x", "prod"), None);
        assert_eq!(without_stage("/x/prod", "prod"), None);
    }

    #[test]
    fn a_request_does_not_print_what_it_holds() {
        let printed = format!("{:?}", lambda(payload_2(&json!("Author=customer1"), false)).unwrap());
        assert!(!printed.contains("customer1") && !printed.contains("%27"), "{printed}");
    }
}
