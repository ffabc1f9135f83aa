//! A request for each reason, and the sources that they go to.

use jsonwebtoken::Algorithm;
use millrace::ingest::authenticate::moment::Moment;
use serde_json::{Value, json};

use crate::{
    oauth::{
        AUDIENCE, CLIENT,
        provider::{CLIENT_ID, CLIENT_SECRET, IdentityProvider, Mood},
        signer::{Signer, claims},
    },
    played::{self, Response},
    signer::{FIRST, STRANGER},
};

/// What a body has of a lead.
pub const PERSONAL: &str = "jane.doe@example.com";

const KEY_PATH: &str = "/prod/keys/pub-key-First1.pem";
const FOREIGN_PATH: &str = "https://evil.example/key.pem";
const FOREIGN_CLIENT: &str = "somebody-elses-project";

pub struct Case {
    pub reason: &'static str,
    pub source: &'static str,
    pub headers: Vec<(&'static str, String)>,
    pub body: String,
}

/// Whom the service asks about what it gets.
pub struct Stage {
    provider: IdentityProvider,
    /// An identity provider that answers nothing.
    silent: IdentityProvider,
    /// Where Adobe I/O's keys are.
    keys: String,
    introspection: String,
    signer: Signer,
}

impl Stage {
    pub fn set() -> Self {
        let signer = Signer::rsa("r");
        let provider = IdentityProvider::start(&[&signer]);
        let silent = IdentityProvider::start(&[]);
        silent.is(Mood::Away);
        let address = played::serve(|request| match request.target.as_str() {
            KEY_PATH => Response::new(200, FIRST.public.as_str()),
            _ => Response::new(404, ""),
        });
        let introspection = format!("{}/introspect", provider.issuer);
        Self { provider, silent, keys: format!("http://{address}"), introspection, signer }
    }

    /// What the service has beside `leads`, `audit` and `adobe`.
    pub fn settings(&self) -> Vec<(&str, &str)> {
        const KIND: &str = "marketo-lead-activity";
        vec![
            ("ADOBE__KEYS_URL", &self.keys),
            ("SOURCES__SIGNED__KIND", KIND),
            ("SOURCES__SIGNED__AUTH__OAUTH__ISSUER", &self.provider.issuer),
            ("SOURCES__SIGNED__AUTH__OAUTH__AUDIENCE", AUDIENCE),
            ("SOURCES__SIGNED__AUTH__OAUTH__CLIENT_IDS", CLIENT),
            ("SOURCES__SIGNED__AUTH__OAUTH__SCOPE", "push"),
            ("SOURCES__ROTATED__KIND", KIND),
            ("SOURCES__ROTATED__AUTH__OAUTH__ISSUER", &self.provider.issuer),
            ("SOURCES__ROTATED__AUTH__OAUTH__AUDIENCE", AUDIENCE),
            ("SOURCES__ASKED__KIND", KIND),
            ("SOURCES__ASKED__AUTH__OAUTH__INTROSPECTION__URL", &self.introspection),
            ("SOURCES__ASKED__AUTH__OAUTH__INTROSPECTION__CLIENT_ID", CLIENT_ID),
            ("SOURCES__ASKED__AUTH__OAUTH__INTROSPECTION__CLIENT_SECRET", CLIENT_SECRET),
            ("SOURCES__ASKED__AUTH__OAUTH__CLIENT_IDS", CLIENT),
            ("SOURCES__SILENT__KIND", KIND),
            ("SOURCES__SILENT__AUTH__OAUTH__ISSUER", &self.silent.issuer),
            ("SOURCES__SILENT__AUTH__OAUTH__AUDIENCE", AUDIENCE),
        ]
    }

    pub fn cases(&self) -> Vec<Case> {
        of_tokens().into_iter().chain(self.of_oauth()).chain(of_adobe()).collect()
    }

