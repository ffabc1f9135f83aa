//! Likely causes of the library's complaints about a connection, and their remedies: the library takes the beginning of
//! an answer in another protocol for an absurd length, has one sentence for every certificate that it does not accept,
//! and passes on a broker's refusal of a login without an explanation.

mod certificate;

use crate::config::{self, Login};

use super::properties;

/// `reason`, with a likely cause where one is known. May look at the broker's certificate, for a few seconds.
pub(super) fn with(kafka: &config::Kafka, reason: String) -> String {
    let reason = plain(&reason);
    let cause = login(kafka, &reason)
        .or_else(|| certificate(&reason))
        .or_else(|| protocol(kafka, &reason).map(str::to_owned));
    match cause {
        Some(cause) => format!("{reason}; {cause}"),
        None => reason,
    }
}

/// Removes hints of the library that mislead.
fn plain(reason: &str) -> String {
    let mut plain = reason.replace(": increase receive.message.max.bytes", "");
    if plain.contains(": broker certificate could not be verified") {
        plain = plain.replace(
            ": broker certificate could not be verified, verify that ssl.ca.location is correctly \
             configured or root CA certificates are installed (install ca-certificates package)",
            "",
        );
    }
    plain
}

/// The cause of a login that a broker refused.
fn login(kafka: &config::Kafka, reason: &str) -> Option<String> {
    if reason.contains("mechanism handshake failed") || reason.contains("nsupported SASL mechanism")
    {
        return Some(
            "the listener takes other mechanisms: check sasl.mechanism, and whether this port is the one \
             for it"
                .into(),
        );
    }
    if !reason.contains("uthentication") || reason.contains("no token for Kafka") {
        return None;
    }
    let cause = match kafka.login() {
        Some(Login::Oidc(_)) => {
            "the provider gave a token, and the brokers do not take it: check sasl.oauthbearer.audience, \
             scope and extensions against what the brokers expect (audience, issuer, the provider's keys), \
             and the clocks"
        }
        Some(Login::Msk(_)) => {
            "check the policy of the role (kafka-cluster:Connect on this cluster), aws.region, and this \
             machine's clock"
        }
        None if reason.contains("SASL") => {
            "check sasl.username and sasl.password, and sasl.mechanism (SCRAM has users for each mechanism)"
        }
        None => return None,
    };
    Some(cause.into())
}

/// The cause of a TLS certificate that this program does not accept: it is fetched once more and examined.
fn certificate(reason: &str) -> Option<String> {
    if !reason.contains("certificate verify failed") {
        return None;
    }
    // `ssl://broker:9093/bootstrap: SSL handshake failed…`
    let (_, rest) = reason.split_once("://")?;
    let (host, port) = rest.split_once('/')?.0.rsplit_once(':')?;
    let host = host.trim_matches(['[', ']']);
    let unknown = || {
        "its certificate is signed by an authority that is unknown here, is for another name, or is out of \
         its time: check ssl.ca.location and the names in the certificate"
            .to_owned()
    };
    Some(certificate::what_is_wrong(host, port.parse().ok()?).unwrap_or_else(unknown))
}

/// The cause of an answer in another protocol.
fn protocol(kafka: &config::Kafka, reason: &str) -> Option<&'static str> {
    let answer = first_bytes(reason);
    let is_encrypted = properties::is_encrypted(kafka);
    let is_text =
        answer.is_some_and(|answer| answer.iter().all(|byte| (b' '..=b'~').contains(byte)));
    let is_like_tls = ["Invalid response size", "isconnected", "transport failure"]
        .iter()
        .any(|text| reason.contains(text));
    if answer == Some(*b"HTTP") {
        return Some(
            "this port speaks HTTP, and no protocol of Kafka's: check kafka.bootstrap_servers",
        );
    }
    if is_text {
        return Some(
            "this port speaks another protocol than Kafka's: check kafka.bootstrap_servers",
        );
    }
    if is_encrypted {
        // The other side answered without a byte of TLS.
        let no_tls =
            ["wrong version number", "packet length too long", "http request", "unknown protocol"];
        if no_tls.iter().any(|text| reason.contains(text)) {
            return Some(
                "this port speaks no TLS: use the port of the brokers' TLS listener, or set \
                 security.protocol to PLAINTEXT (SASL_PLAINTEXT with a password)",
            );
        }
        let is_cut =
            reason.contains("isconnected: SSL") || reason.contains("PLAINTEXT broker listener");
        return is_cut.then_some(
            "a likely cause: this port speaks no TLS, and kafka.properties.security_protocol is SSL or \
             SASL_SSL; or it asks for a client's certificate",
        );
    }
    (is_like_tls && !reason.contains("security.protocol is")).then_some(
        "a likely cause: this port expects TLS, and kafka.properties.security_protocol is not SSL or SASL_SSL",
    )
}

