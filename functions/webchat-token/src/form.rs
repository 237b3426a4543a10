//! What a customer fills in before a chat: `{"formData": {"friendlyName"?, "query"?, …}}`. All of it comes from their
//! browser: sizes and types are bounded, and none of it can stand anywhere but below `pre_engagement_data`.

use serde_json::{Map, Value};
use shared::{body::depth, personal::Personal, problem::Wrong};

/// What was filled in.
#[derive(Debug, Default)]
pub(crate) struct Form {
    /// How the customer wants to be called.
    name: Option<Personal<String>>,
    /// Their first message.
    pub(crate) query: Option<Personal<String>>,
    /// What a CAPTCHA gave them.
    pub(crate) captcha_token: Option<Personal<String>>,
    /// What the site's back end says of who they are.
    pub(crate) customer_token: Option<Personal<String>>,
    /// Everything else.
    others: Personal<Map<String, Value>>,
}

/// The longest name, in characters.
const LONGEST_NAME: usize = 200;

/// The longest text of a message, in characters
/// ([limits](https://www.twilio.com/docs/conversations/conversations-limits)).
const LONGEST_QUERY: usize = 1600;

/// Longer than any token of a CAPTCHA's (Turnstile's have 2,048 characters at most) or of a site's.
const LONGEST_TOKEN: usize = 4096;

/// All other fields, in bytes of JSON: they stand among the attributes of a task, which has room for about 4,096.
const LARGEST: usize = 2048;

const LONGEST_KEY: usize = 64;

/// How deep other fields may go, themselves included.
const DEEPEST: usize = 3;

/// What a customer is called who gives no name, as in Twilio's sample.
const NAMELESS: &str = "Customer";

/// Whether a text can be somebody's name.
pub(crate) fn is_name(name: &str) -> bool {
    name.chars().count() <= LONGEST_NAME && !name.chars().any(char::is_control)
}

impl Form {
    /// Reads a body. Every field that is wrong is named at once, and no value is repeated.
    pub(crate) fn read(mut body: Map<String, Value>) -> Result<Self, Wrong> {
        let mut fields = match body.remove("formData") {
            None | Some(Value::Null) => Map::new(),
            Some(Value::Object(fields)) => fields,
            Some(_) => return Err(Wrong::from([("formData".to_owned(), "expected an object".to_owned())])),
        };
        let mut wrong = Wrong::new();
        let mut text = |name: &str, is_good: fn(&str) -> bool, expected: &str| {
            let text = match fields.remove(name) {
                None | Some(Value::Null) => return None,
                Some(Value::String(text)) if is_good(&text) => text,
                Some(_) => {
                    wrong.insert(format!("formData.{name}"), format!("expected {expected}"));
                    return None;
                }
            };
            (!text.trim().is_empty()).then_some(Personal(text))
        };
        let is_token = |token: &str| token.len() <= LONGEST_TOKEN;
        let is_query = |query: &str| query.chars().count() <= LONGEST_QUERY;
        let form = Self {
            name: text("friendlyName", is_name, "a name of 200 characters at most"),
            query: text("query", is_query, "a text of 1600 characters at most"),
            captcha_token: text("captchaToken", is_token, "a text of 4096 characters at most"),
            customer_token: text("customerToken", is_token, "a text of 4096 characters at most"),
            others: Personal::default(),
        };
        if fields
            .keys()
            .any(|key| key.is_empty() || key.chars().count() > LONGEST_KEY || key.contains(char::is_control))
        {
            wrong.insert("formData".to_owned(), "expected names of 1 to 64 characters".to_owned());
        }
        let others = Value::Object(fields);
        if depth(&others) > DEEPEST {
            wrong.insert("formData".to_owned(), "expected no more than 3 levels".to_owned());
        } else if others.to_string().len() > LARGEST {
            let expected = "expected 2048 bytes of JSON at most, beside the name and the query".to_owned();
            wrong.insert("formData".to_owned(), expected);
        }
        match others {
            Value::Object(others) if wrong.is_empty() => Ok(Self { others: Personal(others), ..form }),
            _ => Err(wrong),
        }
    }

