//! The one way out of the process: everything that flexglue asks of AWS or of Twilio goes through a
//! [`Transport`], which is handed in. In Lambda it is [`HttpsTransport`], for both sides the same client,
//! the same TLS configuration and the same roots. In tests it is a call into the simulator and the embedded
//! DynamoDB, in one process and on a virtual clock.

use std::{env, fmt, path::Path, sync::Arc, time::Duration};

use aws_smithy_runtime_api::{
    client::{
        http::{HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector},
        orchestrator::HttpRequest,
        result::ConnectorError,
        runtime_components::RuntimeComponents,
    },
    http::Response as SmithyResponse,
};
use aws_smithy_types::body::SdkBody;
use bytes::{Bytes, BytesMut};
use futures_util::future::BoxFuture;
use rustls::pki_types::{CertificateDer, pem::PemObject as _};

/// Why no answer came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransportError {
    /// No connection: not a byte of the request left this machine.
    #[error("no connection could be made")]
    NotSent,
    /// The connection broke: the other side may have acted on the request.
    #[error("the connection broke before the answer was complete")]
    Lost,
}

/// Sends one request and brings its answer, whatever its status. Sets no time limit and repeats nothing:
/// that is the caller's to decide.
pub trait Transport: fmt::Debug + Send + Sync {
    /// Sends `request` as it is.
    fn send(
        &self,
        request: http::Request<Bytes>,
    ) -> BoxFuture<'_, Result<http::Response<Bytes>, TransportError>>;
}

/// No answer that flexglue asks for comes near this; past it the answer is given up as lost.
const LARGEST_ANSWER: usize = 8 * 1024 * 1024;

/// How long a connection may take to stand, TLS included. After it nothing was sent, which is worth
/// knowing: the request can be repeated without harm.
const CONNECT_LIMIT: Duration = Duration::from_millis(1500);

/// A connection idle for longer is not used again. Twilio and AWS keep theirs open for longer; a Lambda
/// that was frozen meanwhile would otherwise send into a connection that the other side has closed.
const IDLE_LIMIT: Duration = Duration::from_secs(15);

/// HTTPS over `reqwest` and `rustls`.
#[derive(Clone, Debug)]
pub struct HttpsTransport(reqwest::Client);

impl HttpsTransport {
    /// Makes the client that the environment asks for: `TLS_ROOTS_FILE` names other roots than those of the public web.
    /// It is a variable of our own: OpenSSL's may be set by an image for others, and reading a hundred roots at every
    /// start takes longer than all the rest of it.
    ///
    /// # Errors
    /// As those of [`HttpsTransport::with_roots_of`].
    pub fn from_environment() -> Result<Self, HttpsError> {
        match env::var_os("TLS_ROOTS_FILE") {
            Some(file) if !file.is_empty() => Self::with_roots_of(Path::new(&file)),
            _ => Self::new(),
        }
    }

    /// Makes the client. The roots are compiled in, so that a cold start neither reads nor parses any.
    ///
    /// # Errors
    /// Only where the TLS library refuses its own defaults.
    pub fn new() -> Result<Self, HttpsError> {
        Self::trusting(rustls::RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() })
    }

    /// The same with the roots of a file, as PEM, and no others.
    ///
    /// # Errors
    /// Where the file is not there, or holds anything but root certificates.
    pub fn with_roots_of(file: &Path) -> Result<Self, HttpsError> {
        Self::trusting(roots_of(file).ok_or(HttpsError::Roots)?)
    }

    fn trusting(roots: rustls::RootCertStore) -> Result<Self, HttpsError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_LIMIT)
            .pool_idle_timeout(IDLE_LIMIT)
            .build()?;
        Ok(Self(client))
    }
}

/// The certificates of a file, all of which must be roots.
fn roots_of(file: &Path) -> Option<rustls::RootCertStore> {
    let mut roots = rustls::RootCertStore::empty();
    for root in CertificateDer::pem_file_iter(file).ok()? {
        roots.add(root.ok()?).ok()?;
    }
    (!roots.is_empty()).then_some(roots)
}

/// Why the HTTPS client could not be made.
#[derive(Debug, thiserror::Error)]
pub enum HttpsError {
    /// The file of other roots is none.
    #[error("the file of TLS_ROOTS_FILE must be there and hold root certificates as PEM, and nothing else")]
    Roots,
    /// The TLS configuration was refused.
    #[error("TLS could not be set up")]
    Tls(#[from] rustls::Error),
    /// The HTTP client was refused.
    #[error("the HTTP client could not be set up")]
    Client(#[from] reqwest::Error),
}

impl Transport for HttpsTransport {
    fn send(
        &self,
        request: http::Request<Bytes>,
    ) -> BoxFuture<'_, Result<http::Response<Bytes>, TransportError>> {
        Box::pin(async move {
            let request = reqwest::Request::try_from(request).map_err(|_| TransportError::NotSent)?;
            let mut answer = self.0.execute(request).await.map_err(|error| {
                if error.is_connect() { TransportError::NotSent } else { TransportError::Lost }
            })?;
            let mut response = http::Response::new(Bytes::new());
            *response.status_mut() = answer.status();
            *response.headers_mut() = std::mem::take(answer.headers_mut());
            let mut body = BytesMut::new();
            while let Some(chunk) = answer.chunk().await.map_err(|_| TransportError::Lost)? {
                if body.len() + chunk.len() > LARGEST_ANSWER {
                    return Err(TransportError::Lost);
                }
                body.extend_from_slice(&chunk);
            }
            *response.body_mut() = body.freeze();
            Ok(response)
        })
    }
}

/// Lets the AWS SDK speak through a [`Transport`].
#[derive(Clone, Debug)]
pub struct SdkHttp(pub Arc<dyn Transport>);

impl HttpConnector for SdkHttp {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let transport = Arc::clone(&self.0);
        HttpConnectorFuture::new(async move {
            let request =
                request.try_into_http1x().map_err(|error| ConnectorError::user(error.into()))?.map(|body| {
                    // Every request of ours has its body in memory; a stream would be a request we never make.
                    body.bytes().map(Bytes::copy_from_slice).unwrap_or_default()
                });
            let response = transport.send(request).await.map_err(|error| ConnectorError::io(error.into()))?;
            SmithyResponse::try_from(response.map(SdkBody::from))
                .map_err(|error| ConnectorError::other(error.into(), None))
        })
    }
}

impl HttpClient for SdkHttp {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}
