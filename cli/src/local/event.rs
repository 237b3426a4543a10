//! A request becomes the JSON that a function is given.
//!
//! The four front ends of AWS describe the same request differently, and the differences are where webhook
//! signatures break: some decode the query, some drop its duplicates, some encode the body. Each shape here
//! is pinned to the sample that AWS documents for it, in `cli/tests/data/`.

use std::{borrow::Cow, collections::BTreeMap};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Request, Version,
    header::{CONTENT_TYPE, COOKIE, USER_AGENT},
};
use serde_json::{Map, Value, json};
use time::OffsetDateTime;

/// The account that local events name, as in AWS's samples.
const ACCOUNT_ID: &str = "123456789012";

/// Which front end of AWS the function stands behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventShape {
    /// API Gateway HTTP API, [payload format 2.0](https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html).
    HttpApi,
    /// A [Lambda function URL](https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html).
    FunctionUrl,
    /// API Gateway REST API, [Lambda proxy integration](https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html).
    RestApi,
    /// An [Application Load Balancer](https://docs.aws.amazon.com/elasticloadbalancing/latest/application/lambda-functions.html)
    /// without multi-value headers.
    Alb,
}

/// What the front end knows besides the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Host of the API, for example `id.execute-api.us-east-1.amazonaws.com`.
    pub domain_name: String,
    /// Stage of the API; `$default` puts nothing into the path. Function URLs and load balancers have none.
    pub stage: String,
    /// Address that the request came from.
    pub source_ip: String,
    /// Id that the front end gave the request.
    pub request_id: String,
    /// When it arrived, in ms since 1970.
    pub time_epoch_ms: u64,
}

/// How the body is put into the event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BodyEncoding {
    /// As this front end of AWS does it.
    #[default]
    AsAws,
    /// As text, which is what `sam local` sends even for forms.
    Plain,
    /// In base64, which is what `cargo lambda watch` sends for forms.
    Base64,
}

/// The route that a request matched.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MatchedRoute {
    /// The path as it was configured, for example `/outbound/{id}`.
    pub path: String,
    /// The values of its variables.
    pub parameters: BTreeMap<String, String>,
}

/// The event for a request whose path is its own route, with the body encoded as AWS does.
#[must_use]
pub fn event(shape: EventShape, request: &Request<Bytes>, origin: &Origin) -> Value {
    event_on_route(shape, BodyEncoding::AsAws, None, request, origin)
}

/// The event for a request. The request's URI is what the client asked for, stage included; path and query
/// go into the event as they are wherever AWS leaves them as they are.
#[must_use]
pub fn event_on_route(
    shape: EventShape,
    encoding: BodyEncoding,
    route: Option<&MatchedRoute>,
    request: &Request<Bytes>,
    origin: &Origin,
) -> Value {
    let (body, encoded) = body(shape, encoding, request);
    let headers = headers(shape, request, origin);
    let asked = Asked { request, headers, body, encoded, origin, route };
    match shape {
        EventShape::HttpApi => asked.http_api(),
        EventShape::FunctionUrl => asked.function_url(),
        EventShape::RestApi => asked.rest_api(),
        EventShape::Alb => asked.alb(),
    }
}

/// The path without the stage that API Gateway expects at its front. A custom domain maps a stage to other
/// paths, so one that does not begin with the stage is left as it is.
pub(super) fn without_stage<'a>(path: &'a str, stage: &str) -> &'a str {
    match path.strip_prefix('/').and_then(|path| path.strip_prefix(stage)) {
        Some("") => "/",
        Some(rest) if rest.starts_with('/') => rest,
        _ => path,
    }
}

struct Asked<'a> {
    request: &'a Request<Bytes>,
    headers: HeaderMap,
    body: Option<String>,
    /// Whether the body is in base64.
    encoded: bool,
    origin: &'a Origin,
    route: Option<&'a MatchedRoute>,
}

