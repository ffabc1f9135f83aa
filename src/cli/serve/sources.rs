//! Logs each source at a start: the path of its deliveries, their topics, and how a sender may authenticate. Secrets
//! are left out.

use crate::config::Config;

/// Writes one log line for each source.
pub(super) fn report(config: &Config) {
    let address = config.listen.address;
    let topics = config.topics.name.as_str();
    let scheme = if config.listen.tls.is_some() { "https" } else { "http" };
    for source in &config.sources {
        let ways: Vec<_> = source.ways_in().into_iter().map(|way| way.text).collect();
        tracing::info!(
            source = %source.name,
            kind = source.kind.as_str(),
            url = %format_args!("{scheme}://{address}/v1/{}", source.name),
            topics,
            dead_letters = config.topics.dead_letter.as_str(),
            proof = ways.join(", or "),
            "deliveries of this source are taken",
        );
    }
}
