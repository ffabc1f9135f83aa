//! Checks `kafka.properties` in combination: mistakes that no property shows alone. Above all
//! that librdkafka's default mechanism is one that this build lacks, and that credentials are not used
//! without the protocol that takes them.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read as _},
};

use super::{
    Kafka, login,
    mistake::{Key, Mistakes},
    secret::Secret,
};

type Properties = BTreeMap<String, Secret>;

const MECHANISM_REMEDY: &str =
    "Write SCRAM-SHA-512, SCRAM-SHA-256, PLAIN, OAUTHBEARER or AWS_MSK_IAM.";
const KERBEROS_REMEDY: &str = "Use sasl.mechanism SCRAM-SHA-512, SCRAM-SHA-256, PLAIN, OAUTHBEARER or AWS_MSK_IAM, or \
                      certificates; a build with `--features gssapi` has Kerberos.";
const GRANT_REMEDY: &str = "Use client credentials: sasl.oauthbearer.client.id and client.secret.";

const CERTIFICATE_BEGIN: &str = "-----BEGIN CERTIFICATE-----";

/// The names and values in the section, and the brokers.
#[derive(Clone, Copy)]
pub(super) struct Written<'a> {
    /// All names; a name that is not among `properties` has a mistake, which is reported.
    pub names: &'a [String],
    pub properties: &'a Properties,
    pub servers: &'a str,
}

/// Reports mistakes; returns whether there were none.
pub(super) fn check(mistakes: &mut Mistakes, key: &Key, written: Written<'_>) -> bool {
    let before = mistakes.len();
    let Written { names, properties, servers } = written;
    let mut found = Found { mistakes, key, written: names, properties, servers };
    found.lacking(
        "no other grant of OpenID than client credentials",
        &is_other_grant,
        GRANT_REMEDY,
    );
    if !cfg!(feature = "gssapi") {
        found.lacking("no Kerberos (GSSAPI)", &is_kerberos, KERBEROS_REMEDY);
    }
    found.mechanism();
    found.unused();
    found.providers();
    mistakes.len() == before
}

