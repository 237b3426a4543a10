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

use crate::cors;
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
    if let Some(answer) = cors::preflight(&request) {
        return answer;
    }
    let is_for_page = cors::shows_token(&request);
    let mut stopped = served.stopped.subscribe();
    tokio::select! {
        answer = call(&served.twilio, request) => match answer {
            Ok(mut answer) => {
                if is_for_page {
                    cors::let_read(answer.headers_mut());
                }
                answer.map(Body::from)
            }
            Err(Lost) => break_off(),
        },
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

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::sync::oneshot;

    use crate::testing::Sim;
    use crate::{Fault, Matcher, Misbehaviour, Times};

    /// What comes back over TCP, until the connection is closed, for a request that begins so.
    async fn exchange(sim: &Sim, request: &str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (stop, stopped) = oneshot::channel::<()>();
        let served = tokio::spawn(sim.twilio.clone().serve(listener, async {
            let _ = stopped.await;
        }));
        let mut stream = TcpStream::connect(address).await.expect("a connection");
        let head = format!("{request}Host: localhost\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).await.expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("read");
        stop.send(()).expect("a server");
        served.await.expect("no panic").expect("no error");
        answer
    }

    /// The beginning of a request of the account's that makes a conversation.
    fn creation(sim: &Sim) -> String {
        let request = sim.request("POST", "/conversations/v1/Conversations", &[]);
        let user = request.headers()["authorization"].to_str().expect("text");
        format!("POST /conversations/v1/Conversations HTTP/1.1\r\nAuthorization: {user}\r\n")
    }

    #[tokio::test]
    async fn calls_are_answered_over_http() {
        let sim = Sim::new();
        let answer = exchange(&sim, &creation(&sim)).await;
        assert!(answer.starts_with("HTTP/1.1 201 Created"), "{answer}");
        assert!(answer.contains("\"sid\":\"CH"), "{answer}");
        assert!(!answer.contains("access-control-"), "no page has the password: {answer}");
    }

    #[tokio::test]
    async fn a_page_may_call_with_an_access_token_and_read_whatever_is_answered() {
        let sim = Sim::new();
        let asked = "OPTIONS /v1/Conversations/CH1 HTTP/1.1\r\nOrigin: https://shop.example\r\n\
                     Access-Control-Request-Method: GET\r\nAccess-Control-Request-Headers: authorization\r\n";
        let answer = exchange(&sim, asked).await;
        assert!(answer.starts_with("HTTP/1.1 204 No Content"), "{answer}");
        for line in [
            "access-control-allow-origin: *",
            "access-control-allow-methods: GET, POST",
            "access-control-allow-headers: authorization, content-type",
        ] {
            assert!(answer.contains(line), "{answer}");
        }
        assert!(sim.twilio.requests().is_empty());
        for (token, status) in [(sim.token("guest-1"), "404"), ("forged".to_owned(), "401")] {
            let call = format!("GET /v1/Conversations/CH1 HTTP/1.1\r\nAuthorization: Bearer {token}\r\n");
            let answer = exchange(&sim, &call).await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
            assert!(answer.contains("access-control-allow-origin: *"), "{answer}");
        }
    }

    #[tokio::test]
    async fn options_that_no_browser_asks_for_are_a_call_like_any_other() {
        let answer = exchange(&Sim::new(), "OPTIONS /v1/Conversations HTTP/1.1\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 401") && !answer.contains("access-control-"), "{answer}");
    }

    #[tokio::test]
    async fn a_lost_answer_closes_the_connection_without_a_byte() {
        let sim = Sim::new();
        let what = Misbehaviour::LostAfter;
        sim.twilio.misbehave(Fault { on: Matcher::Any, times: Times::Next(1), what });
        assert_eq!(exchange(&sim, &creation(&sim)).await, "");
        assert_eq!(sim.twilio.conversations().len(), 1);
    }

    #[tokio::test]
    async fn a_call_that_hangs_does_not_keep_the_server_from_stopping() {
        let sim = Sim::new();
        sim.twilio.misbehave(Fault { on: Matcher::Any, times: Times::Forever, what: Misbehaviour::Hang });
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (stop, stopped) = oneshot::channel::<()>();
        let served = tokio::spawn(sim.twilio.clone().serve(listener, async {
            let _ = stopped.await;
        }));
        let mut stream = TcpStream::connect(address).await.expect("a connection");
        stream.write_all(b"GET /v1/Conversations HTTP/1.1\r\nHost: localhost\r\n\r\n").await.expect("sent");
        while sim.twilio.requests().is_empty() {
            tokio::task::yield_now().await;
        }
        stop.send(()).expect("a server");
        served.await.expect("no panic").expect("no error");
    }
}
