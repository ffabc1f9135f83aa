//! How this program shows Kafka who it is: what each of the properties alone does not tell. Above all
//! that librdkafka's default mechanism is one that this build lacks, and that credentials are not used
//! without the protocol that takes them.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read as _},
};

use super::{
    Kafka,
    mistake::{Key, Mistakes},
    secret::Secret,
};

type Properties = BTreeMap<String, Secret>;

const MECHANISMS: &str = "Write SCRAM-SHA-512, SCRAM-SHA-256 or PLAIN.";
const OTHERS: &str = "Use sasl.mechanism SCRAM-SHA-512, SCRAM-SHA-256 or PLAIN, or certificates.";

/// Says whether all is well.
///
/// Properties that are among `written` and not among `properties` were reported.
pub(super) fn check(
    mistakes: &mut Mistakes,
    key: &Key,
    written: &[String],
    properties: &Properties,
) -> bool {
    let before = mistakes.len();
    let mut found = Found { mistakes, key, written, properties };
    found.lacking("no OIDC (it would need libcurl)", &is_oidc);
    found.lacking("no Kerberos (GSSAPI)", &is_kerberos);
    found.mechanism();
    found.unused();
    mistakes.len() == before
}

struct Found<'a> {
    mistakes: &'a mut Mistakes,
    key: &'a Key,
    written: &'a [String],
    properties: &'a Properties,
}

impl<'a> Found<'a> {
    fn get(&self, name: &str) -> Option<&'a str> {
        self.properties.get(name).map(Secret::expose)
    }

    fn is(&self, name: &str, value: &str) -> bool {
        self.get(name).is_some_and(|found| found.eq_ignore_ascii_case(value))
    }

    fn wrong(&mut self, name: &str, problem: impl Into<String>, remedy: &str) {
        let is_reported = !self.properties.contains_key(name)
            && self.written.iter().any(|written| written == name);
        if !is_reported {
            self.mistakes.at(&self.key.child(name), problem, remedy);
        }
    }

    /// What this build lacks comes once, however many properties are about it.
    fn lacking(&mut self, what: &str, is_about_it: &dyn Fn(&str, &str) -> bool) {
        let about_it = |(name, value): (&String, &Secret)| {
            is_about_it(name, value.expose()).then(|| name.clone())
        };
        let names: Vec<_> = self.properties.iter().filter_map(about_it).collect();
        let Some((first, others)) = names.split_first() else { return };
        let others = match others {
            [] => String::new(),
            others => format!("; so are {}", others.join(", ")),
        };
        self.wrong(first, format!("is not supported: this build has {what}{others}"), OTHERS);
    }

    fn with_sasl(&self) -> bool {
        self.is("security.protocol", "SASL_SSL") || self.is("security.protocol", "SASL_PLAINTEXT")
    }

    fn with_tls(&self) -> bool {
        self.is("security.protocol", "SASL_SSL") || self.is("security.protocol", "SSL")
    }

    fn mechanism(&mut self) {
        let names = ["sasl.mechanism", "sasl.mechanisms"];
        let given: Vec<_> =
            names.iter().filter_map(|name| Some((*name, self.get(name)?))).collect();
        match given[..] {
            [] if self.with_sasl() && !self.lacks_any() => {
                let problem = "is missing: the default, GSSAPI (Kerberos), is not in this build";
                self.wrong("sasl.mechanism", problem, MECHANISMS);
            }
            [] => {}
            // The library takes them in upper case only.
            [(_, mechanism @ ("PLAIN" | "SCRAM-SHA-256" | "SCRAM-SHA-512"))] => {
                self.credentials(mechanism);
            }
            [(name, mechanism)] => {
                if !is_known_to_be_lacking(mechanism) {
                    let problem = format!("is `{mechanism}`, which librdkafka does not support");
                    self.wrong(name, problem, MECHANISMS);
                } else if mechanism == "OAUTHBEARER" && !self.lacks_any() {
                    let problem = "is refused: OAUTHBEARER gets its tokens by OIDC, which this \
                                   build has not (it would need libcurl)";
                    let unsecured = self.is("enable.sasl.oauthbearer.unsecure.jwt", "true");
                    if !unsecured {
                        self.wrong(name, problem, MECHANISMS);
                    }
                }
            }
            _ => {
                let problem = "is given twice, as sasl.mechanism and as sasl.mechanisms";
                self.wrong("sasl.mechanism", problem, "Keep one of them.");
            }
        }
    }

    fn credentials(&mut self, mechanism: &str) {
        for credential in ["sasl.username", "sasl.password"] {
            if self.with_sasl() && !self.properties.contains_key(credential) {
                let problem = format!("is missing; {mechanism} requires it");
                self.wrong(credential, problem, "Set it, or put it into a file (…_FILE).");
            }
        }
    }

    /// Whether something that this build lacks was reported.
    fn lacks_any(&self) -> bool {
        let lacks = |(name, value): (&String, &Secret)| {
            is_oidc(name, value.expose()) || is_kerberos(name, value.expose())
        };
        self.properties.iter().any(lacks)
    }

    /// Credentials, certificates and authorities that the protocol makes no use of: the operator who wrote them
    /// believes that the connection is protected.
    fn unused(&mut self) {
        let protocol = match self.get("security.protocol") {
            // What is wrong with another one, the library says.
            Some(protocol) if !is_protocol(protocol) => return,
            Some(protocol) => format!("security.protocol is {}", protocol.to_uppercase()),
            None => "security.protocol is not set (so it is PLAINTEXT)".to_owned(),
        };
        let sasl = ["sasl.password", "sasl.mechanism", "sasl.mechanisms", "sasl.username"];
        let tls = ["ssl.ca.location", "ssl.certificate.location", "ssl.keystore.location"];
        if !self.with_sasl()
            && let Some(name) = sasl.iter().find(|name| self.properties.contains_key(**name))
            // This build has none of these, which is reported.
            && !self.lacks_any()
        {
            let problem = format!("is set, but {protocol}: no password is used");
            let remedy = "Set security.protocol to SASL_SSL (or SASL_PLAINTEXT), or take it away.";
            self.wrong(name, problem, remedy);
        }
        if !self.with_tls()
            && let Some(name) = tls.iter().find(|name| self.properties.contains_key(**name))
        {
            let problem = format!("is set, but {protocol}: the connection is not encrypted");
            self.wrong(name, problem, "Set security.protocol to SSL or SASL_SSL, or take it away.");
        }
    }
}