struct Found<'a> {
    mistakes: &'a mut Mistakes,
    key: &'a Key,
    written: &'a [String],
    properties: &'a Properties,
    servers: &'a str,
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

    /// Reports a feature that this build lacks, once for all properties that need it.
    fn lacking(&mut self, what: &str, is_about_it: &dyn Fn(&str, &str) -> bool, remedy: &str) {
        let about_it = |(name, value): (&String, &Secret)| {
            is_about_it(name, value.expose()).then(|| name.clone())
        };
        let names: Vec<_> = self.properties.iter().filter_map(about_it).collect();
        let Some((first, others)) = names.split_first() else { return };
        let others = match others {
            [] => String::new(),
            others => format!("; so are {}", others.join(", ")),
        };
        self.wrong(first, format!("is not supported: this build has {what}{others}"), remedy);
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
            [] if cfg!(feature = "gssapi") => {}
            [] if self.with_sasl() && !self.lacks_any() => {
                let problem = "is missing: the default, GSSAPI (Kerberos), is not in this build";
                self.wrong("sasl.mechanism", problem, MECHANISM_REMEDY);
            }
            [] => {}
            // The library accepts them in upper case only.
            [(_, mechanism @ ("PLAIN" | "SCRAM-SHA-256" | "SCRAM-SHA-512"))] => {
                self.credentials(mechanism);
            }
            [(_, "OAUTHBEARER")] => self.tokens(),
            [(name, login::MSK_IAM)] => self.msk(name),
            [(_, mechanism)] if mechanism.eq_ignore_ascii_case("GSSAPI") => {}
            [(name, mechanism)] => {
                let problem = format!("is `{mechanism}`, which is no mechanism of this program's");
                self.wrong(name, problem, MECHANISM_REMEDY);
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

    /// Checks the properties of OAUTHBEARER.
    fn tokens(&mut self) {
        // The library makes these tokens itself, for tests.
        if self.is("enable.sasl.oauthbearer.unsecure.jwt", "true") || self.lacks_any() {
            return;
        }
        if let Some(method) =
            self.get(login::METHOD).filter(|method| !method.eq_ignore_ascii_case("oidc"))
        {
            let problem = format!("is `{method}`, and tokens come from an OpenID provider");
            self.wrong(login::METHOD, problem, "Write oidc, or take it away.");
        }
        for (name, what) in [
            (login::TOKEN_URL, "the address that gives tokens"),
            (login::CLIENT_ID, "the id of this service at the provider"),
            (login::CLIENT_SECRET, "the secret of the client"),
        ] {
            let aliases = login::ALIASES.iter().filter(|(_, meant)| *meant == name);
            let mut names = aliases.map(|(alias, _)| *alias).chain([name]);
            if self.with_sasl() && !names.any(|name| self.properties.contains_key(name)) {
                let problem = format!("is missing; OAUTHBEARER requires it: {what}");
                self.wrong(name, problem, "Set it, or put it into a file (…_FILE).");
            }
        }
        if let Some(Err(problem)) = self.get(login::TOKEN_URL).map(login::token_url) {
            let remedy = "Write the provider's https address; http is for this machine alone.";
            self.wrong(login::TOKEN_URL, format!("is {problem}"), remedy);
        }
        if let Some(Err(problem)) = self.get(login::EXTENSIONS).map(login::extensions) {
            let remedy = "Write name=value, several with commas, as in \
                          `logicalCluster=lkc-1,identityPoolId=pool-1`.";
            self.wrong(login::EXTENSIONS, problem, remedy);
        }
        if let Some(file) = self.get(login::CA_FILE) {
            let problem = match std::fs::read_to_string(file) {
                Err(error) => Some(format!("names `{file}`, which cannot be read: {error}")),
                Ok(text) if !text.contains(CERTIFICATE_BEGIN) => {
                    Some(format!("names `{file}`, which holds no certificate in PEM"))
                }
                Ok(_) => None,
            };
            if let Some(problem) = problem {
                let remedy =
                    "Name a file with the certificate of the authority that signs the provider's.";
                self.wrong(login::CA_FILE, problem, remedy);
            }
        }
        let both = [login::CA_FILE, login::CA_PEM];
        if both.iter().all(|name| self.properties.contains_key(*name)) {
            self.wrong(login::CA_PEM, "is given beside https.ca.location", "Keep one of them.");
        }
        for (alias, name) in login::ALIASES {
            if [alias, name].iter().all(|name| self.properties.contains_key(*name)) {
                self.wrong(
                    alias,
                    format!("is given beside {name}, its other name"),
                    "Keep one of them.",
                );
            }
        }
        self.useless_token(&[login::TOKEN_URL, login::CLIENT_SECRET]);
    }

    /// Checks the properties of Amazon MSK.
    fn msk(&mut self, mechanism: &str) {
        match self.get(login::REGION) {
            Some(region) if !login::is_region(region) => {
                let problem = format!("is `{region}`, which is no region of AWS");
                self.wrong(login::REGION, problem, "Write the cluster's region, as in eu-west-1.");
            }
            None if login::region_of(self.servers).is_none() => {
                let problem = "is missing; AWS_MSK_IAM requires it, since kafka.bootstrap_servers are no \
                               names of MSK's, which say the region";
                self.wrong(login::REGION, problem, "Write the cluster's region, as in eu-west-1.");
            }
            _ => {}
        }
        if self.is("security.protocol", "SASL_PLAINTEXT") {
            let problem = "is SASL_PLAINTEXT, and MSK takes IAM's tokens over TLS alone";
            self.wrong(
                "security.protocol",
                problem,
                "Write SASL_SSL; the port is 9098 (9198 from outside).",
            );
        } else if !self.with_sasl() {
            self.useless_token(&[mechanism]);
        }
    }

    /// Reports properties of a token login that the protocol does not use.
    fn useless_token(&mut self, names: &[&str]) {
        let protocol = self.get("security.protocol").map(str::to_uppercase);
        if self.with_sasl() || protocol.as_deref().is_some_and(|protocol| !is_protocol(protocol)) {
            return;
        }
        let protocol = protocol.unwrap_or_else(|| "not set (so it is PLAINTEXT)".to_owned());
        if let Some(name) = names.iter().find(|name| self.properties.contains_key(**name)) {
            let problem = format!("is set, but security.protocol is {protocol}: no token is used");
            self.wrong(name, problem, "Set security.protocol to SASL_SSL, or take it away.");
        }
    }

    /// Reports properties of another mechanism's tokens.
    fn unused_tokens(&mut self) {
        let mechanism = self.get("sasl.mechanism").or_else(|| self.get("sasl.mechanisms"));
        let mechanism = mechanism.unwrap_or("not set").to_owned();
        let unused: &[&str] = match mechanism.as_str() {
            "OAUTHBEARER" => &[login::REGION],
            login::MSK_IAM => &login::OF_OIDC,
            _ => &[&login::OF_OIDC[..], &[login::REGION]].concat(),
        };
        let found = self.properties.keys().find(|name| unused.contains(&login::canonical(name)));
        if let Some(name) = found.cloned() {
            let problem = format!("is set, but sasl.mechanism is {mechanism}: it is not used");
            let needed = if name == login::REGION { login::MSK_IAM } else { "OAUTHBEARER" };
            self.wrong(
                &name,
                problem,
                &format!("Set sasl.mechanism to {needed}, or take it away."),
            );
        }
    }

    /// Reports modules of OpenSSL that a program with an OpenSSL of its own cannot load.
    fn providers(&mut self) {
        let wanted = self.get("ssl.providers").unwrap_or_default();
        let is_fips =
            wanted.split(',').any(|provider| provider.trim().eq_ignore_ascii_case("fips"));
        if is_fips && cfg!(feature = "openssl-vendored") {
            let problem = "asks for `fips`, a module of OpenSSL that has to be installed and validated on this \
                           machine, and this build has an OpenSSL of its own that loads no modules";
            let remedy = "Take it away, or build with `--no-default-features` on a system whose OpenSSL has \
                          the module (the part of this program that receives deliveries uses AWS-LC, not in \
                          its FIPS mode).";
            self.wrong("ssl.providers", problem, remedy);
        }
    }

    /// Whether a property needs a feature that this build lacks, which is reported.
    fn lacks_any(&self) -> bool {
        let lacks = |(name, value): (&String, &Secret)| {
            is_other_grant(name, value.expose())
                || !cfg!(feature = "gssapi") && is_kerberos(name, value.expose())
        };
        self.properties.iter().any(lacks)
    }

    /// Reports credentials, certificates and authorities that the protocol does not use: the operator who wrote them
    /// believes that the connection is protected.
    fn unused(&mut self) {
        if !self.lacks_any() {
            self.unused_tokens();
        }
        let protocol = match self.get("security.protocol") {
            // The library reports an unknown protocol.
            Some(protocol) if !is_protocol(protocol) => return,
            Some(protocol) => format!("security.protocol is {}", protocol.to_uppercase()),
            None => "security.protocol is not set (so it is PLAINTEXT)".to_owned(),
        };
        let sasl = ["sasl.password", "sasl.mechanism", "sasl.mechanisms", "sasl.username"];
        let tls = ["ssl.ca.location", "ssl.certificate.location", "ssl.keystore.location"];
        if !self.with_sasl()
            && let Some(name) = sasl.iter().find(|name| self.properties.contains_key(**name))
            // A missing feature is reported already.
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

fn is_other_grant(name: &str, value: &str) -> bool {
    let rest = name.strip_prefix("sasl.oauthbearer.").unwrap_or_default();
    ["assertion.", "metadata."].iter().any(|prefix| rest.starts_with(prefix))
        || name == login::GRANT && !value.eq_ignore_ascii_case("client_credentials")
}

fn is_kerberos(name: &str, value: &str) -> bool {
    let names_it = ["sasl.mechanism", "sasl.mechanisms"].contains(&name);
    name.starts_with("sasl.kerberos.") || names_it && value.eq_ignore_ascii_case("GSSAPI")
}

/// Returns properties that name unreadable files, each with the problem. For such a file the library
/// reports only a code of OpenSSL.
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
        // `probe` makes the library look for the system's own authorities; a folder holds several.
        let is_file =
            path != "probe" && !path.contains("-----") && !std::path::Path::new(path).is_dir();
        let error = is_file.then(|| readable(path).err()).flatten()?;
        Some(((*name).to_owned(), format!("names `{path}`, which cannot be read: {error}")))
    };
    names.iter().filter_map(problem).collect()
}

fn readable(path: &str) -> io::Result<()> {
    File::open(path)?.read(&mut [0]).map(drop)
}
