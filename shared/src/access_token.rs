//! [Access tokens](https://www.twilio.com/docs/iam/access-tokens): what a chat client shows Twilio for who it is. A
//! back end signs them with an API key of the account. Pure: the time is an argument.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    clock::Timestamp,
    jws::{self, ALGORITHM, JwsError},
    secrets::Secret,
    sid::{AccountSid, ApiKeySid, ChatServiceSid},
};

/// The longest that a token may live
/// ([20157](https://www.twilio.com/docs/api/errors/20157)), counted from when it begins to be valid.
pub const LONGEST: Duration = Duration::from_hours(24);

/// How long before now a token begins to be valid: Twilio's clock may be a little behind ours.
const SKEW: Duration = Duration::from_mins(1);

/// An API key that signs tokens. The account's own auth token never does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKey {
    /// Its SID.
    pub sid: ApiKeySid,
    /// Its secret.
    pub secret: Secret,
}

/// Where tokens are good: one account, one Conversations service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audience {
    /// The account.
    pub account: AccountSid,
    /// The Flex Chat Service.
    pub service: ChatServiceSid,
    /// The account's region, where that is not US1.
    pub region: Option<String>,
}

/// Who a token lets in, and until when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admitted {
    /// The chat identity.
    pub identity: String,
    /// When the token ends.
    pub until: Timestamp,
}

/// Why a token lets nobody in. Says nothing of what is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It is no token as we make them: another form, algorithm, type, or no JSON.
    #[error("this is no access token")]
    Malformed,
    /// Another key signed it, or nobody did, or it was changed since.
    #[error("the signature does not hold")]
    Forged,
    /// It is of another key, account or service.
    #[error("the token is for another account or service")]
    Foreign,
    /// Its time is over, or has not come, or is longer than Twilio allows.
    #[error("the token's time is over")]
    Untimely,
}

