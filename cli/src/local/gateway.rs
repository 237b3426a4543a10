//! An HTTP front for functions, like API Gateway: routes, limits and the answers it gives on its own.
//!
//! [`Routes::handle`] is the whole of it in process; [`serve`] puts it on a socket.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::{Router, body::Body, extract::ConnectInfo};
use bytes::Bytes;
use futures_util::future::{BoxFuture, FutureExt as _};
use http::{
    HeaderValue, Method, Request, Response, StatusCode,
    header::{CONTENT_TYPE, HOST},
};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::event::without_stage;
pub use super::{
    answer::{BadAnswer, response},
    event::{BodyEncoding, EventShape, MatchedRoute, Origin, event, event_on_route},
};

/// The longest that API Gateway waits for a function, see
/// [its quotas](https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-quotas.html).
pub const INTEGRATION_TIMEOUT: Duration = Duration::from_secs(30);

/// A function behind the front: an event in, its answer or its error out.
pub trait Function: Send + Sync {
    /// Runs the function once. An error is what Lambda calls a function error: the front tells the client
    /// nothing of it.
    fn invoke(&self, event: Value) -> BoxFuture<'_, Result<Value, String>>;
}

impl<F, A> Function for F
where
    F: Fn(Value) -> A + Send + Sync,
    A: Future<Output = Result<Value, String>> + Send + 'static,
{
    fn invoke(&self, event: Value) -> BoxFuture<'_, Result<Value, String>> {
        self(event).boxed()
    }
}

/// Milliseconds since 1970, asked for once a request.
pub type Milliseconds = Arc<dyn Fn() -> u64 + Send + Sync>;

/// Which function answers which requests.
pub struct Routes {
    shape: EventShape,
    encoding: BodyEncoding,
    stage: String,
    domain_name: Option<String>,
    now: Milliseconds,
    requests: AtomicU64,
    table: Vec<Route>,
}

struct Route {
    method: Method,
    path: String,
    function: Arc<dyn Function>,
}

/// What a front end answers when the function does not.
#[derive(Clone, Copy)]
enum Failure {
    NoRoute,
    TooLarge,
    FunctionError,
    TimedOut,
}

impl Routes {
    /// No routes yet, events of this shape, on the clock handed in; the stage is `$default`.
    #[must_use]
    pub fn new(shape: EventShape, now: Milliseconds) -> Self {
        Self {
            shape,
            encoding: BodyEncoding::AsAws,
            stage: "$default".to_owned(),
            domain_name: None,
            now,
            requests: AtomicU64::new(0),
            table: Vec::new(),
        }
    }

    /// Sends requests with this method and path to the function. A part of the path in braces stands for any
    /// one part, as in `/outbound/{id}`. The first route that fits is taken.
    #[must_use]
    pub fn route(mut self, method: Method, path: &str, function: Arc<dyn Function>) -> Self {
        self.table.push(Route { method, path: path.to_owned(), function });
        self
    }

    /// Puts the API on a named stage, which clients then have at the front of their paths.
    #[must_use]
    pub fn on_stage(mut self, stage: &str) -> Self {
        stage.clone_into(&mut self.stage);
        self
    }

    /// The domain name that events carry. Unless it is set, it is the request's `Host`, so that a tunnel to
    /// this machine gives events with the tunnel's name.
    #[must_use]
    pub fn at_domain(mut self, domain_name: &str) -> Self {
        self.domain_name = Some(domain_name.to_owned());
        self
    }

    /// How bodies are put into events, where it is not to be as AWS does it.
    #[must_use]
    pub fn encoding_bodies(mut self, encoding: BodyEncoding) -> Self {
        self.encoding = encoding;
        self
    }

    /// Answers one request, in process. Its source address is the [`ConnectInfo`] among its extensions, else
    /// 127.0.0.1.
    pub async fn handle(&self, request: Request<Bytes>) -> Response<Bytes> {
        let Some((function, matched)) = self.find(&request) else { return self.refuse(Failure::NoRoute) };
        if request.body().len() > self.body_limit() {
            return self.refuse(Failure::TooLarge);
        }
        let origin = self.origin(&request);
        let event = event_on_route(self.shape, self.encoding, Some(&matched), &request, &origin);
        match tokio::time::timeout(INTEGRATION_TIMEOUT, function.invoke(event)).await {
            Ok(Ok(answer)) => response(&answer).unwrap_or_else(|_| self.refuse(Failure::FunctionError)),
            Ok(Err(_)) => self.refuse(Failure::FunctionError),
            Err(_) => self.refuse(Failure::TimedOut),
        }
    }

