//! Lists come in pages, and each names the next
//! ([paging](https://www.twilio.com/docs/usage/twilios-response#response-formats-list-paging-information)).

use std::collections::BTreeMap;

use serde::{Deserialize, de::DeserializeOwned};

/// Where the next page begins. Of the URL that Twilio gives, only the paging parameters are taken: an
/// answer never decides which host is asked, or with which path.
///
/// It is kept as the query that asks for the page, to go on later where somebody stopped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Next(Vec<(&'static str, String)>);

impl Next {
    fn from_url(url: &str) -> Option<Self> {
        let (_, query) = url.split_once('?')?;
        Self::from_query(query)
    }

    /// From what [`Next::query`] gave.
    #[must_use]
    pub fn from_query(query: &str) -> Option<Self> {
        let next: Vec<_> = form_urlencoded::parse(query.as_bytes())
            .filter_map(|(name, value)| {
                let name = ["Page", "PageToken"].into_iter().find(|known| *known == name)?;
                Some((name, value.into_owned()))
            })
            .collect();
        (!next.is_empty()).then_some(Self(next))
    }

    /// The query that asks for this page, to be kept.
    #[must_use]
    pub fn query(&self) -> String {
        form_urlencoded::Serializer::new(String::new()).extend_pairs(&self.0).finish()
    }

    /// The parameters that ask for this page.
    pub(super) fn fields(&self) -> impl Iterator<Item = (&'static str, String)> {
        self.0.clone().into_iter()
    }
}

/// One page of a list.
#[derive(Clone, Debug)]
pub struct Page<T> {
    /// What is on it.
    pub items: Vec<T>,
    /// The page after it, if any.
    pub next: Option<Next>,
}

#[derive(Deserialize)]
struct Meta {
    /// The name of the field that holds the items.
    key: Option<String>,
    next_page_url: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct RawPage {
    meta: Option<Meta>,
    #[serde(flatten)]
    fields: BTreeMap<String, serde_json::Value>,
}

impl RawPage {
    /// The items under `meta.key`, else under `key`. An item that cannot be read makes the page unreadable:
    /// a list with a hole would be taken for the whole.
    pub(super) fn read<T: DeserializeOwned>(mut self, key: &str) -> Result<Page<T>, super::CallError> {
        let named = self.meta.as_ref().and_then(|meta| meta.key.as_deref()).unwrap_or(key).to_owned();
        let items = self.fields.remove(&named).ok_or(super::Doubt::Unreadable)?;
        let items = serde_json::from_value(items).map_err(|_| super::Doubt::Unreadable)?;
        let next = self.meta.and_then(|meta| meta.next_page_url).and_then(|url| Next::from_url(&url));
        Ok(Page { items, next })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_next_page_elsewhere_is_not_followed_there() {
        let next = Next::from_url("https://evil.example/v1/Steal?Page=2&PageToken=PT%2B1&Address=x").unwrap();
        let fields: Vec<_> = next.fields().collect();
        assert_eq!(fields, [("Page", "2".to_owned()), ("PageToken", "PT+1".to_owned())]);
        assert_eq!(Next::from_query(&next.query()), Some(next));
    }

    #[test]
    fn a_page_names_the_field_that_holds_its_items() {
        let page: RawPage =
            serde_json::from_str(r#"{"meta":{"key":"things","next_page_url":null},"things":[1,2]}"#).unwrap();
        let page = page.read::<u8>("ignored").unwrap();
        assert_eq!((page.items, page.next), (vec![1, 2], None));
    }

    #[test]
    fn a_page_without_its_items_is_not_an_empty_page() {
        let page: RawPage = serde_json::from_str(r#"{"meta":{"key":"things"}}"#).unwrap();
        assert!(page.read::<u8>("things").is_err());
    }
}
