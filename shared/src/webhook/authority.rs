//! Host and port, as they may stand in a URL that is checked.

/// Whether `text` is a host with an optional port and nothing else.
///
/// A host is letters, digits, `.`, `-` and `_`, or an IPv6 address in brackets. Anything wider would let a
/// sender who chooses the `Host` header move the border between host and path of the signed URL.
pub(super) fn is_authority(text: &str) -> bool {
    let (host, port) = split_port(text);
    is_host(host) && port.is_none_or(is_port)
}

/// Splits `host:port`. A colon inside the brackets of an IPv6 address is no border.
pub(super) fn split_port(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (authority, None),
    }
}

fn is_host(host: &str) -> bool {
    match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            !host.is_empty()
                && host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
        }
    }
}

fn is_port(port: &str) -> bool {
    // `parse` alone would take "+443".
    port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|number| number > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_with_and_without_a_port_are_taken() {
        for text in ["example.com", "example.com:8443", "127.0.0.1:80", "[::1]", "[::1]:443", "a_b-c"] {
            assert!(is_authority(text), "{text}");
        }
    }

    #[test]
    fn whatever_could_shift_the_border_of_host_and_path_is_refused() {
        for text in [
            "", ":443", "a/b", "a?b", "a#b", "u@a", "a b", "a\\b", "a:", "a:0", "a:+1", "a:65536", "a:b",
            "[::1", "::1", "[x]", "a%2Fb", "é",
        ] {
            assert!(!is_authority(text), "{text}");
        }
    }
}
