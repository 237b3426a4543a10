//! The way out of the process over TLS: who is trusted, and who is not.

use std::{fs, net::SocketAddr};

use axum::Router;
use bytes::Bytes;
use flexglue_tests::tls::TestRoot;
use http::{Request, StatusCode};
use shared::transport::{HttpsError, HttpsTransport, Transport as _, TransportError};
use tokio::net::TcpListener;

/// Whether a server is spoken to.
async fn asks(address: SocketAddr, transport: &HttpsTransport) -> Result<StatusCode, TransportError> {
    let request = Request::get(format!("https://{address}/")).body(Bytes::new()).unwrap();
    transport.send(request).await.map(|answer| answer.status())
}

#[tokio::test]
async fn whoever_no_root_vouches_for_is_told_nothing() {
    let root = TestRoot::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = Router::new().fallback(|| async { StatusCode::NO_CONTENT });
    let guarded = root.guard(listener);
    tokio::spawn(async move { axum::serve(guarded, app).await });
    let trusting = HttpsTransport::with_roots_of(&root.file()).unwrap();
    assert_eq!(asks(address, &trusting).await, Ok(StatusCode::NO_CONTENT));
    let public = HttpsTransport::new().unwrap();
    assert_eq!(asks(address, &public).await, Err(TransportError::NotSent));
    let other = HttpsTransport::with_roots_of(&TestRoot::new().file()).unwrap();
    assert_eq!(asks(address, &other).await, Err(TransportError::NotSent));
}

#[test]
fn roots_that_are_none_are_no_roots() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("roots.pem");
    assert!(matches!(HttpsTransport::with_roots_of(&file), Err(HttpsError::Roots)), "no file");
    let good = fs::read_to_string(TestRoot::new().file()).unwrap();
    for bad in ["", "not PEM", &good.replace("CERTIFICATE", "PRIVATE KEY"), &(good.clone() + &good[..200])] {
        fs::write(&file, bad).unwrap();
        let made = HttpsTransport::with_roots_of(&file);
        assert!(matches!(made, Err(HttpsError::Roots)), "{bad}");
    }
}
