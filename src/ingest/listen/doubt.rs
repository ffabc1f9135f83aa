//! Ambiguous heads: the HTTP library accepts them, and a proxy before us may read them differently.
//!
//! - More than one `Host`: each server could choose another one (RFC 9112, section 3.2).
//! - A transfer coding other than `chunked` alone: the library decodes the chunks and nothing else, so the body
//!   would be stored in a coding that none of its headers names.
//!
//! They are answered as unreadable: 503, since a proxy of ours may have made them, and 400 by the admin listener.

use http::{
    HeaderMap,
    header::{HOST, TRANSFER_ENCODING},
};

pub(super) fn is_in_doubt(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    let is_chunked = match (codings.next(), codings.next()) {
        (None, _) => true,
        (Some(coding), None) => coding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked"),
        (Some(_), Some(_)) => false,
    };
    !is_chunked || headers.get_all(HOST).iter().count() > 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_doubt(lines: &[(&'static str, &str)]) -> bool {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().unwrap());
        }
        is_in_doubt(&headers)
    }

    #[test]
    fn chunks_alone_are_clear_and_any_other_transfer_coding_is_not() {
        for clear in
            [&[][..], &[("transfer-encoding", "chunked")], &[("transfer-encoding", "Chunked")]]
        {
            assert!(!in_doubt(clear), "{clear:?}");
        }
        for coding in ["gzip, chunked", "gzip,chunked", "identity, chunked", "chunked, chunked", ""]
        {
            assert!(in_doubt(&[("transfer-encoding", coding)]), "{coding}");
        }
        assert!(in_doubt(&[("transfer-encoding", "gzip"), ("transfer-encoding", "chunked")]));
    }

    #[test]
    fn a_request_names_one_host_at_most() {
        assert!(!in_doubt(&[]) && !in_doubt(&[("host", "here")]));
        assert!(in_doubt(&[("host", "here"), ("host", "there")]));
        assert!(in_doubt(&[("host", "here"), ("host", "here")]));
    }
}
