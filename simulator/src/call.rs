//! A REST call, read once: which API and resource it means, who calls, and with which parameters.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{Method, Request, header};
use serde_json::Value;

use crate::access_token;
use crate::answer::Refusal;
use crate::settings::Settings;

/// One of Twilio's APIs, each with a host of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Api {
    Conversations,
    Core,
    Flex,
    Iam,
    Monitor,
    TaskRouter,
}

impl Api {
    const ALL: [Self; 6] =
        [Self::Conversations, Self::Core, Self::Flex, Self::TaskRouter, Self::Iam, Self::Monitor];

    /// The first label of the host, and the path segment under which one port may serve it.
    fn name(self) -> &'static str {
        match self {
            Self::Conversations => "conversations",
            Self::Core => "api",
            Self::Flex => "flex-api",
            Self::Iam => "iam",
            Self::Monitor => "monitor",
            Self::TaskRouter => "taskrouter",
        }
    }

    fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|api| api.name() == name)
    }

    /// What a body must be.
    fn body_type(self) -> &'static str {
        match self {
            Self::Iam => "application/json",
            Self::Conversations | Self::Core | Self::Flex | Self::Monitor | Self::TaskRouter => {
                "application/x-www-form-urlencoded"
            }
        }
    }

    /// The API of a resource when neither host nor prefix tells.
    fn of_resource(version: &str, resource: &str) -> Self {
        match resource {
            _ if version == "2010-04-01" => Self::Core,
            "Alerts" => Self::Monitor,
            "Interactions" | "Instances" | "WebChats" => Self::Flex,
            "Workspaces" => Self::TaskRouter,
            "Accounts" => Self::Iam,
            _ => Self::Conversations,
        }
    }
}

/// A call as the routes see it.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) api: Api,
    pub(crate) method: Method,
    /// `/v1/…` without the API's prefix.
    pub(crate) path: String,
    pub(crate) query: Vec<(String, String)>,
    /// The parameters of the body, whether it was a form or JSON.
    pub(crate) form: Vec<(String, String)>,
    /// The body of the one resource of Flex that takes JSON.
    pub(crate) json: Option<Value>,
    /// `X-Twilio-Webhook-Enabled: true`: only then does a REST action fire webhooks.
    pub(crate) fires_webhooks: bool,
}

impl Call {
    /// Reads a request. Refuses a body that is not a form, as Twilio's v1 APIs do; that of IAM takes JSON.
    pub(crate) fn read(request: &Request<Bytes>) -> Result<Self, Refusal> {
        let header = |name: &str| header(request, name);
        let (api, path) = located(request);
        let body = request.body();
        let takes_json = api == Api::Flex && path == "/v1/Configuration";
        let kind = if takes_json { "application/json" } else { api.body_type() };
        if !body.is_empty() && !header("content-type").is_some_and(|given| given.starts_with(kind)) {
            return Err(Refusal::new(415, 20415, format!("Content-Type must be {kind}")));
        }
        Ok(Self {
            api,
            method: request.method().clone(),
            path,
            query: pairs(request.uri().query().unwrap_or_default().as_bytes()),
            form: match api {
                Api::Iam => texts(body)?,
                _ if takes_json => Vec::new(),
                _ => pairs(body),
            },
            json: if takes_json { serde_json::from_slice(body).ok() } else { None },
            fires_webhooks: header("x-twilio-webhook-enabled") == Some("true"),
        })
    }

    /// The path in segments, the version first.
    pub(crate) fn segments(&self) -> Vec<&str> {
        self.path.split('/').filter(|segment| !segment.is_empty()).collect()
    }

    /// The first value of a query parameter.
    pub(crate) fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The public address of the resource. It never tells where the simulator really listens, as Twilio's
    /// answers do not tell of proxies either.
    pub(crate) fn url(&self) -> String {
        format!("https://{}.twilio.com{}", self.api.name(), self.path)
    }

    pub(crate) fn not_found(&self) -> Refusal {
        Refusal::not_found(&self.path)
    }
}

