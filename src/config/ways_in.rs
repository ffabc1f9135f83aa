//! Describes the ways in which a sender of a source may authenticate, for the log of a start, the API and the console.
//! Secrets are left out.

use super::{HeaderScheme, OAuthAuth, SourceConfig};

/// One way to authenticate; each is enough by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WayIn {
    /// The name of the way, for programs.
    pub way: &'static str,
    pub text: String,
    /// The configuration key.
    pub key: String,
}

impl SourceConfig {
    pub fn ways_in(&self) -> Vec<WayIn> {
        let key = |name: &str| format!("sources.{}.auth.{name}", self.name);
        let mut all = Vec::new();
        let mut add = |way, name: &str, text: String| all.push(WayIn { way, text, key: key(name) });
        if let Some(adobe) = &self.auth.adobe {
            let ids = one_of(adobe.client_ids.len(), "the client id", "client ids");
            add("adobe-signature", "client_ids", format!("Adobe I/O's signature, for {ids}"));
        }
        if let Some(auth) = &self.auth.tokens {
            let before = match auth.header_scheme {
                HeaderScheme::Bare => "",
                HeaderScheme::Bearer => "Bearer ",
                HeaderScheme::Basic => "Basic ",
            };
            let token = one_of(auth.tokens.len(), "the token", "tokens");
            add("token", auth.key(), format!("`Authorization: {before}<token>` with {token}"));
            if let Some(name) = &auth.query_parameter {
                let text = format!("the query parameter `{name}` with {token}");
                add("query-token", "query_parameter", text);
            }
        }
        if let Some(certificate) = &self.auth.certificate {
            let names = certificate.names.join(" or ");
            add("certificate", "certificate.names", format!("a client certificate for {names}"));
        }
        if let Some(oauth) = &self.auth.oauth {
            of_oauth(oauth, &mut add);
        }
        all
    }
}

fn of_oauth(oauth: &OAuthAuth, add: &mut dyn FnMut(&'static str, &str, String)) {
    let mut token = |way, name: &str, which: String| {
        add(way, name, format!("`Authorization: Bearer <token>` with a token {which}"));
    };
    if let Some(issuer) = &oauth.issuer {
        token("oauth", "oauth.issuer", format!("signed by {issuer}"));
    } else if let Some(keys) = &oauth.jwks_url {
        let host = keys.host_str().unwrap_or("-");
        token("oauth", "oauth.jwks_url", format!("signed by the keys of {host}"));
    }
    if let Some(asked) = &oauth.introspection {
        let host = asked.url.host_str().unwrap_or("-");
        token("oauth", "oauth.introspection", format!("that {host} calls active"));
    }
    if !oauth.built_in_clients.is_empty() {
        let clients = oauth.built_in_clients.join(" or ");
        token(
            "built-in-token",
            "oauth.built_in_clients",
            format!("of POST /oauth/token for {clients}"),
        );
    }
}

fn one_of(count: usize, one: &str, several: &str) -> String {
    if count == 1 { one.to_owned() } else { format!("one of {count} {several}") }
}

#[cfg(test)]
mod tests {
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
        let ways = |source: &config::SourceConfig| -> Vec<_> {
            source.ways_in().into_iter().map(|way| (way.text, way.key)).collect()
        };
        let way = |text: &str, key: &str| (text.to_owned(), key.to_owned());
        assert_eq!(
            ways(audit),
            [way("Adobe I/O's signature, for the client id", "sources.audit.auth.client_ids")]
        );
        assert_eq!(
            ways(leads),
            [
                way(
                    "`Authorization: Bearer <token>` with one of 2 tokens",
                    "sources.leads.auth.tokens"
                ),
                way(
                    "the query parameter `key` with one of 2 tokens",
                    "sources.leads.auth.query_parameter"
                ),
                way("a client certificate for a.example", "sources.leads.auth.certificate.names"),
                way(
                    "`Authorization: Bearer <token>` with a token signed by https://login.example.com/t",
                    "sources.leads.auth.oauth.issuer"
                ),
            ]
        );
    }
}
