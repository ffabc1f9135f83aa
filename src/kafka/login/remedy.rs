//! Errors of a provider for the log: bounded, in one line, without a secret, and with a remedy.

use crate::runtime::fetch::FetchError;

/// Limit of quoted foreign text.
const MAX_QUOTED_CHARS: usize = 300;

/// `text` in one line of bounded length, without `secrets`.
pub(super) fn said(text: &str, secrets: &[&str]) -> String {
    let hidden = secrets
        .iter()
        .filter(|secret| !secret.is_empty())
        .fold(text.to_owned(), |text, secret| text.replace(secret, "***"));
    let line: String =
        hidden.chars().map(|c| if c.is_control() || c.is_whitespace() { ' ' } else { c }).collect();
    let words = line.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
    match words.char_indices().nth(MAX_QUOTED_CHARS) {
        Some((end, _)) => format!("{}…", &words[..end]),
        None => words,
    }
}

/// The reason why a provider does not answer, and the remedy.
pub(super) fn unreachable(error: &FetchError, authorities: &str, address: &str) -> String {
    let text = error.to_string();
    let is_certificate = text.contains("certificate") || text.contains("UnknownIssuer");
    let remedy = match error {
        FetchError::Unreachable { .. } if is_certificate => {
            format!("check the provider's certificate, and {authorities} for who may sign it")
        }
        FetchError::Timeout { .. } => {
            format!("check {address}, and what is in between (a firewall, HTTPS_PROXY, NO_PROXY)")
        }
        _ => format!("check {address}"),
    };
    format!("{text}; {remedy}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_provider_says_is_one_short_line_without_the_secret() {
        let text = format!("bad\r\n\tsecret hunter2 {}", "x".repeat(1000));
        let said = said(&text, &["hunter2", ""]);
        assert!(said.starts_with("bad secret *** xxx") && said.ends_with('…'), "{said}");
        assert_eq!(said.chars().count(), MAX_QUOTED_CHARS + 1);
    }
}
