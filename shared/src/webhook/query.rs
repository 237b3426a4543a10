//! The query string, as it came or as well as it can be rebuilt.

use std::collections::BTreeMap;

use lambda_http::aws_lambda_events::query_map::QueryMap;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::signature::BODY_HASH_PARAMETER;

/// Up to this many pairs, every order is tried: 24 at most. Above, only two.
const MAX_PAIRS_IN_EVERY_ORDER: usize = 4;

/// All but the unreserved characters (RFC 3986, section 2.3).
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// All that may not stand in a query as it is, or would end a name or a value there (RFC 3986, section 3.4).
const NOT_IN_A_QUERY: &AsciiSet = &RESERVED
    .remove(b'!')
    .remove(b'$')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')')
    .remove(b'*')
    .remove(b',')
    .remove(b';')
    .remove(b':')
    .remove(b'@')
    .remove(b'/')
    .remove(b'?');

type Pair = (String, String);

/// A query string as the front end hands it over.
pub(super) enum RawQuery {
    /// Byte for byte, without the `?`: API Gateway's payload 2.0 and function URLs.
    Exact(String),
    /// Names and values still encoded, their order lost: ALB.
    Encoded(Vec<Pair>),
    /// Names and values decoded, their order lost: API Gateway's payload 1.0.
    Decoded(Vec<Pair>),
}

impl RawQuery {
    /// Every query string that may have been sent, the likeliest first: one if it is known byte for byte,
    /// else at most 24 orders in at most three ways of encoding. There is always one, and it may be empty.
    pub(super) fn strings(&self) -> Vec<String> {
        match self {
            Self::Exact(query) => vec![query.clone()],
            Self::Encoded(pairs) => in_orders(pairs),
            Self::Decoded(pairs) => {
                let mut written: Vec<Vec<Pair>> = Vec::new();
                for encode in [strict, plus_for_space, lenient] {
                    let pairs: Vec<_> =
                        pairs.iter().map(|(name, value)| (encode(name), encode(value))).collect();
                    if !written.contains(&pairs) {
                        written.push(pairs);
                    }
                }
                written.iter().flat_map(|pairs| in_orders(pairs)).collect()
            }
        }
    }
}

/// The pairs of an event's two maps, of which the one with many values holds all that the other does. API
/// Gateway fills both
/// ([payload 1.0](https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html)),
/// an ALB one
/// ([ALB targets](https://docs.aws.amazon.com/elasticloadbalancing/latest/application/lambda-functions.html)).
pub(super) fn pairs(many: &QueryMap, single: &QueryMap) -> Vec<Pair> {
    let map = if many.is_empty() { single } else { many };
    // Not `QueryMap::iter`, which panics on a name with an empty list of values.
    let values: BTreeMap<String, Vec<String>> =
        serde_json::to_value(map).and_then(serde_json::from_value).unwrap_or_default();
    values
        .into_iter()
        .flat_map(|(name, values)| values.into_iter().map(move |value| (name.clone(), value)))
        .collect()
}

fn strict(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}

fn plus_for_space(text: &str) -> String {
    // `strict` leaves no "%20" that was in the text itself: its '%' has become "%25".
    strict(text).replace("%20", "+")
}

fn lenient(text: &str) -> String {
    utf8_percent_encode(text, NOT_IN_A_QUERY).to_string()
}

/// The pairs written as a query in every order worth trying. Four pairs or fewer: all of them. More: sorted,
/// and sorted with the body's hash at the end, where Twilio adds it. The order in which they came would be
/// the third, but it is gone: the event's type keeps the pairs in a hash map.
fn in_orders(pairs: &[Pair]) -> Vec<String> {
    let mut pairs: Vec<_> = pairs.iter().collect();
    pairs.sort_unstable();
    let mut queries = vec![join(&pairs)];
    if pairs.len() <= MAX_PAIRS_IN_EVERY_ORDER {
        while next_permutation(&mut pairs) {
            queries.push(join(&pairs));
        }
    } else {
        // A stable sort: the others stay as they are.
        pairs.sort_by_key(|(name, _)| name == BODY_HASH_PARAMETER);
        let hash_last = join(&pairs);
        if !queries.contains(&hash_last) {
            queries.push(hash_last);
        }
    }
    queries
}