/// The bytes that the library took for the length of an answer.
fn first_bytes(reason: &str) -> Option<[u8; 4]> {
    let (_, rest) = reason.split_once("Invalid response size ")?;
    let digits = rest.split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse().ok().map(u32::to_be_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Secret;

    fn kafka(properties: &[(&str, &str)]) -> config::Kafka {
        let pair = |(name, value): &(&str, &str)| ((*name).into(), Secret::new(value).unwrap());
        config::Kafka {
            bootstrap_servers: "b:9092".into(),
            properties: properties.iter().map(pair).collect(),
            queue_size: 1,
            delivery: Default::default(),
        }
    }

    #[test]
    fn an_answer_in_another_protocol_is_known_by_what_the_library_takes_for_its_length() {
        let kafka = kafka(&[]);
        for (bytes, cause) in [
            (*b"HTTP", "speaks HTTP"),
            (*b"SSH-", "speaks another protocol"),
            ([0x15, 3, 3, 0], "expects TLS"),
        ] {
            let size = u32::from_be_bytes(bytes);
            let reason = format!("b:9092: Receive failed: Invalid response size {size} (0..100)");
            let told = with(&kafka, format!("{reason}: increase receive.message.max.bytes"));
            assert!(told.starts_with(&reason) && told.contains(cause), "{told}");
            assert!(!told.contains("receive.message.max.bytes"), "{told}");
        }
        let refused = "b:9092: Connect failed: Connection refused".to_owned();
        assert_eq!(with(&kafka, refused.clone()), refused);
    }

    #[test]
    fn a_port_without_tls_has_the_remedy_beside_it() {
        let kafka = kafka(&[("security.protocol", "ssl")]);
        let reason = "ssl://b:9092/bootstrap: SSL handshake failed: error:0A00010B:SSL routines::wrong version number";
        let told = with(&kafka, reason.into());
        assert!(
            told.contains("speaks no TLS: use the port") && told.contains("PLAINTEXT"),
            "{told}"
        );
    }

    #[test]
    fn a_refused_login_names_the_properties_that_it_was_made_of() {
        let protocol = ("security.protocol", "SASL_SSL");
        let scram = [protocol, ("sasl.mechanism", "SCRAM-SHA-512")];
        let oidc = [
            protocol,
            ("sasl.mechanism", "OAUTHBEARER"),
            ("sasl.oauthbearer.token.endpoint.url", "https://id.test/"),
            ("sasl.oauthbearer.client.id", "mill"),
            ("sasl.oauthbearer.client.secret", "hunter2"),
        ];
        let msk = [protocol, ("sasl.mechanism", "AWS_MSK_IAM"), ("aws.region", "eu-west-1")];
        for (properties, named) in [
            (&scram[..], "sasl.password"),
            (&oidc[..], "sasl.oauthbearer.audience"),
            (&msk[..], "kafka-cluster:Connect"),
        ] {
            let reason = "sasl_ssl://b:9092: SASL authentication error: no".to_owned();
            let told = with(&kafka(properties), reason);
            assert!(told.contains(named) && !told.contains("hunter2"), "{told}");
        }
    }
}