impl Asked<'_> {
    fn http_api(mut self) -> Value {
        let path = without_stage(self.request.uri().path(), &self.origin.stage);
        let route = self.route.map_or(path, |route| &route.path);
        let key = format!("{} {route}", self.request.method());
        let cookies = self.cookies();
        // Cookies are a field of their own and no longer a header.
        self.headers.remove(COOKIE);
        let mut event = self.version_2(&key, &self.origin.stage, ACCOUNT_ID, &cookies);
        if let Some(parameters) = self.path_parameters() {
            event["pathParameters"] = parameters;
        }
        event
    }

    fn function_url(self) -> Value {
        // Without IAM authentication nobody is known, and Lambda says so.
        self.version_2("$default", "$default", "anonymous", &self.cookies())
    }

    fn version_2(&self, route_key: &str, stage: &str, account_id: &str, cookies: &[String]) -> Value {
        let (uri, origin) = (self.request.uri(), self.origin);
        let raw_query = uri.query().unwrap_or("");
        let mut event = json!({
            "version": "2.0",
            "routeKey": route_key,
            "rawPath": uri.path(),
            "rawQueryString": raw_query,
            "headers": self.joined_headers(),
            "requestContext": {
                "accountId": account_id,
                "apiId": domain_prefix(&origin.domain_name),
                "domainName": origin.domain_name,
                "domainPrefix": domain_prefix(&origin.domain_name),
                "http": {
                    "method": self.request.method().as_str(),
                    "path": uri.path(),
                    "protocol": protocol(self.request.version()),
                    "sourceIp": origin.source_ip,
                    "userAgent": self.user_agent(),
                },
                "requestId": origin.request_id,
                "routeKey": route_key,
                "stage": stage,
                "time": clf_time(origin.time_epoch_ms),
                "timeEpoch": origin.time_epoch_ms,
            },
            "isBase64Encoded": self.encoded,
        });
        // What the request does not have, format 2.0 leaves out.
        if !cookies.is_empty() {
            event["cookies"] = json!(cookies);
        }
        if !raw_query.is_empty() {
            let joined: Map<_, _> = grouped(decoded_query(raw_query))
                .into_iter()
                .map(|(name, values)| (name, json!(values.join(","))))
                .collect();
            event["queryStringParameters"] = Value::Object(joined);
        }
        if let Some(body) = &self.body {
            event["body"] = json!(body);
        }
        event
    }

    fn rest_api(self) -> Value {
        let (uri, origin) = (self.request.uri(), self.origin);
        let method = self.request.method().as_str();
        let path = without_stage(uri.path(), &origin.stage);
        let resource = self.route.map_or(path, |route| &route.path);
        let query = grouped(decoded_query(uri.query().unwrap_or("")));
        let headers = grouped(self.each_header().map(|(name, value)| (title_case(name), value)));
        json!({
            "resource": resource,
            "path": path,
            "httpMethod": method,
            "headers": last_of_each(&headers),
            "multiValueHeaders": headers,
            // What the request does not have, format 1.0 sets to null.
            "queryStringParameters": (!query.is_empty()).then(|| last_of_each(&query)),
            "multiValueQueryStringParameters": (!query.is_empty()).then_some(&query),
            "pathParameters": self.path_parameters(),
            "stageVariables": null,
            "requestContext": {
                "accountId": ACCOUNT_ID,
                "apiId": domain_prefix(&origin.domain_name),
                "domainName": origin.domain_name,
                "domainPrefix": domain_prefix(&origin.domain_name),
                "extendedRequestId": origin.request_id,
                "httpMethod": method,
                "identity": {
                    "accessKey": null,
                    "accountId": null,
                    "caller": null,
                    "cognitoAuthenticationProvider": null,
                    "cognitoAuthenticationType": null,
                    "cognitoIdentityId": null,
                    "cognitoIdentityPoolId": null,
                    "principalOrgId": null,
                    "sourceIp": origin.source_ip,
                    "user": null,
                    "userAgent": self.user_agent(),
                    "userArn": null,
                },
                // The path that the client asked for; `path` above is the one inside the API.
                "path": uri.path(),
                "protocol": protocol(self.request.version()),
                "requestId": origin.request_id,
                "requestTime": clf_time(origin.time_epoch_ms),
                "requestTimeEpoch": origin.time_epoch_ms,
                "resourceId": "local",
                "resourcePath": resource,
                "stage": origin.stage,
            },
            "body": self.body,
            "isBase64Encoded": self.encoded,
        })
    }

    fn alb(self) -> Value {
        let uri = self.request.uri();
        let headers = grouped(self.each_header().map(|(name, value)| (name.to_string(), value)));
        // The load balancer does not decode the query.
        let query = grouped(pairs(uri.query().unwrap_or("")).map(|(n, v)| (n.to_owned(), v.to_owned())));
        json!({
            "requestContext": {
                "elb": {
                    "targetGroupArn": format!(
                        "arn:aws:elasticloadbalancing:us-east-1:{ACCOUNT_ID}:targetgroup/local/6d0ecf831eec9f09"
                    ),
                },
            },
            "httpMethod": self.request.method().as_str(),
            "path": uri.path(),
            "queryStringParameters": last_of_each(&query),
            "headers": last_of_each(&headers),
            "body": self.body.as_deref().unwrap_or_default(),
            "isBase64Encoded": self.encoded,
        })
    }

    fn each_header(&self) -> impl Iterator<Item = (&HeaderName, String)> {
        self.headers.iter().map(|(name, value)| (name, text(value)))
    }

    fn joined_headers(&self) -> Value {
        let each = self.each_header().map(|(name, value)| (name.to_string(), value));
        grouped(each).into_iter().map(|(name, values)| (name, json!(values.join(",")))).collect()
    }

    fn cookies(&self) -> Vec<String> {
        let lines = self.headers.get_all(COOKIE).iter().map(text);
        lines.flat_map(|line| line.split("; ").map(str::to_owned).collect::<Vec<_>>()).collect()
    }

    fn user_agent(&self) -> String {
        self.headers.get(USER_AGENT).map(text).unwrap_or_default()
    }

    fn path_parameters(&self) -> Option<Value> {
        let parameters = &self.route?.parameters;
        (!parameters.is_empty()).then(|| json!(parameters))
    }
}

