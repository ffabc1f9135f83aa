//! What a start says of each source: the path of its deliveries, their topics, and how a sender may prove itself. No
//! secret is in it.

use crate::{
    config::{Auth, Config, HeaderScheme, OAuthAuth, SourceConfig},
    source::SourceKind,
};

/// One line of the log a source.
pub(super) fn report(config: &Config) {
    let (address, topics) = (config.listen.address, config.topics.name.as_str());
    let scheme = if config.listen.tls.is_some() { "https" } else { "http" };
    for source in &config.sources {
        tracing::info!(
            source = %source.name,
            kind = source.kind.as_str(),
            url = %format_args!("{scheme}://{address}/v1/{}", source.name),
            topics,
            dead_letters = config.topics.dead_letter.as_str(),
            proof = ways(source).join(", or "),
            "deliveries of this source are taken",
        );
    }
}

/// Each way by itself is enough.
fn ways(source: &SourceConfig) -> Vec<String> {
    let Auth { tokens, certificate, oauth, adobe } = &source.auth;
    let mut ways = Vec::new();
    if let Some(adobe) = adobe.as_ref().filter(|_| source.kind == SourceKind::AdobeIo) {
        let ids = adobe.client_ids.len();
        let ids =
            if ids == 1 { "the client id".to_owned() } else { format!("one of {ids} client ids") };
        ways.push(format!("Adobe's signatures, for {ids}"));
    }
    if let Some(tokens) = tokens {
        let before = match tokens.header_scheme {
            HeaderScheme::Bare => "",
            HeaderScheme::Bearer => "Bearer ",
            HeaderScheme::Basic => "Basic ",
        };
        let count = tokens.tokens.len();
        let which =
            if count == 1 { "the token".to_owned() } else { format!("one of {count} tokens") };
        ways.push(format!("`Authorization: {before}<token>`, {which}"));
        if let Some(name) = &tokens.query_parameter {
            ways.push(format!("`?{name}=<token>`"));
        }
    }
    if let Some(certificate) = certificate {
        ways.push(format!("a client certificate for {}", certificate.names.join(" or ")));
    }
    ways.extend(oauth.iter().flat_map(of_oauth));
    ways
}

fn of_oauth(oauth: &OAuthAuth) -> Vec<String> {
    let mut ways = Vec::new();
    if let Some(issuer) = &oauth.issuer {
        ways.push(format!("OAuth: a token signed by {issuer}"));
    } else if let Some(keys) = &oauth.jwks_url {
        ways.push(format!(
            "OAuth: a token signed by the keys of {}",
            keys.host_str().unwrap_or("-")
        ));
    }
    if let Some(asked) = &oauth.introspection {
        ways.push(format!(
            "OAuth: a token that {} calls active",
            asked.url.host_str().unwrap_or("-")
        ));
    }
    if !oauth.built_in_clients.is_empty() {
        let clients = oauth.built_in_clients.join(" or ");
        ways.push(format!("OAuth: a token of POST /oauth/token for {clients}"));
    }
    ways
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    #[test]
    fn each_way_in_is_named_and_no_secret_is() {
        let variables = [
            ("KAFKA__BOOTSTRAP_SERVERS", "a:1"),
            ("LISTEN__TLS__CERTIFICATE_FILE", "/c"),
            ("LISTEN__TLS__KEY_FILE", "/k"),
            ("LISTEN__TLS__CLIENT_CA_FILE", "/ca"),
            ("SOURCES__LEADS__KIND", "marketo-lead-activity"),
            ("SOURCES__LEADS__AUTH__TOKENS", "hunter2,hunter3"),
            ("SOURCES__LEADS__AUTH__QUERY_PARAMETER", "key"),
            ("SOURCES__LEADS__AUTH__CERTIFICATE__NAMES", "a.example"),
            ("SOURCES__LEADS__AUTH__OAUTH__ISSUER", "https://login.example.com/t"),
            ("SOURCES__LEADS__AUTH__OAUTH__AUDIENCE", "us"),
            ("SOURCES__AUDIT__KIND", "adobe-io"),
            ("SOURCES__AUDIT__AUTH__CLIENT_IDS", "us"),
        ];
        let variables = variables.map(|(key, value)| (format!("MILLRACE_{key}"), value.to_owned()));
        let config = config::load(None, variables).unwrap_or_else(|it| panic!("{it}"));
        let [audit, leads] = &config.sources[..] else { panic!("two sources") };
        assert_eq!(ways(audit), ["Adobe's signatures, for the client id"]);
        assert_eq!(
            ways(leads),
            [
                "`Authorization: Bearer <token>`, one of 2 tokens",
                "`?key=<token>`",
                "a client certificate for a.example",
                "OAuth: a token signed by https://login.example.com/t",
            ]
        );
    }
}