    fn of_oauth(&self) -> Vec<Case> {
        let (signer, now) = (&self.signer, Moment::now());
        let good = claims(&self.provider.issuer, now);
        let bearer = |token: String| format!("Bearer {token}");
        let with = |reason, token| bearing("signed", reason, &[&bearer(token)]);
        let but = |name: &str, value: Value| {
            let mut claims = good.clone();
            claims[name] = value;
            signer.sign(&claims)
        };
        let headed = |name: &str, value: Value| {
            let mut header = signer.header();
            header[name] = value;
            signer.sign_as(&header, &good, Algorithm::RS256)
        };
        let mut endless = good.clone();
        endless.as_object_mut().unwrap().remove("exp");
        let unknown = headed("kid", json!("another-key"));
        let forged = Signer::rsa("r").sign(&good);
        vec![
            with("token-malformed", "no.token.at-all".into()),
            with("token-algorithm", headed("alg", json!("ES256"))),
            with("token-critical", headed("crit", json!(["b64"]))),
            bearing("rotated", "token-key-unknown", &[&bearer(unknown)]),
            with("token-signature", forged),
            with("token-no-expiry", signer.sign(&endless)),
            with("token-expired", but("exp", json!(now.unix_seconds - 3600))),
            with("token-not-yet-valid", but("nbf", json!(now.unix_seconds + 3600))),
            with("token-issuer", but("iss", json!("https://another.example"))),
            with("token-audience", but("aud", json!("another-audience"))),
            with("token-client", but("azp", json!("another-client"))),
            with("token-scope", but("scope", json!("pull"))),
            bearing("asked", "token-inactive", &["Bearer a-token-that-was-revoked"]),
            bearing("silent", "provider-unavailable", &[&bearer(signer.sign(&good))]),
        ]
    }

    /// What no place may show: everything that the requests carried as proof.
    pub fn secrets(&self, cases: &[Case]) -> Vec<String> {
        let values = cases.iter().flat_map(|case| &case.headers).map(|(_, value)| value);
        let words = values.map(|it| it.rsplit(' ').next().unwrap_or_default().to_owned());
        let more = ["second-token", CLIENT_SECRET, FOREIGN_CLIENT, "evil.example"];
        // A key's path is no secret, and short signatures are in other words.
        words
            .filter(|it| it.len() > 6 && !it.starts_with("/prod/keys/"))
            .chain(more.map(str::to_owned))
            .collect()
    }
}

/// A delivery with these values of `authorization`.
fn bearing(source: &'static str, reason: &'static str, values: &[&str]) -> Case {
    let headers = values.iter().map(|value| ("authorization", (*value).to_owned())).collect();
    let body = format!(r#"{{"email":"{PERSONAL}"}}"#);
    Case { reason, source, headers, body }
}

fn of_tokens() -> Vec<Case> {
    let with = |reason, values: &[&str]| bearing("leads", reason, values);
    vec![
        with("no-authorization", &[]),
        with("wrong-scheme", &["Basic good-token"]),
        with("two-tokens", &["Bearer good-token", "Bearer good-token"]),
        with("token-unknown", &["Bearer wrong-token"]),
        with("token-of-other-source", &["Bearer audit-token"]),
        bearing("nowhere", "unknown-source", &["Bearer good-token"]),
    ]
}

fn of_adobe() -> Vec<Case> {
    let ours = event(r#","recipientclientid":"our-client-id""#);
    let foreign = event(&format!(r#","recipientclientid":"{FOREIGN_CLIENT}""#));
    let unnamed = event("");
    let no_json = format!("{PERSONAL} and no JSON");
    let signed = |reason, path: &str, signature: String, body: &str| {
        let headers = vec![
            ("x-adobe-digital-signature-1", signature),
            ("x-adobe-public-key1-path", path.to_owned()),
        ];
        Case { reason, source: "adobe", headers, body: body.to_owned() }
    };
    let well = |reason, body: &str| signed(reason, KEY_PATH, FIRST.sign(body.as_bytes()), body);
    let mut half = well("signature-unreadable", &ours);
    half.headers.pop();
    let mut coded = well("recipient-coded", &ours);
    coded.headers.push(("content-encoding", "gzip".into()));
    let unsigned = Case { reason: "no-signature", headers: vec![], ..well("", &ours) };
    let sign = |signer: &crate::signer::Signer| signer.sign(ours.as_bytes());
    vec![
        unsigned,
        half,
        signed("signature-mismatch", KEY_PATH, sign(&STRANGER), &ours),
        signed("key-path-foreign", FOREIGN_PATH, sign(&FIRST), &ours),
        signed("key-unavailable", "/prod/keys/none.pem", sign(&FIRST), &ours),
        well("recipient-foreign", &foreign),
        well("recipient-missing", &unnamed),
        well("recipient-not-json", &no_json),
        coded,
    ]
}

fn event(recipient: &str) -> String {
    format!(
        r#"{{"specversion":"1.0","type":"com.adobe.platform.marketo.audit.user","source":"urn:mlm","id":"1","data":{{"email":"{PERSONAL}"}}{recipient}}}"#
    )
}