fn join(pairs: &[&Pair]) -> String {
    let written: Vec<_> = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
    written.join("&")
}

/// Makes the next order of `items` in lexicographic order; false when this was the last. Equal items are not
/// told apart, so no order comes twice.
fn next_permutation<T: Ord>(items: &mut [T]) -> bool {
    let Some(falling) = items.windows(2).rposition(|pair| pair[0] < pair[1]) else {
        return false;
    };
    let Some(larger) = items.iter().rposition(|item| *item > items[falling]) else {
        return false;
    };
    items.swap(falling, larger);
    items[falling + 1..].reverse();
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owned(pairs: &[(&str, &str)]) -> Vec<Pair> {
        pairs.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    #[test]
    fn an_exact_query_is_the_only_one() {
        assert_eq!(RawQuery::Exact("b=%2f&a=+".to_owned()).strings(), ["b=%2f&a=+"]);
        assert_eq!(RawQuery::Exact(String::new()).strings(), [""]);
    }

    #[test]
    fn no_pairs_are_an_empty_query() {
        assert_eq!(RawQuery::Encoded(vec![]).strings(), [""]);
        assert_eq!(RawQuery::Decoded(vec![]).strings(), [""]);
    }

    #[test]
    fn up_to_four_pairs_come_in_every_order_and_none_twice() {
        let query = RawQuery::Encoded(owned(&[("b", "%41"), ("a", "1"), ("b", "2")]));
        assert_eq!(
            query.strings(),
            [
                "a=1&b=%41&b=2",
                "a=1&b=2&b=%41",
                "b=%41&a=1&b=2",
                "b=%41&b=2&a=1",
                "b=2&a=1&b=%41",
                "b=2&b=%41&a=1"
            ]
        );
        let four = owned(&[("a", ""), ("b", ""), ("c", ""), ("d", "")]);
        assert_eq!(RawQuery::Encoded(four).strings().len(), 24);
        assert_eq!(RawQuery::Encoded(owned(&[("a", "1"), ("a", "1")])).strings(), ["a=1&a=1"]);
    }

    #[test]
    fn more_pairs_come_sorted_and_with_the_hash_last_only() {
        let query = RawQuery::Encoded(owned(&[
            ("z", "1"),
            ("c", "1"),
            (BODY_HASH_PARAMETER, "00"),
            ("a", "1"),
            ("d", "1"),
        ]));
        assert_eq!(query.strings(), ["a=1&bodySHA256=00&c=1&d=1&z=1", "a=1&c=1&d=1&z=1&bodySHA256=00"]);
    }

    #[test]
    fn decoded_pairs_are_encoded_in_each_way_that_differs() {
        assert_eq!(RawQuery::Decoded(owned(&[("a", "1-2")])).strings(), ["a=1-2"]);
        assert_eq!(
            RawQuery::Decoded(owned(&[("a", "é /%&+")])).strings(),
            ["a=%C3%A9%20%2F%25%26%2B", "a=%C3%A9+%2F%25%26%2B", "a=%C3%A9%20/%25%26%2B"]
        );
    }

    #[test]
    fn a_name_without_values_is_no_pair_and_no_panic() {
        let map: QueryMap = serde_json::from_str(r#"{"a": [], "b": ["2", "1"]}"#).unwrap();
        assert_eq!(pairs(&map, &QueryMap::default()), owned(&[("b", "2"), ("b", "1")]));
    }

    #[test]
    fn the_map_of_many_values_goes_before_the_map_of_single_ones() {
        let many: QueryMap = serde_json::from_str(r#"{"a": ["1", "2"]}"#).unwrap();
        let single: QueryMap = serde_json::from_str(r#"{"a": "2"}"#).unwrap();
        assert_eq!(pairs(&many, &single), owned(&[("a", "1"), ("a", "2")]));
        assert_eq!(pairs(&QueryMap::default(), &single), owned(&[("a", "2")]));
    }
}
