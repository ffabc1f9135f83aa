//! The labels of all outcomes, by what they can be the outcome of: metrics show them from the start.

/// Of requests to a configured source.
pub const OF_A_SOURCE: [&str; 23] = [
    "stored",
    "probe",
    "challenge",
    "validation",
    "validation-later",
    "bad-credentials",
    "bad-token",
    "undecided",
    "foreign-recipient",
    "recipient-unreadable",
    "spool-full",
    "spool-slow",
    "spool-too-large",
    "poisoned",
    "set-aside",
    "closing",
    "body-too-large",
    "inflated-too-large",
    "body-timeout",
    "body-broken",
    "over-budget",
    "client-gone",
    "internal",
];

/// Of requests to anything else.
pub const OF_NO_SOURCE: [&str; 3] = ["unknown-source", "not-found", "method-not-allowed"];

/// Of requests to our own token endpoint.
pub const OF_THE_TOKEN_ENDPOINT: [&str; 3] =
    ["token-issued", "unknown-client", "bad-token-request"];

/// Of connections, before a request was read.
pub const OF_A_CONNECTION: [&str; 7] = [
    "too-many-connections",
    "head-timeout",
    "head-too-large",
    "unreadable",
    "plain-http",
    "tls-handshake",
    "client-certificate",
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::ingest::listen::reply::tests::every_outcome;

    #[test]
    fn every_outcome_is_in_one_of_the_lists() {
        let lists: [&[&str]; 4] =
            [&OF_A_SOURCE, &OF_NO_SOURCE, &OF_THE_TOKEN_ENDPOINT, &OF_A_CONNECTION];
        let listed = lists.concat();
        let labels: BTreeSet<_> = every_outcome().iter().map(|it| it.reply().label).collect();
        assert_eq!(listed.iter().copied().collect::<BTreeSet<_>>(), labels);
        assert_eq!(listed.len(), labels.len(), "one stands twice");
    }
}
