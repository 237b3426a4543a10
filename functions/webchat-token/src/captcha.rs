//! Whether a customer is a person, as a CAPTCHA's provider says: Turnstile's
//! [siteverify](https://developers.cloudflare.com/turnstile/get-started/server-side-validation/), which hCaptcha and
//! reCAPTCHA answer the same way.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Method, Request, header};
use serde::Deserialize;
use shared::{
    clock::Deadline,
    personal::Personal,
    secrets::Secret,
    transport::{Transport, TransportError},
};

/// Asks the provider.
#[derive(Debug)]
pub(crate) struct Captcha {
    web: Arc<dyn Transport>,
    url: String,
}

/// Why there is no verdict. Nobody is let in then.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoVerdict {
    #[error("the CAPTCHA's provider could not be reached")]
    Unreachable,
    #[error("the CAPTCHA's provider answered with status {0}")]
    Failed(u16),
    #[error("the answer of the CAPTCHA's provider could not be read")]
    Unreadable,
    #[error("the CAPTCHA's provider does not know our secret")]
    SecretUnknown,
}

impl From<TransportError> for NoVerdict {
    fn from(_: TransportError) -> Self {
        Self::Unreachable
    }
}

#[derive(Deserialize)]
struct Verdict {
    success: bool,
    #[serde(default, rename = "error-codes")]
    error_codes: Vec<String>,
}

/// How long the provider may take.
const LIMIT: Duration = Duration::from_secs(3);

impl Captcha {
    pub(crate) fn new(web: Arc<dyn Transport>, url: &str) -> Self {
        Self { web, url: url.to_owned() }
    }

    /// Whether `token`, which the provider's script gave to a customer, is good. It is good once.
    pub(crate) async fn passes(
        &self,
        secret: &Secret,
        token: &Personal<String>,
        source_ip: Option<&str>,
        deadline: Deadline,
    ) -> Result<bool, NoVerdict> {
        let address = source_ip.map(|address| ("remoteip", address));
        let form = form_urlencoded::Serializer::new(String::new())
            .extend_pairs([("secret", secret.expose()), ("response", token)].into_iter().chain(address))
            .finish();
        let request = Request::builder()
            .method(Method::POST)
            .uri(&self.url)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(header::ACCEPT, "application/json")
            .body(Bytes::from(form))
            .map_err(|_| NoVerdict::Unreachable)?;
        let sent = deadline.or_sooner(LIMIT).run(self.web.send(request)).await;
        let response = sent.ok_or(NoVerdict::Unreachable)??;
        if !response.status().is_success() {
            return Err(NoVerdict::Failed(response.status().as_u16()));
        }
        let verdict: Verdict = serde_json::from_slice(response.body()).map_err(|_| NoVerdict::Unreadable)?;
        let ours = ["missing-input-secret", "invalid-input-secret"];
        if verdict.error_codes.iter().any(|code| ours.contains(&code.as_str())) {
            return Err(NoVerdict::SecretUnknown);
        }
        Ok(verdict.success)
    }
}
