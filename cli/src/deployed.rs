//! What is deployed in AWS: the functions with their variables, and the alarms. Two questions to two APIs, signed by AWS's own
//! crate and carried by our own client: the SDKs of both would take minutes to build for them.

use std::{
    collections::BTreeMap,
    fmt,
    time::{Duration, SystemTime},
};

use aws_config::SdkConfig;
use aws_credential_types::provider::ProvideCredentials as _;
use aws_sigv4::{
    http_request::{SignableBody, SignableRequest, SigningSettings, sign},
    sign::v4,
};
use bytes::Bytes;
use http::{Request, StatusCode};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};
use shared::{clock::Deadline, parts::World};

/// A function.
#[derive(Clone)]
pub struct Function {
    /// Its name, which begins with its stack's and its logical id.
    pub name: String,
    /// Its variables. One of them may be a secret, where somebody has put one there.
    pub variables: BTreeMap<String, String>,
}

impl fmt::Debug for Function {
    /// Leaves the variables out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Function").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Why AWS did not say.
#[derive(Debug, thiserror::Error)]
pub enum AwsError {
    /// There are no credentials, or no region.
    #[error("AWS's credentials, or the region, are not to be had")]
    NoCredentials,
    /// No answer, or not in time.
    #[error("AWS does not answer")]
    NoAnswer,
    /// It does not want to.
    #[error("AWS refuses with {0}: may these credentials ask?")]
    Refused(StatusCode),
    /// Its answer is not what was expected.
    #[error("AWS's answer could not be read")]
    Unreadable,
}

/// Pages of a list that are read at most, of 50 each.
const MOST_PAGES: usize = 40;

/// The functions of the account and region that have a variable of this value: those of one stack have one
/// `METRICS_NAMESPACE`, and those of one table one `TABLE_NAME`.
///
/// # Errors
/// Where AWS does not say.
pub async fn functions(
    world: &World,
    (name, value): (&str, &str),
    deadline: Deadline,
) -> Result<Vec<Function>, AwsError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Page {
        functions: Vec<Configuration>,
        next_marker: Option<String>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Configuration {
        function_name: String,
        environment: Option<Environment>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Environment {
        #[serde(default)]
        variables: BTreeMap<String, String>,
    }
    let (mut functions, mut marker) = (Vec::new(), None::<String>);
    for _ in 0..MOST_PAGES {
        let mut query = form_urlencoded::Serializer::new("MaxItems=50&".to_owned());
        query.extend_pairs(marker.iter().map(|marker| ("Marker", marker)));
        let path = format!("/2015-03-31/functions/?{}", query.finish().trim_end_matches('&'));
        let page: Page = ask(world, "lambda", Request::get(path), Bytes::new(), deadline).await?;
        functions.extend(page.functions.into_iter().filter_map(|function| {
            let variables = function.environment?.variables;
            (variables.get(name).map(String::as_str) == Some(value))
                .then_some(Function { name: function.function_name, variables })
        }));
        marker = page.next_marker;
        if marker.is_none() {
            break;
        }
    }
    Ok(functions)
}

/// The alarms of a stack that are in alarm.
///
/// # Errors
/// Where AWS does not say.
pub async fn alarms(world: &World, stack: &str, deadline: Deadline) -> Result<Vec<String>, AwsError> {
    let prefix = format!("{stack}-");
    let (mut alarms, mut next) = (Vec::new(), Value::Null);
    for _ in 0..MOST_PAGES {
        let mut body = json!({ "AlarmNamePrefix": prefix, "StateValue": "ALARM", "MaxRecords": 100 });
        if next.is_string() {
            body["NextToken"] = next;
        }
        let request = Request::post("/")
            .header("content-type", "application/x-amz-json-1.0")
            .header("x-amz-target", "GraniteServiceVersion20100801.DescribeAlarms");
        let mut page: Value = ask(world, "monitoring", request, body.to_string().into(), deadline).await?;
        let names = page["MetricAlarms"].as_array().into_iter().flatten();
        let names = names.filter_map(|alarm| alarm["AlarmName"].as_str()?.strip_prefix(&prefix));
        // A stack's name may begin with another's: what AWS adds to it is a logical id and a suffix.
        alarms.extend(names.filter(|rest| rest.matches('-').count() == 1).map(str::to_owned));
        next = page["NextToken"].take();
        if !next.is_string() {
            break;
        }
    }
    Ok(alarms)
}

/// One question.
async fn ask<T: DeserializeOwned>(
    world: &World,
    service: &'static str,
    request: http::request::Builder,
    body: Bytes,
    deadline: Deadline,
) -> Result<T, AwsError> {
    let request = signed(world, service, request, body).await?;
    let answer =
        deadline.run(world.web.send(request)).await.and_then(Result::ok).ok_or(AwsError::NoAnswer)?;
    if !answer.status().is_success() {
        return Err(AwsError::Refused(answer.status()));
    }
    serde_json::from_slice(answer.body()).map_err(|_| AwsError::Unreadable)
}

async fn signed(
    world: &World,
    service: &'static str,
    request: http::request::Builder,
    body: Bytes,
) -> Result<Request<Bytes>, AwsError> {
    let aws = &world.aws;
    let (Some(region), Some(provider)) = (aws.region(), aws.credentials_provider()) else {
        return Err(AwsError::NoCredentials);
    };
    let credentials = provider.provide_credentials().await.map_err(|_| AwsError::NoCredentials)?;
    let mut request = request.body(body).map_err(|_| AwsError::Unreadable)?;
    let uri = format!("{}{}", base(aws, service, region.as_ref()), request.uri());
    *request.uri_mut() = uri.parse().map_err(|_| AwsError::NoCredentials)?;
    let identity = credentials.into();
    let now = SystemTime::UNIX_EPOCH + Duration::from_millis(world.clock.now().as_millis());
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region(region.as_ref())
        .name(service)
        .time(now)
        .settings(SigningSettings::default())
        .build()
        .map_err(|_| AwsError::NoCredentials)?
        .into();
    let headers =
        request.headers().iter().filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
    let signable = SignableRequest::new(
        request.method().as_str(),
        uri.as_str(),
        headers,
        SignableBody::Bytes(request.body()),
    )
    .map_err(|_| AwsError::Unreadable)?;
    let (instructions, _) = sign(signable, &params).map_err(|_| AwsError::Unreadable)?.into_parts();
    instructions.apply_to_request_http1x(&mut request);
    Ok(request)
}

/// Where an API is: the endpoint of everything, where somebody has set one, else AWS's.
fn base(aws: &SdkConfig, service: &str, region: &str) -> String {
    let suffix = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
    aws.endpoint_url().map_or_else(|| format!("https://{service}.{region}.{suffix}"), str::to_owned)
}
