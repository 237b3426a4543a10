//! The ways out of the process when everything is in it: straight into the embedded DynamoDB and into the
//! simulated Twilio, without a socket.

use std::fmt;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{Request, Response};
use shared::transport::{Transport, TransportError};

use super::dynamodb::Dynamo;

/// To the embedded DynamoDB.
#[derive(Clone)]
pub struct ToDynamo(pub Dynamo);

impl fmt::Debug for ToDynamo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ToDynamo")
    }
}

impl Transport for ToDynamo {
    fn send(&self, request: Request<Bytes>) -> BoxFuture<'_, Result<Response<Bytes>, TransportError>> {
        Box::pin(async move {
            let target = request.headers().get("x-amz-target").and_then(|target| target.to_str().ok());
            Ok(self.0.call(target.unwrap_or_default(), request.body()))
        })
    }
}

/// To the simulated Twilio.
#[derive(Clone)]
pub struct ToTwilio(pub simulator::Twilio);

impl fmt::Debug for ToTwilio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ToTwilio")
    }
}

impl Transport for ToTwilio {
    fn send(&self, request: Request<Bytes>) -> BoxFuture<'_, Result<Response<Bytes>, TransportError>> {
        Box::pin(async move { self.0.call(request).await.map_err(|_lost| TransportError::Lost) })
    }
}

/// To everybody else: nobody is there.
#[derive(Clone, Copy, Debug)]
pub struct ToNobody;

impl Transport for ToNobody {
    fn send(&self, _: Request<Bytes>) -> BoxFuture<'_, Result<Response<Bytes>, TransportError>> {
        Box::pin(async { Err(TransportError::NotSent) })
    }
}
