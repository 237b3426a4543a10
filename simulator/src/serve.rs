//! The same Twilio over HTTP, for what runs in another process.

use std::future::Future;
use std::io;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::faults::Lost;
use crate::twilio::Twilio;

/// Twilio's own requests are far smaller.
const BODY_AT_MOST: usize = 1024 * 1024;

#[derive(Clone)]
struct Served {
    twilio: Twilio,
    stopped: Arc<watch::Sender<bool>>,
}

impl Twilio {
    /// Answers calls on the listener until `shutdown` resolves. A call that a fault loses is answered by
    /// closing its connection; so is one that hangs when the end comes.
    pub async fn serve(
        self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> io::Result<()> {
        let stopped = Arc::new(watch::Sender::new(false));
        let served = Served { twilio: self, stopped: Arc::clone(&stopped) };
        let router = Router::new().fallback(answer).with_state(served);
        let ended = async move {
            shutdown.await;
            stopped.send_replace(true);
        };
        axum::serve(listener, router).with_graceful_shutdown(ended).await
    }
}

async fn answer(State(served): State<Served>, request: Request) -> Response {
    let mut stopped = served.stopped.subscribe();
    tokio::select! {
        answer = call(&served.twilio, request) => answer.map_or_else(|Lost| break_off(), |answer| answer.map(Body::from)),
        _ = stopped.wait_for(|stopped| *stopped) => break_off(),
    }
}

async fn call(twilio: &Twilio, request: Request) -> Result<http::Response<Bytes>, Lost> {
    let (parts, body) = request.into_parts();
    let body = Limited::new(body, BODY_AT_MOST).collect().await.map_err(|_| Lost)?.to_bytes();
    twilio.call(Request::from_parts(parts, body)).await
}

/// A response whose body fails at once: the server then closes the connection before it has sent anything.
fn break_off() -> Response {
    let failure = futures_util::stream::once(async { Err::<Bytes, _>(io::Error::other(Lost)) });
    Response::new(Body::from_stream(failure))
}
