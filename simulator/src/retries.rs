//! When Twilio sends a webhook again. TaskRouter does as the connection overrides in the fragment of its URL
//! say (`#rc=3&rp=all`); Conversations takes none and never retries.
//! See <https://www.twilio.com/docs/usage/webhooks/webhooks-connection-overrides>.

/// The most retries that can be asked for.
const RETRIES_AT_MOST: u32 = 5;

/// What the fragment of a URL asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Overrides<'a> {
    /// How many times after the first.
    retries: u32,
    /// For what: `ct`, `rt`, `4xx`, `5xx` or `all`.
    policies: Vec<&'a str>,
}

impl<'a> Overrides<'a> {
    /// Reads the fragment. What is not there or makes no sense is as Twilio has it without: one retry, and
    /// only when it could not connect.
    pub(crate) fn of(url: &'a str) -> Self {
        let fragment = url.split_once('#').map_or("", |(_, fragment)| fragment);
        let field = |name: &str| {
            fragment.split('&').filter_map(|pair| pair.split_once('=')).find(|(key, _)| *key == name)
        };
        let retries = field("rc").and_then(|(_, count)| count.parse().ok()).unwrap_or(1);
        let policies = field("rp").map_or("ct", |(_, policies)| policies);
        Self { retries: u32::min(retries, RETRIES_AT_MOST), policies: policies.split(',').collect() }
    }

    /// Whether a delivery that ended so is made again. `status` is none if there was no answer, be it that
    /// the connection or the answer did not come in time.
    pub(crate) fn retry(&self, attempt: u32, status: Option<u16>) -> bool {
        let names: &[&str] = match status {
            None => &["ct", "rt", "all"],
            Some(400..500) => &["4xx", "all"],
            Some(500..600) => &["5xx", "all"],
            Some(_) => &[],
        };
        attempt <= self.retries && self.policies.iter().any(|policy| names.contains(policy))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn retried(fragment: &str, status: Option<u16>) -> usize {
        let url = format!("https://example.com/hook?a=1{fragment}");
        let overrides = Overrides::of(&url);
        (1..10).take_while(|attempt| overrides.retry(*attempt, status)).count()
    }

    #[test]
    fn without_a_word_only_a_connection_that_failed_is_tried_again_once() {
        for fragment in ["", "#", "#rc=many", "#e=dublin"] {
            assert_eq!([None, Some(500), Some(404), Some(204)].map(|s| retried(fragment, s)), [1, 0, 0, 0]);
        }
    }

    #[test]
    fn the_fragment_says_how_often_and_for_what() {
        for (fragment, expected) in [
            ("#rc=3&rp=all", [3, 3, 3, 0]),
            ("#rp=all&rt=10000&rc=9", [5, 5, 5, 0]),
            ("#rc=2&rp=5xx", [0, 2, 0, 0]),
            ("#rc=2&rp=4xx,rt", [2, 0, 2, 0]),
            ("#rc=0&rp=all", [0, 0, 0, 0]),
        ] {
            let found = [None, Some(503), Some(429), Some(302)].map(|status| retried(fragment, status));
            assert_eq!(found, expected, "{fragment}");
        }
    }
}
