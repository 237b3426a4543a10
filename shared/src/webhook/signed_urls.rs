//! The URLs at which Twilio may have asked for a request.
//!
//! What a Lambda function sees is not what Twilio requested: API Gateway may put the stage before the path or
//! hide it, payload 1.0 and ALB lose the order of the query, and a proxy in front changes the host.

use super::{
    authority::is_authority,
    base_url::PublicBaseUrl,
    request::{RawRequest, without_stage},
};

/// Every URL at which Twilio may have asked, the likeliest first. With payload 2.0 there are at most two;
/// elsewhere at most three paths times the queries that can be rebuilt.
///
/// With a public base URL no header has a say. Without one it is `https://` and the domain name that the
/// front end vouches for, or the `Host` header where there is none (ALB); never an `X-Forwarded-*` header.
pub(super) fn signed_urls(request: &RawRequest, public: Option<&PublicBaseUrl>) -> Vec<String> {
    let (base, paths) = match public {
        Some(public) => (public.as_str().to_owned(), paths_behind_public_base(request)),
        None => match request.domain.as_deref().filter(|domain| is_authority(domain)) {
            Some(domain) => (format!("https://{domain}"), paths(request)),
            None => return vec![],
        },
    };
    let mut urls = vec![];
    for query in request.query.strings() {
        let mark = if query.is_empty() { "" } else { "?" };
        urls.extend(paths.iter().map(|path| format!("{base}{path}{mark}{query}")));
    }
    urls
}

/// The path as given, with or without the stage in front, and as the context of payload 1.0 has it. The
/// stage is part of what Twilio requests at the API's own domain, and not behind a custom domain
/// ([stages](https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-stages.html)).
fn paths(request: &RawRequest) -> Vec<String> {
    let mut paths = paths_behind_public_base(request);
    if let Some(stage) = request.stage.as_deref()
        && without_stage(&request.path, stage).is_none()
    {
        paths.push(format!("/{stage}{}", request.path));
    }
    if let Some(path) = &request.context_path
        && !paths.contains(path)
    {
        paths.push(path.clone());
    }
    paths
}

/// The path as given and without the stage: what the base URL holds of it already is not added again.
fn paths_behind_public_base(request: &RawRequest) -> Vec<String> {
    let mut paths = vec![request.path.clone()];
    let bare = request.path();
    if bare != request.path {
        paths.push(bare.to_owned());
    }
    paths
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn urls(event: Value, public: Option<&str>) -> Vec<String> {
        let request = RawRequest::from_lambda(serde_json::from_value(event).unwrap()).unwrap();
        signed_urls(&request, public.map(|base| base.parse().unwrap()).as_ref())
    }

    fn payload_2(stage: &str, path: &str, query: &str) -> Value {
        json!({
            "rawPath": path, "rawQueryString": query,
            "headers": {
                "host": "host.example", "x-forwarded-host": "forged.example", "x-forwarded-proto": "http",
                "x-forwarded-port": "8080"
            },
            "requestContext": {"stage": stage, "domainName": "api.example", "http": {"method": "POST"}}
        })
    }

    fn alb(host: &str) -> Value {
        json!({
            "requestContext": {"elb": {}}, "httpMethod": "POST", "path": "/x",
            "headers": {"host": host}
        })
    }

    #[test]
    fn the_default_stage_is_in_no_path() {
        assert_eq!(urls(payload_2("$default", "/x/", "b=%2f&a"), None), ["https://api.example/x/?b=%2f&a"]);
    }

    #[test]
    fn another_stage_is_tried_in_the_path_and_out_of_it() {
        assert_eq!(
            urls(payload_2("prod", "/x", ""), None),
            ["https://api.example/x", "https://api.example/prod/x"]
        );
        assert_eq!(
            urls(payload_2("prod", "/prod/x", ""), None),
            ["https://api.example/prod/x", "https://api.example/x"]
        );
    }

    #[test]
    fn the_context_path_of_payload_1_is_tried_too() {
        let event = json!({
            "path": "/x", "httpMethod": "POST", "headers": {},
            "requestContext": {
                "httpMethod": "POST", "stage": "prod", "path": "/mapped/x", "domainName": "api.example"
            }
        });
        assert_eq!(
            urls(event, None),
            ["https://api.example/x", "https://api.example/prod/x", "https://api.example/mapped/x"]
        );
    }

    #[test]
    fn behind_a_public_base_url_no_header_and_no_domain_has_a_say() {
        assert_eq!(
            urls(payload_2("prod", "/prod/x/", "a=1"), Some("http://public.example:8080/base/")),
            ["http://public.example:8080/base/prod/x/?a=1", "http://public.example:8080/base/x/?a=1"]
        );
    }

    #[test]
    fn the_host_header_counts_only_where_the_front_end_names_no_domain() {
        assert_eq!(urls(alb("lb.example:8443"), None), ["https://lb.example:8443/x"]);
    }

    #[test]
    fn a_host_header_cannot_shift_the_border_of_host_and_path() {
        for host in ["lb.example/webhooks", "lb.example?", "lb.example#", "u@lb.example", "", "a b"] {
            assert!(urls(alb(host), None).is_empty(), "{host}");
        }
    }

    #[test]
    fn the_number_of_urls_is_bounded_whatever_the_query_holds() {
        let urls_of = |count: usize| {
            let pairs: serde_json::Map<_, _> =
                (0..count).map(|n| (format!("k{n}"), json!(["/ '"]))).collect();
            let event = json!({
                "path": "/x", "httpMethod": "POST", "headers": {}, "multiValueQueryStringParameters": pairs,
                "requestContext": {
                    "httpMethod": "POST", "stage": "prod", "path": "/mapped/x", "domainName": "api.example"
                }
            });
            urls(event, None).len()
        };
        let (paths, encodings) = (3, 3);
        assert_eq!(urls_of(4), 24 * paths * encodings);
        assert_eq!(urls_of(5), paths * encodings);
        assert_eq!(urls_of(500), paths * encodings);
    }
}
