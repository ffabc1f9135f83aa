//! The validity of the certificate: metrics of its start and end, and a log line ahead of its end and while it is not
//! valid yet.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::pki_types::CertificateDer;
use x509_parser::{certificate::X509Certificate, prelude::FromDer};

use crate::observe::metrics::Metrics;

/// Seconds before the end at which the log begins to warn; for a certificate with a short life, a quarter of it.
/// Automatic renewal happens with a third of the life left.
const WARNING_SECONDS: u64 = 14 * DAY;

/// Shortest time between two reminders.
const REMINDER_INTERVAL: Duration = Duration::from_secs(DAY);

const DAY: u64 = 24 * 60 * 60;

/// Start and end of a chain's validity, in Unix seconds: it is valid while all of its certificates are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Validity {
    from: u64,
    until: u64,
}

impl Validity {
    /// Reads the validity of `chain`; `None` when one of its certificates cannot be read.
    pub fn of(chain: &[CertificateDer<'_>]) -> Option<Self> {
        let each = chain.iter().map(|der| {
            let (_, certificate) = X509Certificate::from_der(der).ok()?;
            let validity = certificate.validity();
            let seconds = |time: i64| u64::try_from(time).unwrap_or(0);
            Some(Self {
                from: seconds(validity.not_before.timestamp()),
                until: seconds(validity.not_after.timestamp()),
            })
        });
        let both =
            |a: Self, b: Self| Self { from: a.from.max(b.from), until: a.until.min(b.until) };
        let all: Option<Vec<_>> = each.collect();
        all?.into_iter().reduce(both)
    }

    /// Checks the validity at `now`. The error goes on from the file's name: "contains a certificate that …".
    pub fn at(self, now: SystemTime) -> Result<(), String> {
        let now = unix(now);
        let date = |seconds| {
            humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(seconds)).to_string()
        };
        if now < self.from {
            return Err(format!(
                "contains a certificate that is not valid before {}",
                date(self.from)
            ));
        }
        if now >= self.until {
            return Err(format!("contains a certificate that expired on {}", date(self.until)));
        }
        Ok(())
    }

    /// Returns the notice that is due for the log at `now`.
    fn notice(self, now: u64) -> Option<Notice> {
        let ahead = WARNING_SECONDS.min(self.until.saturating_sub(self.from) / 4);
        if now < self.from {
            return Some(Notice::ValidIn(self.from - now));
        }
        match self.until.saturating_sub(now) {
            0 => Some(Notice::Expired),
            left if left <= ahead => Some(Notice::ExpiresIn(left)),
            _ => None,
        }
    }
}

/// Times in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Notice {
    ValidIn(u64),
    ExpiresIn(u64),
    Expired,
}