    fn find(&self, request: &Request<Bytes>) -> Option<(&dyn Function, MatchedRoute)> {
        let path = match self.shape {
            EventShape::HttpApi | EventShape::RestApi => without_stage(request.uri().path(), &self.stage),
            EventShape::FunctionUrl | EventShape::Alb => request.uri().path(),
        };
        self.table.iter().filter(|route| route.method == *request.method()).find_map(|route| {
            let matched = matched(&route.path, path)?;
            Some((route.function.as_ref(), matched))
        })
    }

    fn origin(&self, request: &Request<Bytes>) -> Origin {
        let host = || request.headers().get(HOST)?.to_str().ok().map(str::to_owned);
        let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        Origin {
            domain_name: self.domain_name.clone().or_else(host).unwrap_or_else(|| "localhost".to_owned()),
            stage: self.stage.clone(),
            source_ip: peer.map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |peer| peer.0.ip()).to_string(),
            request_id: format!("local-{number:010}"),
            time_epoch_ms: (self.now)(),
        }
    }

    /// In bytes: quotas of
    /// [API Gateway](https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-quotas.html),
    /// [Lambda](https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html) and
    /// [load balancers](https://docs.aws.amazon.com/elasticloadbalancing/latest/application/lambda-functions.html).
    fn body_limit(&self) -> usize {
        match self.shape {
            EventShape::HttpApi | EventShape::RestApi => 10 << 20,
            EventShape::FunctionUrl => 6 << 20,
            EventShape::Alb => 1 << 20,
        }
    }

    fn refuse(&self, failure: Failure) -> Response<Bytes> {
        let http_api = self.shape == EventShape::HttpApi;
        let (status, message) = match failure {
            Failure::NoRoute => (StatusCode::NOT_FOUND, "Not Found"),
            Failure::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "Request Entity Too Large"),
            Failure::FunctionError if http_api => {
                (StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error")
            }
            Failure::FunctionError => (StatusCode::BAD_GATEWAY, "Internal server error"),
            Failure::TimedOut if http_api => (StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable"),
            Failure::TimedOut => (StatusCode::GATEWAY_TIMEOUT, "Endpoint request timed out"),
        };
        let mut response = Response::new(Bytes::from(json!({"message": message}).to_string()));
        *response.status_mut() = status;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response
    }
}

/// Serves the routes over HTTP until `shutdown` ends and the requests under way are answered.
pub async fn serve(
    listener: TcpListener,
    routes: Arc<Routes>,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let handler = move |request: Request<Body>| {
        let routes = Arc::clone(&routes);
        async move {
            let (parts, body) = request.into_parts();
            // Reads no more than it would answer; a connection that breaks off gets this answer too, and
            // is not there to read it.
            match axum::body::to_bytes(body, routes.body_limit()).await {
                Ok(body) => routes.handle(Request::from_parts(parts, body)).await,
                Err(_) => routes.refuse(Failure::TooLarge),
            }
            .map(Body::from)
        }
    };
    let app = Router::new().fallback(handler).into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(listener, app).with_graceful_shutdown(shutdown).await
}