/// The request's headers and those that the front ends add to every request.
fn headers(shape: EventShape, request: &Request<Bytes>, origin: &Origin) -> HeaderMap {
    let mut headers = request.headers().clone();
    let mut set = |name: &'static str, value: String, keep: bool| {
        let name = HeaderName::from_static(name);
        if keep && headers.contains_key(&name) {
            return;
        }
        // Only an origin with line breaks in it is no header, and then there is nothing true to add.
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(name, value);
        }
    };
    let forwarded_for = match request.headers().get("x-forwarded-for") {
        Some(before) => format!("{}, {}", text(before), origin.source_ip),
        None => origin.source_ip.clone(),
    };
    set("host", origin.domain_name.clone(), true);
    set("x-amzn-trace-id", trace_id(origin), true);
    set("x-forwarded-for", forwarded_for, false);
    set("x-forwarded-port", "443".to_owned(), false);
    set("x-forwarded-proto", "https".to_owned(), false);
    if shape != EventShape::Alb && !request.body().is_empty() {
        set("content-length", request.body().len().to_string(), true);
    }
    headers
}

/// `Root=1-<seconds, 8 digits>-<24 digits>`, as in
/// [X-Ray's concepts](https://docs.aws.amazon.com/xray/latest/devguide/xray-concepts.html#xray-concepts-tracingheader).
pub(super) fn trace_id(origin: &Origin) -> String {
    let seconds = origin.time_epoch_ms / 1000;
    let digits = origin.request_id.bytes().take(12).fold(0_u128, |sum, byte| sum << 8 | u128::from(byte));
    format!("Root=1-{seconds:08x}-{digits:024x}")
}

fn body(shape: EventShape, encoding: BodyEncoding, request: &Request<Bytes>) -> (Option<String>, bool) {
    let body = request.body();
    if body.is_empty() {
        return (None, false);
    }
    let encode = match encoding {
        BodyEncoding::Plain => false,
        BodyEncoding::Base64 => true,
        // A REST API passes everything as text unless it was given binary media types.
        BodyEncoding::AsAws => shape != EventShape::RestApi && !is_text_type(shape, request.headers()),
    };
    match std::str::from_utf8(body) {
        Ok(text) if !encode => (Some(text.to_owned()), false),
        Err(_) if !encode && shape == EventShape::RestApi => {
            (Some(String::from_utf8_lossy(body).into_owned()), false)
        }
        _ => (Some(STANDARD.encode(body)), true),
    }
}

/// Whether the front end takes a body of this type for text. Forms are not among them: they arrive in base64.
fn is_text_type(shape: EventShape, headers: &HeaderMap) -> bool {
    let content_type = headers.get(CONTENT_TYPE).map(text).unwrap_or_default();
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match essence.as_str() {
        "application/json" | "application/javascript" | "application/xml" => true,
        // What API Gateway takes a body without a type for.
        "" => shape == EventShape::HttpApi,
        other => {
            other.starts_with("text/")
                || (shape != EventShape::Alb && (other.ends_with("+json") || other.ends_with("+xml")))
        }
    }
}

fn text(value: &HeaderValue) -> String {
    String::from_utf8_lossy(value.as_bytes()).into_owned()
}

