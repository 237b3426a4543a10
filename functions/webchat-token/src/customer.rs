//! Who a signed-in customer is, as the site's own back end has signed: a JSON Web Token with HMAC-SHA256, which any
//! JWT library makes, of `{"sub", "name"?, "exp"}`.

use std::time::Duration;

use serde::Deserialize;
use shared::{
    clock::Timestamp,
    jws::{self, ALGORITHM, JwsError},
    personal::Personal,
    secrets::Secret,
};

use crate::form::is_name;

/// A customer whom the site knows.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Customer {
    /// Who they are to the site. Tells nobody else anything: no e-mail address, no number.
    pub(crate) id: Personal<String>,
    /// Their name.
    pub(crate) name: Option<Personal<String>>,
}

/// Why a token tells nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClaimError {
    /// Not signed by the site, or none of these.
    NotSigned,
    /// Its time is over, or it is valid for longer than [`LONGEST`].
    Untimely,
    /// `sub` or `name` are not what they may be.
    Odd,
}

/// It is made when the page is, and used right away.
const LONGEST: Duration = Duration::from_hours(1);

const LONGEST_ID: usize = 128;

/// Shorter secrets can be guessed by whoever has one signed text. The one of Secrets Manager nobody else has looked at.
const SHORTEST_SECRET: usize = 32;

#[derive(Deserialize)]
struct Header {
    alg: String,
}

#[derive(Deserialize)]
struct Claims {
    sub: String,
    #[serde(default)]
    name: Option<String>,
    exp: u64,
}

impl From<JwsError> for ClaimError {
    fn from(_: JwsError) -> Self {
        Self::NotSigned
    }
}

/// Reads a token.
pub(crate) fn read(token: &str, secret: &Secret, now: Timestamp) -> Result<Customer, ClaimError> {
    if secret.expose().len() < SHORTEST_SECRET {
        tracing::error!("webchat_customer_secret has less than 32 characters, and is not believed");
        return Err(ClaimError::NotSigned);
    }
    let (header, unverified) = jws::take_apart::<Header>(token)?;
    if header.alg != ALGORITHM {
        return Err(ClaimError::NotSigned);
    }
    let claims: Claims = unverified.claims(secret)?;
    let now = now.as_seconds();
    if claims.exp <= now || claims.exp - now > LONGEST.as_secs() {
        return Err(ClaimError::Untimely);
    }
    // What has an `@` or a `+` is somebody's address.
    let is_id = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~' | b':');
    let id_is_good = (1..=LONGEST_ID).contains(&claims.sub.len()) && claims.sub.bytes().all(is_id);
    if !id_is_good || !claims.name.as_deref().is_none_or(is_name) {
        return Err(ClaimError::Odd);
    }
    let name = claims.name.map(|name| name.trim().to_owned()).filter(|name| !name.is_empty());
    Ok(Customer { id: Personal(claims.sub), name: name.map(Personal) })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const NOW: u64 = 1_800_000_000;

    fn secret() -> Secret {
        Secret::new("0123456789abcdef0123456789abcdef")
    }

    fn reads(header: &Value, claims: &Value) -> Result<Customer, ClaimError> {
        read(&jws::sign(header, claims, &secret()), &secret(), Timestamp::from_seconds(NOW))
    }

    fn claims(claims: &Value) -> Result<Customer, ClaimError> {
        reads(&json!({"alg": "HS256", "typ": "JWT"}), claims)
    }

    #[test]
    fn a_customer_is_who_the_site_says() {
        let ada = claims(&json!({"sub": "cust_42", "name": " Ada ", "exp": NOW + 60, "iat": NOW})).unwrap();
        assert_eq!(
            ada,
            Customer { id: Personal("cust_42".to_owned()), name: Some(Personal("Ada".to_owned())) }
        );
        assert_eq!(claims(&json!({"sub": "1", "exp": NOW + 3600})).unwrap().name, None);
    }

    /// Made by `PyJWT` 2.15.1: `jwt.encode({"sub": "cust_42", "name": "Ada", "exp": 1800000060}, "0123…", "HS256")`.
    #[test]
    fn what_other_libraries_sign_is_read() {
        let token = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJjdXN0XzQyIiwibmFtZSI6IkFkYSIsImV4cCI6MTgwMDAwMDA2MH0.Hr2eFliFtwmaS9owlADDZAM-i1jILIn2PjluaNdcfdA";
        assert_eq!(read(token, &secret(), Timestamp::from_seconds(NOW)).unwrap().id.as_str(), "cust_42");
    }

    #[test]
    fn what_is_forged_late_or_odd_says_nothing() {
        let good = json!({"sub": "cust_42", "exp": NOW + 60});
        let now = Timestamp::from_seconds(NOW);
        let header = json!({"alg": "HS256"});
        let forged = jws::sign(&header, &good, &Secret::new("another"));
        assert_eq!(read(&forged, &secret(), now), Err(ClaimError::NotSigned));
        for algorithm in ["none", "HS512", "hs256", ""] {
            assert_eq!(reads(&json!({"alg": algorithm}), &good), Err(ClaimError::NotSigned), "{algorithm}");
        }
        assert_eq!(reads(&json!({}), &good), Err(ClaimError::NotSigned));
        let short = Secret::new("0123456789abcdef0123456789abcde");
        assert_eq!(read(&jws::sign(&header, &good, &short), &short, now), Err(ClaimError::NotSigned));
        for odd in ["", "..", "a.b.c"] {
            assert_eq!(read(odd, &secret(), now), Err(ClaimError::NotSigned), "{odd}");
        }
        for exp in [NOW, NOW - 1, 0, NOW + 3601, u64::MAX] {
            assert_eq!(claims(&json!({"sub": "c", "exp": exp})), Err(ClaimError::Untimely), "{exp}");
        }
        for without in
            [json!({"sub": "c"}), json!({"exp": NOW + 60}), json!({"sub": "c", "exp": "soon"}), json!([])]
        {
            assert_eq!(claims(&without), Err(ClaimError::NotSigned), "{without}");
        }
        let long = "x".repeat(129);
        for sub in ["", "ada@example.com", "+15551230001", "a b", "é", &long] {
            assert_eq!(claims(&json!({"sub": sub, "exp": NOW + 60})), Err(ClaimError::Odd), "{sub}");
        }
        assert_eq!(claims(&json!({"sub": "c", "name": "a\nb", "exp": NOW + 60})), Err(ClaimError::Odd));
    }
}