fn unix(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// Shows the validity of the certificate in use as metrics, and reminds of its end in the log.
pub(super) struct Reminder {
    validity: Validity,
    reminded: Option<SystemTime>,
    metrics: Metrics,
}

impl Reminder {
    pub fn new(validity: Validity, metrics: &Metrics) -> Self {
        let mut reminder = Self { validity, reminded: None, metrics: metrics.clone() };
        reminder.is_now(validity);
        reminder
    }

    /// Takes the validity of another certificate that is now in use.
    pub fn is_now(&mut self, validity: Validity) {
        let seconds = |time| i64::try_from(time).unwrap_or(i64::MAX);
        let Metrics { tls_certificate_expiry, tls_certificate_start, .. } = &self.metrics;
        tls_certificate_expiry.with_label_values(&[KEY]).set(seconds(validity.until));
        tls_certificate_start.with_label_values(&[KEY]).set(seconds(validity.from));
        self.validity = validity;
        self.reminded = None;
    }

    pub fn remind(&mut self, now: SystemTime) {
        let Some(notice) = self.validity.notice(unix(now)) else { return };
        let quiet =
            |reminded| now.duration_since(reminded).is_ok_and(|since| since < REMINDER_INTERVAL);
        if self.reminded.is_some_and(quiet) {
            return;
        }
        self.reminded = Some(now);
        match notice {
            Notice::ValidIn(seconds) => tracing::error!(
                key = KEY,
                hours_until = seconds.div_ceil(3600),
                "TLS certificate not valid yet; senders cannot connect until it is valid or replaced; \
                 check this machine's clock"
            ),
            Notice::Expired => tracing::error!(
                key = KEY,
                "TLS certificate expired; senders cannot connect until it is replaced"
            ),
            Notice::ExpiresIn(left) => tracing::warn!(
                key = KEY,
                hours_left = left / 3600,
                "TLS certificate expires soon; a replacement is loaded without a restart"
            ),
        }
    }
}

const KEY: &str = "listen.tls.certificate_file";

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    fn certificate(from: (i32, u8, u8), until: (i32, u8, u8)) -> CertificateDer<'static> {
        let mut params = CertificateParams::new(vec!["here".to_owned()]).unwrap();
        params.not_before = date_time_ymd(from.0, from.1, from.2);
        params.not_after = date_time_ymd(until.0, until.1, until.2);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone()
    }

    #[test]
    fn a_chain_is_valid_while_all_of_it_is() {
        let leaf = certificate((2026, 1, 2), (2027, 1, 1));
        let issuer = certificate((2026, 1, 1), (2026, 7, 1));
        let validity = Validity::of(&[leaf, issuer]).unwrap();
        assert_eq!(validity, Validity { from: 1_767_312_000, until: 1_782_864_000 });
        assert_eq!(Validity::of(&[CertificateDer::from(vec![1, 2, 3])]), None);
    }

    #[test]
    fn a_certificate_out_of_its_time_is_named_with_the_date() {
        let at = |day: u64| UNIX_EPOCH + Duration::from_secs(day * DAY);
        let validity = Validity { from: 10 * DAY, until: 20 * DAY };
        assert_eq!(validity.at(at(10)), Ok(()));
        assert!(validity.at(at(9)).unwrap_err().ends_with("not valid before 1970-01-11T00:00:00Z"));
        assert!(validity.at(at(20)).unwrap_err().ends_with("expired on 1970-01-21T00:00:00Z"));
    }

    #[test]
    fn the_log_warns_two_weeks_ahead_or_for_the_last_quarter_of_a_short_life() {
        let year = Validity { from: 0, until: 365 * DAY };
        assert_eq!(year.notice(351 * DAY - 1), None);
        assert_eq!(year.notice(351 * DAY), Some(Notice::ExpiresIn(14 * DAY)));
        assert_eq!(year.notice(365 * DAY), Some(Notice::Expired));
        assert_eq!(year.notice(400 * DAY), Some(Notice::Expired));
        let day = Validity { from: 0, until: DAY };
        assert_eq!(day.notice(DAY * 3 / 4 - 1), None);
        assert_eq!(day.notice(DAY * 3 / 4), Some(Notice::ExpiresIn(DAY / 4)));
        let later = Validity { from: 10 * DAY, until: 365 * DAY };
        assert_eq!(later.notice(9 * DAY), Some(Notice::ValidIn(DAY)));
        assert_eq!(later.notice(10 * DAY), None);
    }

    #[test]
    fn a_reminder_comes_once_a_day_and_at_once_for_another_certificate() {
        let at = |day: u64| UNIX_EPOCH + Duration::from_secs(day * DAY);
        let mut reminder = Reminder::new(Validity { from: 0, until: 365 * DAY }, &Metrics::new());
        let is_reminded = |reminder: &mut Reminder, now| {
            let before = reminder.reminded;
            reminder.remind(now);
            reminder.reminded != before
        };
        assert!(!is_reminded(&mut reminder, at(300)));
        assert!(is_reminded(&mut reminder, at(352)));
        assert!(!is_reminded(&mut reminder, at(352) + Duration::from_secs(60)));
        assert!(is_reminded(&mut reminder, at(353)));
        reminder.is_now(Validity { from: 0, until: 366 * DAY });
        assert!(is_reminded(&mut reminder, at(353) + Duration::from_secs(60)));
    }
}
