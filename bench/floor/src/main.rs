//! Hello world: what the other functions are measured against.

use lambda_http::{Body, Error, Request, Response, service_fn};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    lambda_http::run(service_fn(async |_: Request| -> Result<Response<Body>, Error> {
        Ok(Response::new(Body::from("hello, world")))
    }))
    .await
}
