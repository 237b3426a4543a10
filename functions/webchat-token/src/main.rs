//! The Lambda function.

use std::process::ExitCode;

use webchat_token::WebchatToken;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    shared::start::http_function("webchat-token", WebchatToken::new).await
}