fn domain_prefix(domain_name: &str) -> &str {
    domain_name.split_once('.').map_or(domain_name, |(prefix, _)| prefix)
}

fn protocol(version: Version) -> String {
    format!("{version:?}")
}

/// REST APIs pass names as the client wrote them, which over HTTP/1.1 is mostly like this. The name itself
/// has lost its case by now; a function that looks for lower case should fail here as it would there.
fn title_case(name: &HeaderName) -> String {
    let capital = |part: &str| {
        let mut letters = part.chars();
        letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters).collect::<String>()
    };
    name.as_str().split('-').map(capital).collect::<Vec<_>>().join("-")
}

/// `12/Mar/2020:19:03:58 +0000`, the time format of access logs.
fn clf_time(epoch_ms: u64) -> String {
    let seconds = i64::try_from(epoch_ms / 1000).unwrap_or(i64::MAX);
    let time = OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let month = time.month().to_string();
    let (hour, minute, second) = time.to_hms();
    format!("{:02}/{month:.3}/{}:{hour:02}:{minute:02}:{second:02} +0000", time.day(), time.year())
}

fn pairs(query: &str) -> impl Iterator<Item = (&str, &str)> {
    query.split('&').filter(|pair| !pair.is_empty()).map(|pair| pair.split_once('=').unwrap_or((pair, "")))
}

fn decoded_query(query: &str) -> impl Iterator<Item = (String, String)> {
    form_urlencoded::parse(query.as_bytes())
        .map(|(name, value): (Cow<'_, str>, Cow<'_, str>)| (name.into_owned(), value.into_owned()))
}

fn grouped(pairs: impl Iterator<Item = (String, String)>) -> BTreeMap<String, Vec<String>> {
    let mut groups = BTreeMap::<_, Vec<_>>::new();
    for (name, value) in pairs {
        groups.entry(name).or_default().push(value);
    }
    groups
}

fn last_of_each(groups: &BTreeMap<String, Vec<String>>) -> BTreeMap<&str, Option<&str>> {
    groups.iter().map(|(name, values)| (name.as_str(), values.last().map(String::as_str))).collect()
}

#[cfg(test)]
mod tests {
    use http::Method;
    use lambda_http::request::LambdaRequest;

    use super::*;

    fn origin(domain_name: &str, stage: &str) -> Origin {
        Origin {
            domain_name: domain_name.to_owned(),
            stage: stage.to_owned(),
            source_ip: "192.0.2.1".to_owned(),
            request_id: "JKJaXmPLvHcESHA=".to_owned(),
            time_epoch_ms: 1_583_348_638_390,
        }
    }

    fn request(uri: &str, content_type: &str, body: &str) -> Request<Bytes> {
        Request::builder()
            .method(Method::POST)
            .uri(uri)
            .header("X-Twilio-Signature", "c2lnbmF0dXJl")
            .header("Header2", "value1")
            .header("Header2", "value2")
            .header("Cookie", "cookie1; cookie2")
            .header("User-Agent", "agent")
            .header("Content-Type", content_type)
            .body(Bytes::copy_from_slice(body.as_bytes()))
            .unwrap()
    }

    const URI: &str = "/my/path?parameter1=value1&parameter1=value2&parameter2=a%20b";

    fn golden(shape: EventShape, uri: &str, origin: &Origin, file: &str) -> LambdaRequest {
        let event = event(shape, &request(uri, "text/plain", "Hello from Lambda!"), origin);
        let expected: Value = serde_json::from_str(file).unwrap();
        assert_eq!(event, expected, "{}", serde_json::to_string_pretty(&event).unwrap());
        serde_json::from_value(event).unwrap()
    }

    #[test]
    fn an_http_api_event_is_the_documented_one() {
        let file = include_str!("../../tests/data/http_api.json");
        let origin = origin("id.execute-api.us-east-1.amazonaws.com", "$default");
        assert!(matches!(golden(EventShape::HttpApi, URI, &origin, file), LambdaRequest::ApiGatewayV2(_)));
    }

    #[test]
    fn a_function_url_event_is_the_documented_one() {
        let file = include_str!("../../tests/data/function_url.json");
        let origin = origin("id.lambda-url.us-west-2.on.aws", "$default");
        assert!(matches!(
            golden(EventShape::FunctionUrl, URI, &origin, file),
            LambdaRequest::ApiGatewayV2(_)
        ));
    }

