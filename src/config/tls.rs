//! `listen.tls`, and the certificates that sources accept.

use std::path::PathBuf;

use figment::value::Value;

use super::{
    Listen, SourceConfig,
    leaf::{Kind, string},
    mistake::{Key, Mistakes},
    reading::{Reading, Section},
    written::list,
};

/// `listen.tls`: files in PEM, read again when they change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// The certificate, followed by the certificates that lead to its authority.
    pub certificate_file: PathBuf,
    pub key_file: PathBuf,
    /// The authorities whose certificates clients may present.
    pub client_ca_file: Option<PathBuf>,
}

/// Client certificates that are accepted, of an authority in `listen.tls.client_ca_file`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateAuth {
    /// Accepted names; at least one.
    pub names: Vec<String>,
}

/// The path of a file; the listener checks whether the file exists and is valid.
pub(super) const FILE: Kind<PathBuf> = Kind {
    parse: |text| match text {
        "" => Err("which names no file".into()),
        _ if text.contains(char::is_control) || text.contains("-----") => {
            Err("which is the content of a file, where its path was due".into())
        }
        _ => Ok(text.into()),
    },
    expected: "Write the path of a file in PEM, as in `/run/secrets/tls/tls.crt`.",
    show: |path| string(&path.to_string_lossy()),
};

/// Reads the section; `Some(None)` where there is no TLS; `None` after a mistake.
pub(super) fn read(reading: &mut Reading, listen: &mut Section) -> Option<Option<Tls>> {
    let mut section = reading.section(listen, "tls");
    let key = section.key.clone();
    let certificate = reading.optional(&mut section, "certificate_file", &FILE);
    let private = reading.optional(&mut section, "key_file", &FILE);
    let authority = reading.optional(&mut section, "client_ca_file", &FILE);
    reading.end(section);
    let certificate = certificate?;
    let private = private?;
    let client_ca_file = authority?;
    // Another file stands in for a missing one, so that the existing ones are checked too.
    let Some(other) = [&certificate, &private, &client_ca_file].into_iter().find_map(Clone::clone)
    else {
        return Some(None);
    };
    let mut needed = |name: &str, file: Option<PathBuf>| {
        file.unwrap_or_else(|| {
            let remedy = "TLS needs both, listen.tls.certificate_file and listen.tls.key_file.";
            reading.mistakes.at(&key.child(name), "is missing", remedy);
            other.clone()
        })
    };
    let certificate_file = needed("certificate_file", certificate);
    let key_file = needed("key_file", private);
    Some(Some(Tls { certificate_file, key_file, client_ca_file }))
}

/// Reads `sources.<name>.auth.certificate`; `Some(None)` where the source accepts no certificates.
pub(super) fn names(reading: &mut Reading, auth: &mut Section) -> Option<Option<CertificateAuth>> {
    let mut section = reading.section(auth, "certificate");
    let names = reading.any_optional(&mut section, "names", written_names);
    reading.end(section);
    Some(names?.map(|names| CertificateAuth { names }))
}

fn written_names(value: &Value) -> Result<(Vec<String>, String), (String, String)> {
    const REMEDY: &str = "Write the names as they stand in the certificate, with commas between \
                          them or as a list.";
    let wrong = |problem: &str| Err((problem.to_owned(), REMEDY.to_owned()));
    let names = match list(value) {
        Ok(names) => names,
        Err(problem) => return wrong(&problem),
    };
    if names.is_empty() || names.iter().any(String::is_empty) {
        return wrong("has a name that is empty, or none at all");
    }
    if names.iter().any(|name| name.contains('*')) {
        return wrong("has a pattern in it, and names are compared as they stand");
    }
    let shown: Vec<_> = names.iter().map(|name| string(name)).collect();
    Ok((names, format!("[{}]", shown.join(", "))))
}

/// Refuses names of certificates without an authority: no client would be asked for its certificate.
pub(super) fn rules(listen: &Listen, sources: &[SourceConfig], mistakes: &mut Mistakes) {
    if listen.tls.as_ref().is_some_and(|tls| tls.client_ca_file.is_some()) {
        return;
    }
    for source in sources.iter().filter(|source| source.auth.certificate.is_some()) {
        let key = Key::of(&["sources", source.name.as_str(), "auth", "certificate", "names"]);
        let problem = "is set, and clients are never asked for a certificate";
        mistakes.at(&key, problem, "Set listen.tls.client_ca_file as well.");
    }
}
