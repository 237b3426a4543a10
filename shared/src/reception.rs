//! Lets in what Twilio signed, and turns everything else away: the first thing that every webhook does.

use std::sync::Arc;

use bytes::Bytes;
use http::{Response, StatusCode};

use crate::{
    problem::problem,
    secrets::{Secrets, SecretsError},
    telemetry::{Metric, Metrics},
    webhook::{RawRequest, Refusal, Verified, Verifier},
};

/// The door.
#[derive(Clone, Debug)]
pub struct Reception {
    verifier: Verifier,
    secrets: Arc<Secrets>,
    metrics: Metrics,
}

/// Why a request is not even looked at.
enum NotTaken {
    Refused(Refusal),
    NoSecrets(SecretsError),
}

impl Reception {
    /// A door with this lock, to which `secrets` holds the keys.
    #[must_use]
    pub fn new(verifier: Verifier, secrets: Arc<Secrets>, metrics: Metrics) -> Self {
        Self { verifier, secrets, metrics }
    }

    /// The verified request, or the answer to it.
    pub async fn receive(&self, request: &RawRequest) -> Result<Verified, Response<Bytes>> {
        self.verify(request).await.map_err(|not_taken| self.not_taken(&not_taken))
    }

    /// What is answered where a signed request cannot be read.
    pub fn malformed(&self, error: &dyn std::error::Error) -> Response<Bytes> {
        self.metrics.count(Metric::MalformedRequest);
        tracing::error!(%error, "a signed event that cannot be read");
        problem(StatusCode::BAD_REQUEST, "malformed", &error.to_string())
    }

    /// Verifies a request. Where the signature fails, the token may have been rotated since it was read: it is
    /// read again, now and then, and a new one is given a try.
    async fn verify(&self, request: &RawRequest) -> Result<Verified, NotTaken> {
        let tokens = self.secrets.current().await.map_err(NotTaken::NoSecrets)?.signing_tokens();
        let refusal = match self.verifier.verify(request, &tokens) {
            Ok(verified) => return Ok(verified),
            Err(refusal) => refusal,
        };
        if refusal == Refusal::SignatureInvalid && self.secrets.refresh().await {
            let tokens = self.secrets.current().await.map_err(NotTaken::NoSecrets)?.signing_tokens();
            return self.verifier.verify(request, &tokens).map_err(NotTaken::Refused);
        }
        Err(NotTaken::Refused(refusal))
    }

    fn not_taken(&self, not_taken: &NotTaken) -> Response<Bytes> {
        match not_taken {
            NotTaken::NoSecrets(error) => {
                tracing::error!(%error, "no signature can be checked");
                problem(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "Try again later.")
            }
            NotTaken::Refused(refusal) => {
                self.metrics.count(match refusal {
                    Refusal::SignatureMissing | Refusal::SignatureInvalid => Metric::SignatureRefused,
                    _ => Metric::MalformedRequest,
                });
                tracing::warn!(%refusal, "a request is refused");
                problem(refusal.status(), "refused", &refusal.to_string())
            }
        }
    }
}
