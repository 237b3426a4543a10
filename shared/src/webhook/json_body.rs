//! A JSON body as the fields of a form.

use serde_json::{Map, Value};

use crate::signature::Params;

/// The members of the object that `body` is; `None` if it is none.
///
/// The payload of Conversations comes wrapped as `{"conversation": {…}}`
/// ([Set up Flex Conversations](https://www.twilio.com/docs/flex/developer/conversations/setup)); bare
/// ones are taken too. Of a name that occurs twice the last counts. Nesting is limited by `serde_json`.
pub(super) fn fields(body: &[u8]) -> Option<Params> {
    let Ok(Value::Object(outer)) = serde_json::from_slice(body) else {
        return None;
    };
    Some(payload(outer).into_iter().filter_map(|(name, value)| Some((name, text(value)?))).collect())
}

fn payload(mut outer: Map<String, Value>) -> Map<String, Value> {
    if outer.contains_key("EventType") {
        return outer;
    }
    match outer.remove("conversation") {
        Some(Value::Object(inner)) => inner,
        Some(other) => {
            outer.insert("conversation".to_owned(), other);
            outer
        }
        None => outer,
    }
}

fn text(value: Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text),
        other => Some(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrapped_and_bare_payloads_give_the_same_fields() {
        let wrapped = fields(br#"{"conversation": {"EventType": "onMessageAdded", "Index": "0"}}"#).unwrap();
        let bare = fields(br#"{"EventType": "onMessageAdded", "Index": "0"}"#).unwrap();
        assert!(wrapped == bare && bare.get("Index") == Some("0"));
    }

    #[test]
    fn a_bare_payload_may_have_a_member_that_is_called_conversation() {
        let params = fields(br#"{"EventType": "x", "conversation": {"EventType": "y"}}"#).unwrap();
        assert_eq!(params.get("EventType"), Some("x"));
        assert_eq!(fields(br#"{"conversation": "CH"}"#).unwrap().get("conversation"), Some("CH"));
    }

    #[test]
    fn strings_numbers_objects_and_null_are_taken() {
        let params = fields(br#"{"a": "1", "b": 2, "c": {"d": [true]}, "e": null, "f": false}"#).unwrap();
        assert_eq!(params.get("a"), Some("1"));
        assert_eq!(params.get("b"), Some("2"));
        assert_eq!(params.get("c"), Some(r#"{"d":[true]}"#));
        assert_eq!(params.get("e"), None);
        assert_eq!(params.get("f"), Some("false"));
    }

    #[test]
    fn of_a_name_that_occurs_twice_the_last_counts() {
        assert_eq!(fields(br#"{"a": 1, "a": 2}"#).unwrap().all("a").collect::<Vec<_>>(), ["2"]);
    }

    #[test]
    fn whatever_is_no_object_is_refused_without_a_panic() {
        let deep = [b"{\"a\":".repeat(50_000), b"[".repeat(100_000), b"{\"conversation\":".repeat(3_000)];
        let plain: [&[u8]; 7] = [b"", b"1", b"[]", b"{", b"\xff\xfe", b"{\"a\": 1e999}", b"{} {}"];
        for body in plain.into_iter().chain(deep.iter().map(Vec::as_slice)) {
            assert!(fields(body).is_none());
        }
    }
}