/// The path's own values for the variables of a route, if it fits. Values stay as they are in the path, as
/// [API Gateway](https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-routes.html)
/// matches whole parts and a slash at the end is one more.
fn matched(route: &str, path: &str) -> Option<MatchedRoute> {
    let mut matched = MatchedRoute { path: route.to_owned(), ..MatchedRoute::default() };
    let (mut expected, mut given) = (route.split('/'), path.split('/'));
    loop {
        match (expected.next(), given.next()) {
            (None, None) => return Some(matched),
            (Some(expected), Some(given)) => {
                let variable = expected.strip_prefix('{').and_then(|name| name.strip_suffix('}'));
                match variable {
                    Some(name) if !given.is_empty() => {
                        let value =
                            percent_encoding::percent_decode_str(given).decode_utf8_lossy().into_owned();
                        matched.parameters.insert(name.to_owned(), value);
                    }
                    _ if expected == given => {}
                    _ => return None,
                }
            }
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        sync::oneshot,
    };

    use super::*;

    fn routes(shape: EventShape) -> Routes {
        Routes::new(shape, Arc::new(|| 1_583_348_638_390))
            .route(
                Method::POST,
                "/echo",
                Arc::new(
                    |event: Value| async move { Ok(json!({"statusCode": 200, "body": event.to_string()})) },
                ),
            )
            .route(
                Method::GET,
                "/outbound/{id}",
                Arc::new(|event: Value| async move { Ok(event["pathParameters"]["id"].clone()) }),
            )
            .route(Method::POST, "/fails", Arc::new(|_| async { Err("secret".to_owned()) }))
            .route(Method::POST, "/babbles", Arc::new(|_| async { Ok(json!({"statusCode": 1})) }))
            .route(Method::POST, "/hangs", Arc::new(|_| std::future::pending()))
    }

    async fn ask(routes: &Routes, method: Method, uri: &str, body: &'static [u8]) -> (u16, String) {
        let request = Request::builder().method(method).uri(uri).body(Bytes::from_static(body)).unwrap();
        let response = routes.handle(request).await;
        (response.status().as_u16(), String::from_utf8(response.body().to_vec()).unwrap())
    }

    #[tokio::test]
    async fn a_request_reaches_its_function_and_the_answer_its_client() {
        let routes = routes(EventShape::HttpApi).at_domain("api.example.com");
        let (status, body) = ask(&routes, Method::POST, "/echo?a=1", b"").await;
        let event: Value = serde_json::from_str(&body).unwrap();
        assert_eq!((status, &event["rawQueryString"]), (200, &json!("a=1")));
        assert_eq!(event["requestContext"]["domainName"], "api.example.com");
        assert_eq!(event["requestContext"]["http"]["sourceIp"], "127.0.0.1");
        assert_eq!(ask(&routes, Method::GET, "/outbound/a%20b", b"").await, (200, "a b".to_owned()));
    }

    #[tokio::test]
    async fn what_has_no_route_is_not_found() {
        let routes = routes(EventShape::HttpApi);
        for (method, uri) in [
            (Method::GET, "/echo"),
            (Method::POST, "/echo/"),
            (Method::POST, "/"),
            (Method::GET, "/outbound/"),
            (Method::GET, "/outbound/1/2"),
        ] {
            let not_found = (404, r#"{"message":"Not Found"}"#.to_owned());
            assert_eq!(ask(&routes, method, uri, b"").await, not_found, "{uri}");
        }
    }

    #[tokio::test]
    async fn a_stage_goes_before_the_path() {
        let routes = routes(EventShape::RestApi).on_stage("prod");
        assert_eq!(ask(&routes, Method::GET, "/prod/outbound/1", b"").await, (200, "1".to_owned()));
    }

    #[tokio::test]
    async fn the_client_learns_nothing_of_an_error() {
        for (shape, status) in [(EventShape::HttpApi, 500), (EventShape::Alb, 502)] {
            let routes = routes(shape);
            for uri in ["/fails", "/babbles"] {
                let (answered, body) = ask(&routes, Method::POST, uri, b"").await;
                assert_eq!((answered, body.contains("secret")), (status, false));
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_function_that_hangs_is_given_up_after_30_seconds() {
        for (shape, status) in [(EventShape::HttpApi, 503), (EventShape::RestApi, 504)] {
            let before = tokio::time::Instant::now();
            assert_eq!(ask(&routes(shape), Method::POST, "/hangs", b"").await.0, status);
            assert_eq!(before.elapsed().as_secs(), 30);
        }
    }

    #[tokio::test]
    async fn a_body_over_the_limit_is_refused() {
        const TEN_MIB: &[u8] = &[b'x'; 10 << 20];
        const MORE: &[u8] = &[b'x'; (10 << 20) + 1];
        let routes = routes(EventShape::HttpApi);
        assert_eq!(ask(&routes, Method::POST, "/echo", TEN_MIB).await.0, 200);
        assert_eq!(ask(&routes, Method::POST, "/echo", MORE).await.0, 413);
    }

    #[tokio::test]
    async fn the_same_over_a_socket() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let routes = Arc::new(routes(EventShape::HttpApi));
        let server = tokio::spawn(serve(listener, routes, async { drop(stopped.await) }));

        let mut client = tokio::net::TcpStream::connect(address).await.unwrap();
        let request = "POST /echo?b=2 HTTP/1.1\r\nHost: tunnel.example.com\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi";
        client.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        let event: Value = serde_json::from_str(body).unwrap();
        assert_eq!(event["requestContext"]["domainName"], "tunnel.example.com");
        assert_eq!(event["requestContext"]["http"]["protocol"], "HTTP/1.1");

        stop.send(()).unwrap();
        server.await.unwrap().unwrap();
    }
}
