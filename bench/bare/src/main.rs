//! Hello world that makes three requests, one after the other, as the job of a first message does: no signature, no SDK,
//! nothing read or written but the bytes themselves.

use std::{env, sync::Arc};

use lambda_http::{Body, Error, Request, Response, service_fn};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, pem::PemObject as _},
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let url = env::var("TWILIO_FLEX_API_URL")?;
    let mut roots = RootCertStore::empty();
    if let Ok(file) = env::var("TLS_ROOTS_FILE") {
        for root in CertificateDer::pem_file_iter(file)? {
            roots.add(root?)?;
        }
    }
    let tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let client = reqwest::Client::builder().tls_backend_preconfigured(tls).no_proxy().build()?;
    lambda_http::run(service_fn(async |_: Request| -> Result<Response<Body>, Error> {
        for _ in 0..3 {
            client.post(&url).body("{}").send().await?.bytes().await?;
        }
        Ok(Response::new(Body::from("hello, world")))
    }))
    .await
}
