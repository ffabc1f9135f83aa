//! What is likely behind a complaint of the library's about a connection: it takes the beginning of an answer
//! in another protocol for an absurd length, and has no word for a port that ends the connection.

use crate::config;

use super::properties;

/// `reason`, with a likely cause where there is one.
pub(super) fn with(kafka: &config::Kafka, reason: String) -> String {
    let answer = first_bytes(&reason);
    let is_http = answer == Some(*b"HTTP");
    let is_text =
        answer.is_some_and(|answer| answer.iter().all(|byte| (b' '..=b'~').contains(byte)));
    // A TLS listener ends a connection without encryption, or answers with an alert.
    let is_told = reason.contains("security.protocol") || properties::is_encrypted(kafka);
    let is_like_tls = ["Invalid response size", "isconnected", "transport failure"]
        .iter()
        .any(|text| reason.contains(text));
    let cause = if is_http {
        "this port speaks HTTP, and no protocol of Kafka's"
    } else if is_text {
        "this port speaks another protocol than Kafka's"
    } else if is_like_tls && !is_told {
        "a likely cause: this port expects TLS, and kafka.properties.security_protocol is not SSL or SASL_SSL"
    } else if properties::is_encrypted(kafka) && reason.contains("isconnected: SSL") {
        "a likely cause: this port speaks no TLS, and kafka.properties.security_protocol is SSL or SASL_SSL; \
         or it asks for a client's certificate"
    } else {
        return reason;
    };
    format!("{reason}; {cause}")
}

/// What the library took for the length of an answer.
fn first_bytes(reason: &str) -> Option<[u8; 4]> {
    let (_, rest) = reason.split_once("Invalid response size ")?;
    let digits = rest.split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse().ok().map(u32::to_be_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_in_another_protocol_is_known_by_what_the_library_takes_for_its_length() {
        let kafka = config::Kafka {
            bootstrap_servers: "b:9092".into(),
            properties: Default::default(),
            queue_size: 1,
            delivery: Default::default(),
        };
        for (bytes, cause) in [
            (*b"HTTP", "speaks HTTP"),
            (*b"SSH-", "speaks another protocol"),
            ([0x15, 3, 3, 0], "expects TLS"),
        ] {
            let size = u32::from_be_bytes(bytes);
            let reason = format!("b:9092: Receive failed: Invalid response size {size} (0..100)");
            let told = with(&kafka, reason.clone());
            assert!(told.starts_with(&reason) && told.contains(cause), "{told}");
        }
        let refused = "b:9092: Connect failed: Connection refused".to_owned();
        assert_eq!(with(&kafka, refused.clone()), refused);
    }
}
