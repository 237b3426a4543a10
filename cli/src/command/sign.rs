//! `flexglue sign`: a request as Twilio would sign it, as the event that Lambda hands over. For `sam local invoke`.

use std::{
    io::{Read as _, Write as _},
    process::ExitCode,
};

use anyhow::{Context as _, bail, ensure};
use bytes::Bytes;
use clap::{Args, ValueEnum};
use http::{HeaderName, HeaderValue, Method, Request, Uri, header};
use shared::signature::{Params, body_hash, signature};

use crate::local::event::{EventShape, Origin, event};

/// Options of `flexglue sign`.
#[derive(Debug, Args)]
pub(super) struct Sign {
    /// The URL as Twilio was given it: `PUBLIC_BASE_URL`, or the API's own address, and the path
    url: Uri,
    /// A form (`a=b&c=d`) or a JSON object; `@FILE` reads a file, `-` standard input
    #[arg(default_value = "-")]
    body: String,
    /// The account's auth token, where it is not in `TWILIO_AUTH_TOKEN`
    #[arg(long)]
    token: Option<String>,
    /// Does not sign: for the functions that Twilio does not call
    #[arg(long, conflicts_with = "token")]
    unsigned: bool,
    /// A further header, `Name: value`
    #[arg(long = "header")]
    headers: Vec<String>,
    /// The method
    #[arg(long, default_value = "POST")]
    method: Method,
    /// The front end whose event it is to be
    #[arg(long, value_enum, default_value_t)]
    event: Front,
    /// Prints the event on one line
    #[arg(long)]
    json: bool,
}

/// A front end.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Front {
    #[default]
    HttpApi,
    RestApi,
    FunctionUrl,
    Alb,
}

impl From<Front> for EventShape {
    fn from(front: Front) -> Self {
        match front {
            Front::HttpApi => Self::HttpApi,
            Front::RestApi => Self::RestApi,
            Front::FunctionUrl => Self::FunctionUrl,
            Front::Alb => Self::Alb,
        }
    }
}

/// The same in every event: a function looks at none of it, and the same request is to be the same event.
const REQUEST_ID: &str = "JKJaXmPLvHcESHA=";
const TIME_MS: u64 = 1_800_000_000_000;
const SOURCE_IP: &str = "203.0.113.1";

impl Sign {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let body = read_body(&self.body)?;
        let host =
            self.url.authority().context("the URL must name its host, as Twilio was given it")?.to_string();
        let is_json = body.first().is_some_and(|byte| matches!(byte, b'{' | b'['));
        let mut url = self.url.to_string();
        if is_json && !self.unsigned {
            // A body that is no form is signed by its hash in the URL.
            let and = if url.contains('?') { '&' } else { '?' };
            url = format!("{url}{and}bodySHA256={}", body_hash(&body));
        }
        let content_type = if is_json { "application/json" } else { "application/x-www-form-urlencoded" };
        let mut request =
            Request::builder().method(self.method.clone()).uri(&url).header(header::HOST, &host);
        if !body.is_empty() {
            request = request.header(header::CONTENT_TYPE, content_type);
        }
        if !self.unsigned {
            let token = self.token.clone().or_else(|| std::env::var("TWILIO_AUTH_TOKEN").ok());
            let token = token.context("--token or TWILIO_AUTH_TOKEN must hold the account's auth token")?;
            let params = if is_json { Params::default() } else { Params::parse(&body) };
            request = request.header("x-twilio-signature", signature(token.as_bytes(), &url, &params));
        }
        for line in &self.headers {
            let (name, value) = line.split_once(':').context("a header is `Name: value`")?;
            request = request.header(name.parse::<HeaderName>()?, HeaderValue::from_str(value.trim())?);
        }
        let origin = Origin {
            domain_name: host,
            stage: "$default".to_owned(),
            source_ip: SOURCE_IP.to_owned(),
            request_id: REQUEST_ID.to_owned(),
            time_epoch_ms: TIME_MS,
        };
        let event = event(self.event.into(), &request.body(body)?, &origin);
        let text = if self.json { event.to_string() } else { format!("{event:#}") };
        writeln!(std::io::stdout(), "{text}")?;
        Ok(ExitCode::SUCCESS)
    }
}

fn read_body(given: &str) -> anyhow::Result<Bytes> {
    let body = match (given, given.strip_prefix('@')) {
        ("-", _) => {
            let mut body = Vec::new();
            std::io::stdin().read_to_end(&mut body)?;
            body
        }
        (_, Some(file)) => std::fs::read(file).with_context(|| format!("{file} cannot be read"))?,
        (text, None) => text.as_bytes().to_vec(),
    };
    ensure!(body.len() <= shared::webhook::MAX_BODY, "no function takes more than 64 KiB");
    if body.starts_with(b"{") && serde_json::from_slice::<serde_json::Value>(&body).is_err() {
        bail!("the body begins like JSON and is none");
    }
    Ok(body.into())
}
