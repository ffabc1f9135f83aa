//! The options of `millrace simulate`.

use std::{ffi::OsString, fs, net::SocketAddr, ops::RangeInclusive, path::PathBuf, time::Duration};

use clap::{Args, ValueEnum};

use crate::sender::adobe::{Shapes, Spelling};

/// The environment variable that may hold Marketo's token.
const TOKEN_VARIABLE: &str = "SIMULATE_TOKEN";

/// Simulate Marketo and Adobe I/O against an endpoint
///
/// Sends deliveries on a fixed schedule, each sender by its own rules (deadlines, retries, pauses),
/// then prints a report: answer times, measured from the scheduled time of each request, and what a
/// real sender would have done. The exit code is 0 only if all events were delivered and no real
/// sender would have lost events, paused or been disabled.
#[derive(Args, Clone, Debug)]
pub(in crate::cli) struct Options {
    /// URL that receives the deliveries, http or https
    #[arg(long, value_name = "URL")]
    pub to: String,
    /// Sender to simulate
    #[arg(long = "as", value_name = "SENDER")]
    pub sender: Sender,
    /// URL for Adobe's deliveries, if both send and the URLs differ
    #[arg(long, value_name = "URL")]
    pub adobe_to: Option<String>,

    /// Deliveries per second of each sender, independent of the answers. Default: one every two
    /// seconds per connection
    #[arg(long, value_name = "N", value_parser = rate)]
    pub rate: Option<f64>,
    /// Connections of each sender; for Marketo, one subscription per connection
    #[arg(long, value_name = "N", default_value_t = 4)]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub connections: u16,
    /// How long new deliveries are sent
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration)]
    pub duration: Duration,
    /// How long failed deliveries may then still be retried
    #[arg(long, value_name = "TIME", default_value = "2m", value_parser = humantime::parse_duration)]
    pub settle: Duration,
    /// Factor that shortens the senders' minutes and hours; with 60, a minute takes a second
    #[arg(long, value_name = "X", default_value_t = 1.0, value_parser = rate)]
    pub time_scale: f64,
    /// Events per delivery, as `300` or `100-500`. For Adobe, 1 is an event without an array around
    /// it. Default: 100 to 500 from Marketo and 1 to 20 from Adobe
    #[arg(long, value_name = "N", value_parser = range)]
    pub events_per_delivery: Option<RangeInclusive<u32>>,
    /// Prepares this many deliveries per connection and sends them repeatedly: for loads where
    /// creating and signing deliveries would be the bottleneck. Their ids repeat
    #[arg(long, value_name = "N")]
    #[arg(value_parser = clap::value_parser!(u16).range(1..))]
    pub prepare: Option<u16>,
    /// Random seed; the same seed gives the same events
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,

    /// File with Marketo's token. Default: the token in SIMULATE_TOKEN
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// Scheme before the token in the Authorization header
    #[arg(long, value_name = "WORD", default_value = "Bearer")]
    pub token_scheme: TokenScheme,

    /// Recipient client id in Adobe's events
    #[arg(long, value_name = "ID", default_value = "millrace-simulate")]
    pub client_id: String,
    /// How Adobe's own ids are spelled: eventid, event_id, or both at once
    #[arg(long, value_name = "SPELLING", default_value = "both")]
    pub ids: Ids,
    /// Writes Adobe's public keys below this folder, as prod/keys/<file>
    #[arg(long, value_name = "FOLDER")]
    pub keys_folder: Option<PathBuf>,
    /// Address that serves Adobe's public keys over HTTP, as /prod/keys/<file>
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    pub keys_listen: SocketAddr,
    /// Skips Adobe's challenge at the start
    #[arg(long)]
    pub no_challenge: bool,

    /// Prints the report as JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum Sender {
    Marketo,
    Adobe,
    Both,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum TokenScheme {
    #[value(name = "Bearer")]
    Bearer,
    #[value(name = "Basic")]
    Basic,
    #[value(name = "bare")]
    Bare,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum Ids {
    Joined,
    Underscored,
    Both,
}

impl Options {
    pub fn plays_marketo(&self) -> bool {
        self.sender != Sender::Adobe
    }

    pub fn plays_adobe(&self) -> bool {
        self.sender != Sender::Marketo
    }

    pub fn adobe_to(&self) -> &str {
        self.adobe_to.as_deref().unwrap_or(&self.to)
    }

    /// Returns the deliveries per second of each sender.
    pub fn rate(&self) -> f64 {
        self.rate.unwrap_or(f64::from(self.connections) / 2.0)
    }

    /// Returns the time from one delivery of a connection to its next.
    pub fn interval(&self) -> Duration {
        Duration::from_secs_f64(f64::from(self.connections) / self.rate())
    }

    pub fn shapes(&self) -> Shapes {
        match &self.events_per_delivery {
            Some(events) if *events == (1..=1) => Shapes::Single,
            Some(events) => Shapes::Batch(events.clone()),
            None => Shapes::Batch(1..=20),
        }
    }

    pub fn spelling(&self) -> Spelling {
        match self.ids {
            Ids::Joined => Spelling::Joined,
            Ids::Underscored => Spelling::Underscored,
            Ids::Both => Spelling::Both,
        }
    }

    /// Returns the value of the Authorization header; `None` if Marketo does not play. No error quotes the
    /// token.
    pub fn token(&self, environment: &[(OsString, OsString)]) -> Result<Option<String>, String> {
        if !self.plays_marketo() {
            return Ok(None);
        }
        let token = match &self.token_file {
            Some(file) => fs::read_to_string(file).map_err(|error| {
                format!("cannot read the token file {}: {error}", file.display())
            })?,
            None => {
                let found = environment.iter().find(|(name, _)| name == TOKEN_VARIABLE);
                let (_, token) = found.ok_or_else(|| {
                    format!("Marketo needs a token: name a file with --token-file, or set {TOKEN_VARIABLE}")
                })?;
                token.clone().into_string().map_err(|_| format!("{TOKEN_VARIABLE} is no text"))?
            }
        };
        self.token_scheme.header(&token).map(Some)
    }
}

impl TokenScheme {
    /// Returns the value of the header with `token`. No error quotes the token.
    pub fn header(self, token: &str) -> Result<String, String> {
        let token = token.trim();
        let first = token.split(char::is_whitespace).next().unwrap_or_default();
        if token.is_empty() {
            return Err("the token is empty".into());
        }
        if self != Self::Bare && first.len() < token.len() {
            return Err(
                "the token has white space in it: write the token alone, without the scheme; \
                        --token-scheme says which comes before it"
                    .into(),
            );
        }
        Ok(match self {
            Self::Bearer => format!("Bearer {token}"),
            Self::Basic => format!("Basic {token}"),
            Self::Bare => token.to_owned(),
        })
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(duration) if duration >= Duration::from_millis(1) => Ok(duration),
        Ok(_) => Err("must be at least 1ms".into()),
        Err(error) => Err(error.to_string()),
    }
}

/// Parses a number up to a million, and not so small that a day has no delivery.
fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if (1e-5..=1e6).contains(&rate) => Ok(rate),
        Ok(_) => Err("must be a number from 0.00001 to 1000000".into()),
        Err(error) => Err(error.to_string()),
    }
}

fn range(text: &str) -> Result<RangeInclusive<u32>, String> {
    let (least, most) = text.split_once('-').unwrap_or((text, text));
    let number = |text: &str| text.trim().parse::<u32>().map_err(|error| error.to_string());
    let least = number(least)?;
    let most = number(most)?;
    if least == 0 || most < least || most > 100_000 {
        return Err("must be a number from 1 to 100000, or two of them as 100-500".into());
    }
    Ok(least..=most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_make_no_sense_are_refused() {
        assert_eq!(range("300"), Ok(300..=300));
        assert_eq!(range("100-500"), Ok(100..=500));
        for text in ["", "0", "5-2", "-5", "1-", "a", "100001"] {
            assert!(range(text).is_err(), "{text}");
        }
        assert_eq!(rate("0.5"), Ok(0.5));
        for text in ["0", "-1", "nan", "inf", "x", "1e-9"] {
            assert!(rate(text).is_err(), "{text}");
        }
        assert!(duration("0s").is_err() && duration("2m").is_ok());
    }
}
