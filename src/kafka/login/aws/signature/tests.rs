//! Against AWS's published test suite (`aws-signing-test-suite/v4`, signatures in the query): the cases with a request
//! of this kind.

use std::time::UNIX_EPOCH;

use super::*;

/// The name in the suite; query, session token, hash of the canonical request, signature.
type Vector = (
    &'static str,
    &'static [(&'static str, &'static str)],
    Option<&'static str>,
    [&'static str; 2],
);

const UNRESERVED: &str = "-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

const SUITE: [Vector; 6] = [
    (
        "get-vanilla",
        &[],
        None,
        [
            "bb7705b4aa3cb8e8f5e1e0b3d4c0b64030797a313c8ceee43e33117cc43eadc5",
            "e93c787ed7f371d5c6b165c1b38ede9550f4dce4144713e844b25b7192d3865d",
        ],
    ),
    (
        "get-vanilla-empty-query-key",
        &[("Param1", "value1")],
        None,
        [
            "74828b608f939673ed5a839190452a943b0178760f258da766209b21f8ca3f86",
            "49096700cbbaa5753443850f40df10f904fc2fdb544dc9512203cc77c471a9de",
        ],
    ),
    (
        "get-vanilla-query-order-key-case",
        &[("Param2", "value2"), ("Param1", "value1")],
        None,
        [
            "b82878ecb2ab7ad194b9fe79b2946c2a36ee1627a219408089b2d774c1a0cedb",
            "86012e2c9ad4d77369f5d81c11f75158aae4f895a085212cc6d3f923d300bed5",
        ],
    ),
    (
        "get-vanilla-query-unreserved",
        &[(UNRESERVED, UNRESERVED)],
        None,
        [
            "c77f27ef2b499fbfee3f0b3c88bba7057b2b31ee9b62047078a5e0d6be91fd58",
            "8e76a88a7433637b12778d5592799b29ad21ecd6cf6325051c21d86f0acda2bf",
        ],
    ),
    (
        "get-vanilla-utf8-query",
        &[("ሴ", "bar")],
        None,
        [
            "b2e8ae8e48ec880defebc6f6dc1d9fbc9f1856b33146f2943060ca71a50a7a77",
            "0bdd809b1519ac4f0c1dc3540e2cc46bd0c7f778eda408b2ebf3b913d21ff600",
        ],
    ),
    (
        "get-vanilla-with-session-token",
        &[],
        Some("6e86291e8372ff2a2260956d9b8aae1d763fbf315fa00fa31553b73ebf194267"),
        [
            "cb30434103085aa9e73780fc60dc9a9df818fd2a7b1de12a9f6f4d791f898761",
            "7ff2b50b376cb4d151970630573d6291dc128cc5c2a12ffb237f73cc53f67b6c",
        ],
    ),
];

#[test]
fn signatures_are_those_of_awss_test_suite() {
    let now = UNIX_EPOCH + Duration::from_secs(1_440_938_160); // 2015-08-30T12:36:00Z
    for (name, query, session, [hash, signature]) in SUITE {
        let signed = Presigned {
            region: "us-east-1",
            service: "service",
            host: "example.amazonaws.com",
            query,
            lifetime: Duration::from_secs(3600),
        };
        let credentials = Credentials::example(session);
        let unsigned = signed.unsigned_query(&credentials, now);
        let to_sign = signed.string_to_sign(now, &unsigned);
        let expected = format!(
            "AWS4-HMAC-SHA256\n20150830T123600Z\n20150830/us-east-1/service/aws4_request\n{hash}"
        );
        assert_eq!(to_sign, expected, "{name}: {}", signed.canonical_request(&unsigned));
        let query = signed.query(&credentials, now);
        assert_eq!(query, format!("{unsigned}&X-Amz-Signature={signature}"), "{name}");
    }
}