fn is_protocol(name: &str) -> bool {
    let all = ["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"];
    all.iter().any(|one| one.eq_ignore_ascii_case(name))
}

fn is_known_to_be_lacking(mechanism: &str) -> bool {
    mechanism == "OAUTHBEARER" || mechanism.eq_ignore_ascii_case("GSSAPI")
}

fn is_oidc(name: &str, value: &str) -> bool {
    let rest = name.strip_prefix("sasl.oauthbearer.").unwrap_or_default();
    let of_oidc = ["client.", "scope", "extensions", "token.", "grant.", "assertion", "metadata."];
    of_oidc.iter().any(|prefix| rest.starts_with(prefix))
        || name.starts_with("https.ca.")
        || rest == "method" && value.eq_ignore_ascii_case("oidc")
}

fn is_kerberos(name: &str, value: &str) -> bool {
    let names_it = ["sasl.mechanism", "sasl.mechanisms"].contains(&name);
    name.starts_with("sasl.kerberos.") || names_it && value.eq_ignore_ascii_case("GSSAPI")
}

/// Properties that name files which can't be read, each with what is wrong. Of such a file the library
/// says no more than a code of OpenSSL.
pub(super) fn unreadable_files(kafka: &Kafka) -> BTreeMap<String, String> {
    let names = [
        "ssl.ca.location",
        "ssl.certificate.location",
        "ssl.crl.location",
        "ssl.key.location",
        "ssl.keystore.location",
    ];
    let problem = |name: &&str| {
        let path = kafka.properties.get(*name)?.expose();
        // The library looks for the system's own authorities, or is given a folder of them.
        let is_file =
            path != "probe" && !path.contains("-----") && !std::path::Path::new(path).is_dir();
        let error = is_file.then(|| readable(path).err()).flatten()?;
        Some(((*name).to_owned(), format!("names `{path}`, which can't be read: {error}")))
    };
    names.iter().filter_map(problem).collect()
}

fn readable(path: &str) -> io::Result<()> {
    File::open(path)?.read(&mut [0]).map(drop)
}
