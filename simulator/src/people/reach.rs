//! Who can be reached outside, and who cannot: opted out, switched off, not a number at all.

use crate::conversations::receipts::Unreachable;
use crate::twilio::Twilio;

impl Twilio {
    /// From now on nothing that is sent reaches this address (`+1555…` or `whatsapp:+1555…`), for the reason
    /// that `code` tells: 21610 is a customer who opted out, 30003 a phone that is switched off.
    ///
    /// No source confirms whether a conversation shows that [at once](Unreachable::AtOnce) or only
    /// [later](Unreachable::Later), and it may well depend on the code, so either can be played. What was sent
    /// before keeps its fate, and the customer can still write.
    pub fn cannot_be_reached(&self, address: &str, code: u32, when: Unreachable) {
        self.world().unreachable.insert(address.to_owned(), (code, when));
    }

    /// What is sent to this address from now on reaches it again.
    pub fn can_be_reached(&self, address: &str) {
        self.world().unreachable.remove(address);
    }
}