    /// The customer's name (the one that the site has signed, where it has), and what Twilio keeps as
    /// `pre_engagement_data`: all that was filled in but the query, which is the first message and no attribute.
    pub(crate) fn filled_in(
        &self,
        signed_name: Option<Personal<String>>,
    ) -> (Personal<String>, Personal<String>) {
        let name = signed_name.or_else(|| self.name.clone()).unwrap_or_else(|| Personal(NAMELESS.to_owned()));
        let mut data = self.others.0.clone();
        data.insert("friendlyName".to_owned(), name.as_str().into());
        (name, Personal(Value::Object(data).to_string()))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(data: Value) -> Result<Form, Vec<String>> {
        let body = Map::from_iter([("formData".to_owned(), data)]);
        Form::read(body).map_err(|wrong| wrong.into_keys().collect())
    }

    fn wrong(data: Value) -> Vec<String> {
        read(data).unwrap_err()
    }

    fn kept(form: &Form) -> (String, Value) {
        let (name, data) = form.filled_in(None);
        (name.0, serde_json::from_str(&data).unwrap())
    }

    #[test]
    fn what_is_filled_in_is_kept_but_for_the_query_and_the_tokens() {
        let form = read(json!({
            "friendlyName": "Ada", "query": "Hello", "email": "ada@example.com", "captchaToken": "c",
            "customerToken": "t", "orders": [{"id": 7}], "vip": true, "from": "nobody",
        }))
        .unwrap();
        let data = json!({
            "friendlyName": "Ada", "email": "ada@example.com", "orders": [{"id": 7}], "vip": true, "from": "nobody",
        });
        assert_eq!(kept(&form), ("Ada".to_owned(), data));
        assert_eq!(form.query.unwrap().as_str(), "Hello");
        assert_eq!(
            (form.captcha_token.unwrap().0, form.customer_token.unwrap().0),
            ("c".to_owned(), "t".to_owned())
        );
    }

    #[test]
    fn nothing_needs_to_be_filled_in() {
        for data in
            [json!(null), json!({}), json!({"friendlyName": " ", "query": ""}), json!({"query": null})]
        {
            let form = read(data).unwrap();
            assert_eq!(kept(&form), ("Customer".to_owned(), json!({"friendlyName": "Customer"})));
            assert!(form.query.is_none());
        }
        assert!(Form::read(Map::new()).is_ok());
    }

    #[test]
    fn a_signed_name_beats_one_that_is_filled_in() {
        let form = read(json!({"friendlyName": "Eve"})).unwrap();
        let (name, data) = form.filled_in(Some(Personal("Ada".to_owned())));
        assert_eq!((name.as_str(), data.as_str()), ("Ada", r#"{"friendlyName":"Ada"}"#));
    }

    #[test]
    fn sizes_types_and_depths_are_bounded() {
        assert!(read(json!({"friendlyName": "é".repeat(200), "query": "é".repeat(1600)})).is_ok());
        assert_eq!(
            wrong(json!({"friendlyName": "x".repeat(201), "query": "x".repeat(1601), "captchaToken": 7})),
            ["formData.captchaToken", "formData.friendlyName", "formData.query"]
        );
        assert_eq!(wrong(json!({"friendlyName": "a\u{7}b"})), ["formData.friendlyName"]);
        assert_eq!(wrong(json!({"query": ["Hello"]})), ["formData.query"]);
        for data in [
            json!([]),
            json!("x"),
            json!(7),
            json!({"a": {"b": {"c": {}}}}),
            json!({"a": "x".repeat(2048)}),
            json!({"": 1}),
            json!({"x".repeat(65): 1}),
            json!({"a\nb": 1}),
        ] {
            assert_eq!(wrong(data), ["formData"]);
        }
        assert!(read(json!({"a": {"b": [1]}, "x".repeat(64): 1, "c": "x".repeat(1900)})).is_ok());
    }
}
