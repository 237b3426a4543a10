//! How users of Flex sign in: what is theirs of it is a token.

use crate::iam::tokens;
use crate::twilio::Twilio;

impl Twilio {
    /// Somebody signs in to Flex and is given a token, which is opaque to everybody but Twilio. It is valid for
    /// so many milliseconds. An agent has a worker (`WK…`); the guest of a web chat, whose role is `guest`, has
    /// a token too, and no worker.
    #[must_use]
    pub fn flex_token(
        &self,
        identity: &str,
        roles: &[&str],
        worker_sid: Option<&str>,
        lives_ms: u64,
    ) -> String {
        tokens::issue(&mut self.world(), identity, roles, worker_sid, lives_ms)
    }

    /// A token is revoked: whoever holds it is signed out.
    pub fn revoke_flex_token(&self, token: &str) {
        tokens::revoke(&mut self.world(), token);
    }
}