    #[test]
    fn a_rest_api_event_is_the_documented_one() {
        let file = include_str!("../../tests/data/rest_api.json");
        let origin = origin("id.execute-api.us-east-1.amazonaws.com", "prod");
        let uri = format!("/prod{URI}");
        assert!(matches!(golden(EventShape::RestApi, &uri, &origin, file), LambdaRequest::ApiGatewayV1(_)));
    }

    #[test]
    fn a_load_balancer_event_is_the_documented_one() {
        let file = include_str!("../../tests/data/alb.json");
        let origin = origin("lambda-846800462.us-east-2.elb.amazonaws.com", "");
        assert!(matches!(golden(EventShape::Alb, URI, &origin, file), LambdaRequest::Alb(_)));
    }

    #[test]
    fn forms_are_base64_everywhere_but_in_rest_apis_unless_the_caller_chooses() {
        let form = request("/", "application/x-www-form-urlencoded; charset=utf-8", "Body=Hi%21");
        let origin = origin("id.example.com", "$default");
        let encoded = ("Qm9keT1IaSUyMQ==".to_owned(), true);
        let plain = ("Body=Hi%21".to_owned(), false);
        for (shape, encoding, expected) in [
            (EventShape::HttpApi, BodyEncoding::AsAws, &encoded),
            (EventShape::FunctionUrl, BodyEncoding::AsAws, &encoded),
            (EventShape::Alb, BodyEncoding::AsAws, &encoded),
            (EventShape::RestApi, BodyEncoding::AsAws, &plain),
            (EventShape::HttpApi, BodyEncoding::Plain, &plain),
            (EventShape::RestApi, BodyEncoding::Base64, &encoded),
        ] {
            let event = event_on_route(shape, encoding, None, &form, &origin);
            let body = event["body"].as_str().unwrap().to_owned();
            assert_eq!(&(body, event["isBase64Encoded"].as_bool().unwrap()), expected, "{shape:?}");
        }
    }

    #[test]
    fn path_and_query_stay_raw_where_aws_leaves_them_raw() {
        let uri = "/a%20b/?Body=It%27s+a&x=%C3%A9&x=&empty";
        let origin = origin("id.example.com", "$default");
        let request = request(uri, "text/plain", "");
        for shape in [EventShape::HttpApi, EventShape::FunctionUrl] {
            let event = event(shape, &request, &origin);
            assert_eq!(event["rawPath"], "/a%20b/");
            assert_eq!(event["rawQueryString"], "Body=It%27s+a&x=%C3%A9&x=&empty");
            assert_eq!(event["queryStringParameters"], json!({"Body": "It's a", "x": "é,", "empty": ""}));
        }
        let rest = event(EventShape::RestApi, &request, &origin);
        assert_eq!(rest["multiValueQueryStringParameters"]["x"], json!(["é", ""]));
        let alb = event(EventShape::Alb, &request, &origin);
        assert_eq!(alb["queryStringParameters"], json!({"Body": "It%27s+a", "x": "", "empty": ""}));
    }

    #[test]
    fn a_stage_is_in_the_path_that_the_client_asked_for_and_not_in_the_route() {
        let origin = origin("id.example.com", "prod");
        let request = request("/prod/webhooks", "text/plain", "");
        let http = event(EventShape::HttpApi, &request, &origin);
        assert_eq!(
            (&http["rawPath"], &http["routeKey"]),
            (&json!("/prod/webhooks"), &json!("POST /webhooks"))
        );
        let rest = event(EventShape::RestApi, &request, &origin);
        assert_eq!(
            (&rest["path"], &rest["requestContext"]["path"]),
            (&json!("/webhooks"), &json!("/prod/webhooks"))
        );
        assert_eq!(without_stage("/prod", "prod"), "/");
        assert_eq!(without_stage("/production/x", "prod"), "/production/x");
    }

    #[test]
    fn a_route_with_variables_gives_their_values() {
        let route = MatchedRoute {
            path: "/outbound/{id}".to_owned(),
            parameters: BTreeMap::from([("id".to_owned(), "7".to_owned())]),
        };
        let origin = origin("id.example.com", "$default");
        let request = request("/outbound/7", "text/plain", "");
        for shape in [EventShape::HttpApi, EventShape::RestApi] {
            let event = event_on_route(shape, BodyEncoding::AsAws, Some(&route), &request, &origin);
            assert_eq!(event["pathParameters"], json!({"id": "7"}));
        }
    }
}
