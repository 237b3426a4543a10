//! A page to try web chats on, as a site would have one. It is served on an address of its own, so that a browser
//! takes its calls to the functions for what they are on a real site: calls to another origin.

use std::io;

use axum::{Router, routing::get};
use http::{HeaderValue, header};
use tokio::net::TcpListener;

const HTML: &str = include_str!("page/index.html");
const SCRIPT: &str = include_str!("page/chat.js");
const STYLE: &str = include_str!("page/chat.css");

/// Where everything is that the page speaks of: scheme, host and port.
#[derive(Clone, Debug)]
pub struct Addresses {
    /// The page itself: its origin.
    pub page: String,
    /// The functions.
    pub functions: String,
    /// The simulated Twilio.
    pub twilio: String,
}

/// Serves the page over HTTP until `shutdown` ends. Its policy lets it run its own script alone and call nobody but
/// the functions and the simulated Twilio.
pub async fn serve(
    listener: TcpListener,
    addresses: &Addresses,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let Addresses { page, functions, twilio } = addresses;
    let html = HTML
        .replace("{functions}", functions)
        .replace("{twilio}", twilio)
        .replace("{origin}", page)
        .replace("{foreign}", &page.replace("127.0.0.1", "localhost"));
    let policy = format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src {functions} {twilio}; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    let policy = HeaderValue::from_str(&policy).map_err(io::Error::other)?;
    let of_type = |kind| [(header::CONTENT_TYPE, HeaderValue::from_static(kind))];
    let head = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
        (header::CONTENT_SECURITY_POLICY, policy),
    ];
    let app = Router::new()
        .route("/", get((head, html)))
        .route("/chat.js", get((of_type("text/javascript; charset=utf-8"), SCRIPT)))
        .route("/chat.css", get((of_type("text/css; charset=utf-8"), STYLE)));
    axum::serve(listener, app).with_graceful_shutdown(shutdown).await
}
