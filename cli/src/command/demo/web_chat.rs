//! The chapter of the web chat.

use std::net::{Ipv4Addr, SocketAddr};

use axum::extract::ConnectInfo;
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, Uri, header};
use serde_json::{Value, json};
use simulator::{Fault, Matcher, Misbehaviour, Times};

use super::{Stage, member, said};
use crate::local::system::{END_CHAT_PATH, INIT_WEBCHAT_PATH, REFRESH_TOKEN_PATH, SITE_ORIGIN};

/// Where somebody who tries it on comes from.
const TROUBLEMAKER: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 66);

/// Where everybody else comes from.
const CUSTOMER: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);

impl Stage {
    pub(super) async fn somebody_chats(&mut self) -> anyhow::Result<()> {
        self.chapter(8);
        let form = json!({"formData": {"friendlyName": "Ada", "query": "Where is my parcel?"}});
        let answer = self.page(INIT_WEBCHAT_PATH, SITE_ORIGIN, CUSTOMER, &form).await;
        self.expect("a customer begins on our site", 200, answer.status().as_u16());
        let (sid, token) = (member(&answer, "conversationSid"), json!({"token": member(&answer, "token")}));
        self.expect("with their token Twilio shows them their chat", 200, self.reads(&sid, &token).await?);
        self.twilio_calls_back().await;
        self.expect("Interactions at Twilio", 1, self.live_interactions(&sid));
        let answer = self.page(INIT_WEBCHAT_PATH, "https://evil.example", CUSTOMER, &form).await;
        self.expect("another site tries it", 403, answer.status().as_u16());
        let mut begun = 0;
        for _ in 0..100 {
            let answer = self.page(INIT_WEBCHAT_PATH, SITE_ORIGIN, TROUBLEMAKER, &json!({})).await;
            begun += u32::from(answer.status().is_success());
        }
        self.expect("of a hundred from one address, begun", 10, begun);
        let forged = json!({"token": "eyJhbGciOiJub25lIn0.e30."});
        let answer = self.page(REFRESH_TOKEN_PATH, SITE_ORIGIN, CUSTOMER, &forged).await;
        self.expect("a token that nobody signed", "403 token_refused", said(&answer));
        let answer = self.page(REFRESH_TOKEN_PATH, SITE_ORIGIN, CUSTOMER, &token).await;
        self.expect("the customer's own is refreshed", 200, answer.status().as_u16());
        let answer = self.page(END_CHAT_PATH, SITE_ORIGIN, CUSTOMER, &token).await;
        self.expect("they end the chat", 204, answer.status().as_u16());
        self.expect("the conversation", "closed", self.state(&sid));
        let answer = self.page(REFRESH_TOKEN_PATH, SITE_ORIGIN, CUSTOMER, &token).await;
        self.expect("a token of a closed chat", "403 chat_over", said(&answer));

        let (on, what) = (Matcher::route("POST /v2/WebChats"), Misbehaviour::LostAfter);
        self.system.twilio.misbehave(Fault { on, times: Times::Next(1), what });
        let before = self.system.twilio.conversations().len();
        let answer = self.page(INIT_WEBCHAT_PATH, SITE_ORIGIN, CUSTOMER, &form).await;
        self.expect("Twilio begins one, but its answer is lost", "503 unavailable", said(&answer));
        self.a_minute_passes().await;
        let made = self.system.twilio.conversations().split_off(before);
        let states: Vec<_> = made.iter().map(|conversation| conversation.state.as_str()).collect();
        self.expect("a minute later the sweeper has found it", "closed", states.join(", "));
        Ok(())
    }

    /// What a page of `origin` posts.
    async fn page(
        &self,
        path: &'static str,
        origin: &'static str,
        from: Ipv4Addr,
        body: &Value,
    ) -> Response<Bytes> {
        let mut request = Request::new(Bytes::from(body.to_string()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = Uri::from_static(path);
        request.headers_mut().insert(header::ORIGIN, HeaderValue::from_static(origin));
        request.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        request.extensions_mut().insert(ConnectInfo(SocketAddr::from((from, 443))));
        self.front.handle(request).await
    }

    /// How Twilio answers the chat's client.
    async fn reads(&self, conversation: &str, token: &Value) -> anyhow::Result<u16> {
        let authorization = format!("Bearer {}", token["token"].as_str().unwrap_or_default());
        let request = Request::get(format!("/v1/Conversations/{conversation}/Messages"))
            .header(header::AUTHORIZATION, authorization)
            .body(Bytes::new())?;
        Ok(self.system.twilio.call(request).await?.status().as_u16())
    }
}