fn header<'r>(request: &'r Request<Bytes>, name: &str) -> Option<&'r str> {
    request.headers().get(name).and_then(|value| value.to_str().ok())
}

fn located(request: &Request<Bytes>) -> (Api, String) {
    locate(request.uri().path(), header(request, "host").or(request.uri().host()))
}

/// The API that a path and a host mean, and the path without the API's prefix.
pub(crate) fn locate(path: &str, host: Option<&str>) -> (Api, String) {
    let mut segments = path.split('/').filter(|segment| !segment.is_empty()).peekable();
    let prefix = segments.peek().copied().and_then(Api::named);
    if prefix.is_some() {
        segments.next();
    }
    let rest: Vec<&str> = segments.collect();
    let by_host = || host.and_then(|host| Api::named(host.split('.').next().unwrap_or_default()));
    let segment = |number: usize| rest.get(number).copied().unwrap_or_default();
    let api = prefix.or_else(by_host).unwrap_or_else(|| Api::of_resource(segment(0), segment(1)));
    (api, format!("/{}", rest.join("/")))
}

/// Who calls.
pub(crate) enum Caller {
    /// The account, by itself or by one of its keys.
    Account,
    /// A chat user, who shows an access token. They are known by this identity.
    ChatUser(String),
}

/// Refuses a caller that is neither the account nor one of its keys nor a chat user whose access token is
/// valid now. That IAM lets keys in is not confirmed, so there it must be the account.
pub(crate) fn authenticate(
    settings: &Settings,
    now_ms: u64,
    request: &Request<Bytes>,
) -> Result<Caller, Refusal> {
    let given = header(request, header::AUTHORIZATION.as_str()).unwrap_or_default();
    if let Some(token) = given.strip_prefix("Bearer ") {
        return access_token::verify(settings, now_ms, token).map(Caller::ChatUser);
    }
    let given =
        given.strip_prefix("Basic ").and_then(|text| String::from_utf8(STANDARD.decode(text).ok()?).ok());
    let account = (&settings.account_sid, &settings.auth_token);
    let accounts_only = located(request).0 == Api::Iam;
    let extra = settings
        .extra_auth
        .iter()
        .filter(|(user, _)| !accounts_only || *user == settings.account_sid)
        .map(|(user, password)| (user, password));
    let known = std::iter::once(account).chain(extra).any(|(user, password)| {
        given.as_deref().and_then(|given| given.split_once(':')) == Some((user.as_str(), password.as_str()))
    });
    if known { Ok(Caller::Account) } else { Err(Refusal::new(401, 20003, "Authenticate")) }
}

fn pairs(encoded: &[u8]) -> Vec<(String, String)> {
    form_urlencoded::parse(encoded).into_owned().collect()
}

/// The fields of a JSON object whose values are all texts.
fn texts(body: &[u8]) -> Result<Vec<(String, String)>, Refusal> {
    if body.is_empty() {
        return Ok(Vec::new());
    }
    let Ok(Value::Object(fields)) = serde_json::from_slice(body) else {
        return Err(Refusal::invalid("The body is not a JSON object"));
    };
    let text = |(name, value)| match value {
        Value::String(text) => Ok((name, text)),
        _ => Err(Refusal::invalid(format!("Invalid {name}: not a string"))),
    };
    fields.into_iter().map(text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_port_can_be_all_apis() {
        let flex = (Api::Flex, "/v1/Interactions".to_owned());
        assert_eq!(locate("/flex-api/v1/Interactions", None), flex);
        assert_eq!(locate("/v1/Interactions", None), flex);
        assert_eq!(
            locate("/v1/Configuration", Some("flex-api.dublin.ie1.twilio.com")),
            (Api::Flex, "/v1/Configuration".to_owned())
        );
        assert_eq!(
            locate("/v1/Configuration", Some("127.0.0.1:4010")),
            (Api::Conversations, "/v1/Configuration".to_owned())
        );
    }
}
