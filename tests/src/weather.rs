//! Servers on loopback that misbehave: lines that are hung up, a DynamoDB and a Secrets Manager that fail.

use std::{
    collections::VecDeque,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::State,
};
use bytes::Bytes;
use http::{HeaderValue, Request, Response, header};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
};

/// A TCP connection to somewhere else that can be cut.
pub struct Line {
    /// Where it begins.
    pub address: SocketAddr,
    cuts: watch::Sender<u64>,
}

impl Line {
    /// A line to a server, until the test's runtime ends.
    pub async fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback works");
        let address = listener.local_addr().expect("loopback works");
        let cuts = watch::Sender::new(0);
        let cut = cuts.subscribe();
        tokio::spawn(async move {
            loop {
                let (mut here, _) = listener.accept().await.expect("loopback works");
                // Cuts from before it stood are not its own.
                let mut cut = cut.clone();
                cut.mark_unchanged();
                tokio::spawn(async move {
                    let mut there = TcpStream::connect(server).await.expect("the server is there");
                    tokio::select! {
                        // Whichever side ends it, and however.
                        _ = tokio::io::copy_bidirectional(&mut here, &mut there) => {}
                        _ = cut.changed() => {}
                    }
                });
            }
        });
        Self { address, cuts }
    }

    /// Hangs up on everybody, as a server does whose patience with an idle connection is over.
    pub fn hang_up(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }
}

/// What goes wrong with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// It has no effect, and this status and body are the answer.
    Refused(u16, &'static str),
    /// It has its effect, and the connection is closed in place of an answer.
    Lost,
    /// It has its effect and its answer, after which the connection is closed.
    LastOnConnection,
}

/// What a server does that behaves.
type Answers = Arc<dyn Fn(&http::request::Parts, &[u8]) -> Response<Bytes> + Send + Sync>;

/// A server on loopback with its troubles.
#[derive(Clone)]
pub struct Server {
    troubles: Arc<Mutex<VecDeque<Trouble>>>,
    answers: Answers,
}

impl Server {
    /// Serves these answers until the test's runtime ends. Gives where.
    pub async fn start(
        answers: impl Fn(&http::request::Parts, &[u8]) -> Response<Bytes> + Send + Sync + 'static,
    ) -> (Self, SocketAddr) {
        let server = Self { troubles: Arc::default(), answers: Arc::new(answers) };
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback works");
        let address = listener.local_addr().expect("loopback works");
        let router = Router::new().fallback(answer).with_state(server.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        (server, address)
    }

    /// Has the next request that is in no trouble yet get into this one.
    pub fn trouble(&self, trouble: Trouble) {
        self.troubles().push_back(trouble);
    }

    /// How many troubles nobody has got into yet.
    #[must_use]
    pub fn ahead(&self) -> usize {
        self.troubles().len()
    }

    fn troubles(&self) -> MutexGuard<'_, VecDeque<Trouble>> {
        self.troubles.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn answer(State(server): State<Server>, request: Request<Body>) -> Response<Body> {
    let trouble = server.troubles().pop_front();
    let (parts, body) = request.into_parts();
    if let Some(Trouble::Refused(status, body)) = trouble {
        let answer = Response::builder().status(status).body(Body::from(body));
        return answer.expect("the test has a good status");
    }
    let body = to_bytes(body, usize::MAX).await.unwrap_or_default();
    let mut answer = (server.answers)(&parts, &body);
    match trouble {
        // A body that fails at once: the connection is closed before anything is sent.
        Some(Trouble::Lost) => {
            let failure = futures_util::stream::once(async { Err::<Bytes, _>(io::Error::other("lost")) });
            Response::new(Body::from_stream(failure))
        }
        Some(Trouble::LastOnConnection) => {
            answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            answer.map(Body::from)
        }
        _ => answer.map(Body::from),
    }
}
