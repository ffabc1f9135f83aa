//! Amazon MSK with IAM: the token is the address of a request to AWS, signed and never sent (the broker sends it).
//!
//! No SDK of AWS: it would bring some forty crates and a second implementation of cryptography for one
//! signature. The README lists what is missing: profiles and SSO of `~/.aws`, and a further role.

mod credentials;
mod signature;

use std::time::{Duration, SystemTime};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use super::Token;
use crate::config::{Msk, Secret};
use credentials::{Credentials, Places};
use signature::{Presigned, encoded};

/// Longest lifetime that brokers allow.
const TOKEN_LIFETIME: Duration = Duration::from_secs(900);

pub(super) async fn fetch(msk: &Msk) -> Result<Token, String> {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let credentials = credentials::find(&variable, &msk.region, &Places::REAL).await?;
    token(msk, &credentials, SystemTime::now())
}

fn token(msk: &Msk, credentials: &Credentials, now: SystemTime) -> Result<Token, String> {
    let ends = credentials.ends.map_or(now + TOKEN_LIFETIME, |ends| ends.min(now + TOKEN_LIFETIME));
    let host = host(&msk.region);
    let signed = Presigned {
        region: &msk.region,
        service: "kafka-cluster",
        host: &host,
        query: &[("Action", "kafka-cluster:Connect")],
        lifetime: TOKEN_LIFETIME,
    };
    let query = signed.query(credentials, now);
    // The broker's request carries it into AWS's own records; it is not signed.
    let agent = encoded(concat!("millrace/", env!("CARGO_PKG_VERSION")));
    let address = format!("https://{host}/?{query}&User-Agent={agent}");
    let text = Secret::new(URL_SAFE_NO_PAD.encode(address)).ok_or("the token is empty")?;
    Ok(Token { text, ends, extensions: Vec::new() })
}

/// The host of MSK's API: its domain is the same in every partition, as in AWS's own signers.
fn host(region: &str) -> String {
    format!("kafka.{region}.amazonaws.com")
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    #[test]
    fn the_token_is_a_signed_address_that_ends_with_the_credentials() {
        let now = UNIX_EPOCH + Duration::from_secs(1_440_938_160);
        let mut credentials = Credentials::example(Some("a/session+token="));
        credentials.ends = Some(now + Duration::from_secs(60));
        let msk = Msk { region: "eu-west-1".into() };
        let token = token(&msk, &credentials, now).unwrap();
        assert_eq!(token.ends, now + Duration::from_secs(60));
        let address = URL_SAFE_NO_PAD.decode(token.text.expose()).unwrap();
        let address = String::from_utf8(address).unwrap();
        let parts = [
            "https://kafka.eu-west-1.amazonaws.com/?Action=kafka-cluster%3AConnect&X-Amz-Algorithm=AWS4-HMAC-SHA256",
            "&X-Amz-Credential=AKIDEXAMPLE%2F20150830%2Feu-west-1%2Fkafka-cluster%2Faws4_request",
            "&X-Amz-Date=20150830T123600Z&X-Amz-Expires=900",
            "&X-Amz-Security-Token=a%2Fsession%2Btoken%3D&X-Amz-SignedHeaders=host&X-Amz-Signature=",
            "&User-Agent=millrace%2F",
        ];
        for part in parts {
            assert!(address.contains(part), "{address}");
        }
        assert!(
            !format!("{token:?} {credentials:?}").contains("a/session"),
            "a secret is never shown"
        );
    }
}