impl From<JwsError> for Refused {
    fn from(error: JwsError) -> Self {
        match error {
            JwsError::Malformed => Self::Malformed,
            JwsError::Forged => Self::Forged,
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Header {
    typ: String,
    alg: String,
    cty: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    twr: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct Claims {
    jti: String,
    iss: String,
    sub: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    nbf: Option<u64>,
    exp: u64,
    grants: Grants,
}

#[derive(Serialize, Deserialize)]
struct Grants {
    identity: String,
    chat: ChatGrant,
}

#[derive(Serialize, Deserialize)]
struct ChatGrant {
    service_sid: String,
}

const TYPE: &str = "JWT";
const CONTENT: &str = "twilio-fpa;v=1";

impl Audience {
    fn header(&self) -> Header {
        Header {
            typ: TYPE.to_owned(),
            alg: ALGORITHM.to_owned(),
            cty: CONTENT.to_owned(),
            twr: self.region.clone().filter(|region| region != "us1"),
        }
    }

    /// A token for a chat identity, good for `lifetime` from now, [`LONGEST`] at most with the minute before now
    /// for clocks that differ.
    #[must_use]
    pub fn token(&self, key: &ApiKey, identity: &str, lifetime: Duration, now: Timestamp) -> Admission {
        let from = now - SKEW;
        let until = Timestamp::from_seconds((now + lifetime).as_seconds().min((from + LONGEST).as_seconds()));
        let claims = Claims {
            jti: format!("{}-{}", key.sid, now.as_seconds()),
            iss: key.sid.to_string(),
            sub: self.account.to_string(),
            nbf: Some(from.as_seconds()),
            exp: until.as_seconds(),
            grants: Grants {
                identity: identity.to_owned(),
                chat: ChatGrant { service_sid: self.service.to_string() },
            },
        };
        Admission { token: Secret::new(jws::sign(&self.header(), &claims, &key.secret)), until }
    }

    /// Who a token lets in: only one that `key` has signed, for this account and service, while it is good.
    pub fn admits(&self, key: &ApiKey, token: &str, now: Timestamp) -> Result<Admitted, Refused> {
        let (header, unverified) = jws::take_apart::<Header>(token)?;
        if (&*header.typ, &*header.alg, &*header.cty) != (TYPE, ALGORITHM, CONTENT) {
            return Err(Refused::Malformed);
        }
        let claims: Claims = unverified.claims(&key.secret)?;
        let of_ours = claims.iss == key.sid.as_str()
            && claims.sub == self.account.as_str()
            && claims.grants.chat.service_sid == self.service.as_str()
            && header.twr == self.header().twr;
        if !of_ours {
            return Err(Refused::Foreign);
        }
        let (from, until) = (claims.nbf.unwrap_or_default(), Timestamp::from_seconds(claims.exp));
        let too_long = claims.nbf.is_some_and(|from| claims.exp.saturating_sub(from) > LONGEST.as_secs());
        if until <= now || from > now.as_seconds() || too_long {
            return Err(Refused::Untimely);
        }
        Ok(Admitted { identity: claims.grants.identity, until })
    }
}

/// A token and its end.
#[derive(Clone, Debug)]
pub struct Admission {
    /// The token: whoever has it is let in.
    pub token: Secret,
    /// When it ends.
    pub until: Timestamp,
}

#[cfg(test)]
mod tests {
    use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};

    use super::*;

    /// Made by Twilio's packages for the values below.
    const VECTOR: &str = "eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiIsImN0eSI6InR3aWxpby1mcGE7dj0xIn0.eyJqdGkiOiJTSzAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAxLTE3MDAwMDAwMDAiLCJpc3MiOiJTSzAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAxIiwic3ViIjoiQUMwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMSIsIm5iZiI6MTcwMDAwMDAwMCwiZXhwIjoxNzAwMDAzNjAwLCJncmFudHMiOnsiaWRlbnRpdHkiOiJndWVzdC0xIiwiY2hhdCI6eyJzZXJ2aWNlX3NpZCI6IklTMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDEifX19.i_uNErz-NBfk1Os-I38XGJ5GQcRueDPGeNmKguVfo1U";

    fn key(last: u8, secret: &str) -> ApiKey {
        ApiKey { sid: format!("SK{last:032x}").parse().unwrap(), secret: Secret::new(secret) }
    }

    fn audience() -> Audience {
        Audience {
            account: "AC00000000000000000000000000000001".parse().unwrap(),
            service: "IS00000000000000000000000000000001".parse().unwrap(),
            region: None,
        }
    }

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_seconds(1_700_000_000 + seconds)
    }

    #[test]
    fn the_vector_is_read_and_made_to_the_letter() {
        let admitted = audience().admits(&key(1, "secret"), VECTOR, at(1)).unwrap();
        assert_eq!(admitted, Admitted { identity: "guest-1".to_owned(), until: at(3600) });
        let claims = Claims {
            jti: "SK00000000000000000000000000000001-1700000000".to_owned(),
            iss: "SK00000000000000000000000000000001".to_owned(),
            sub: "AC00000000000000000000000000000001".to_owned(),
            nbf: Some(1_700_000_000),
            exp: 1_700_003_600,
            grants: Grants {
                identity: "guest-1".to_owned(),
                chat: ChatGrant { service_sid: "IS00000000000000000000000000000001".to_owned() },
            },
        };
        assert_eq!(jws::sign(&audience().header(), &claims, &Secret::new("secret")), VECTOR);
    }

    #[test]
    fn what_is_made_is_let_in_while_it_is_good() {
        for region in [None, Some("ie1".to_owned()), Some("us1".to_owned())] {
            let audience = Audience { region, ..audience() };
            let Admission { token, until } =
                audience.token(&key(1, "s"), "guest-1", Duration::from_hours(1), at(0));
            assert_eq!(until, at(3600));
            let admits = |now| audience.admits(&key(1, "s"), token.expose(), now);
            assert_eq!(admits(at(0)).unwrap().identity, "guest-1");
            assert!(admits(Timestamp::from_seconds(1_700_000_000 - 60)).is_ok(), "clocks differ");
            assert_eq!(admits(Timestamp::from_seconds(1_700_000_000 - 61)), Err(Refused::Untimely));
            assert!(admits(at(3599)).is_ok());
            assert_eq!(admits(at(3600)), Err(Refused::Untimely));
        }
    }

    #[test]
    fn no_token_lives_longer_than_twilio_allows() {
        let admission = audience().token(&key(1, "s"), "guest-1", Duration::from_hours(48), at(0));
        assert_eq!(admission.until, at(24 * 3600 - 60), "it is valid from a minute ago");
        assert!(audience().admits(&key(1, "s"), admission.token.expose(), at(0)).is_ok());
    }

    #[test]
    fn what_is_forged_foreign_or_of_another_algorithm_lets_nobody_in() {
        let token = audience().token(&key(1, "s"), "guest-1", Duration::from_hours(1), at(0)).token;
        let admits = |audience: &Audience, key: &ApiKey, token: &str| audience.admits(key, token, at(1));
        let ours = |token: &str| admits(&audience(), &key(1, "s"), token).unwrap_err();
        assert_eq!(admits(&audience(), &key(1, "t"), token.expose()), Err(Refused::Forged));
        assert_eq!(admits(&audience(), &key(2, "s"), token.expose()), Err(Refused::Foreign));
        let account = "AC00000000000000000000000000000002".parse().unwrap();
        let other = Audience { account, ..audience() };
        assert_eq!(admits(&other, &key(1, "s"), token.expose()), Err(Refused::Foreign));
        let service = "IS00000000000000000000000000000002".parse().unwrap();
        let other = Audience { service, ..audience() };
        assert_eq!(admits(&other, &key(1, "s"), token.expose()), Err(Refused::Foreign));
        let other = Audience { region: Some("ie1".to_owned()), ..audience() };
        assert_eq!(admits(&other, &key(1, "s"), token.expose()), Err(Refused::Foreign));

        let claims = token.expose().split('.').nth(1).unwrap().to_owned();
        for algorithm in ["none", "HS512", "RS256", "hs256"] {
            let header = Header { alg: algorithm.to_owned(), ..audience().header() };
            let read = BASE64_URL_SAFE_NO_PAD.decode(&claims).unwrap();
            let claims: serde_json::Value = serde_json::from_slice(&read).unwrap();
            let signed = jws::sign(&header, &claims, &Secret::new("s"));
            assert_eq!(ours(&signed), Refused::Malformed, "{algorithm}");
            let (text, _) = signed.rsplit_once('.').unwrap();
            assert_eq!(ours(&format!("{text}.")), Refused::Malformed, "{algorithm}");
        }
        for odd in ["", ".", "..", "a.b.c", "e30.e30.", &"x".repeat(5000), &format!("{}=", token.expose())] {
            assert_eq!(ours(odd), Refused::Malformed, "{odd:.20}");
        }
    }

    #[test]
    fn every_letter_counts() {
        let token = audience().token(&key(1, "s"), "guest-1", Duration::from_hours(1), at(0)).token;
        for (place, letter) in token.expose().char_indices() {
            let mut changed = token.expose().to_owned();
            changed.replace_range(place..=place, if letter == 'A' { "B" } else { "A" });
            assert!(audience().admits(&key(1, "s"), &changed, at(1)).is_err(), "letter {place}");
        }
    }
}
