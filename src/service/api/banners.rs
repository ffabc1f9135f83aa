//! Conditions that need an operator, the most urgent first; each with its heading in `deploy/RUNBOOK.md`.

use super::{ApiBackend, status::now, words};
use crate::{
    deliver::schema::NO_SCHEMA,
    observe::{
        admin::Health,
        api::{objects::Banner, rates::SeriesKind},
    },
    source::SourceKind,
};

/// Seconds before its expiry at which a certificate is reported: two weeks.
const CERTIFICATE_WARNING: u64 = 14 * 24 * 3600;
/// Seconds before a spool is full at which that is reported: an hour.
const FULL_WARNING: f64 = 3600.0;
/// Milliseconds that Adobe allows for opening a validation URL.
const VALIDATION_TIME: u64 = 5 * 60 * 1000;

fn banner(kind: &str, level: &str, runbook: &str, text: impl Into<String>) -> Banner {
    Banner {
        kind: kind.to_owned(),
        level: level.to_owned(),
        runbook: runbook.to_owned(),
        text: text.into(),
        ..Banner::default()
    }
}

pub(super) fn banners(known: &ApiBackend, health: &Health, is_stopping: bool) -> Vec<Banner> {
    let metrics = &known.metrics;
    let mut all = Vec::new();
    if is_stopping {
        let text = "The service stops: it takes deliveries for shutdown.delay, and forwards what it can for shutdown.flush. \
                    The rest stays in the spool.";
        let banner = banner("stopping", "info", "Stopping", text);
        all.push(Banner { key: Some("shutdown".into()), ..banner });
    }
    if let Some(source) = &health.poisoned {
        let text =
            format!("A write or sync of the spool of `{source}` failed: restart the process.");
        all.push(banner("poisoned", "error", "MillraceSpoolPoisoned", text));
    }
    if let Some(text) = &health.below_reserve {
        let banner = banner("below-reserve", "error", "MillraceVolumeBelowReserve", text);
        all.push(Banner { key: Some("spool.reserve".into()), ..banner });
    }
    if metrics.contact.is_lost() {
        let text = "None of the brokers answers: deliveries are kept in the spool until one does.";
        let banner = banner("kafka-away", "warning", "MillraceBehind", text);
        all.push(Banner { key: Some("kafka.bootstrap_servers".into()), ..banner });
    }
    for source in &known.config.sources {
        let name = source.name.as_str();
        of_source(known, name, source.kind, &mut all);
    }
    let at = now() / 1000;
    for (key, expiry) in metrics.labelled_gauges(&metrics.tls_certificate_expiry, "key") {
        let expiry = expiry as u64;
        if expiry > 0 && expiry < at + CERTIFICATE_WARNING {
            let (level, text) = match expiry <= at {
                true => ("error", "The certificate in use has expired."),
                false => ("warning", "The certificate in use expires within two weeks."),
            };
            let banner = banner("certificate-expires", level, "MillraceCertificateExpires", text);
            all.push(Banner { key: Some(key), until: Some(expiry * 1000), ..banner });
        }
    }
    for (key, good) in metrics.labelled_gauges(&metrics.last_reload_successful, "key") {
        if good == 0.0 {
            let text =
                "The files of this key changed and cannot be used: their previous content is.";
            let banner = banner("reload-failed", "error", "MillraceReloadFailed", text);
            all.push(Banner { key: Some(key), ..banner });
        }
    }
    all.sort_by_key(urgency);
    all
}

/// Returns the banner's rank; the lowest comes first.
fn urgency(banner: &Banner) -> u8 {
    match (&*banner.kind, &*banner.level) {
        // Only a warning, since nothing is lost; but a full spool and a sender that gives up follow from it.
        ("kafka-away", _) | (_, "error") => 0,
        (_, "warning") => 1,
        _ => 2,
    }
}

/// Returns a reason for which signed deliveries were refused within the last hour because they may be for other
/// recipients.
fn foreign_recipients(known: &ApiBackend, name: &str) -> Option<String> {
    let is_foreign = |reason: &String| {
        ["foreign-recipient", "recipient-unreadable"].contains(&words::meaning(reason, name).2)
    };
    let is_late = |reason: &String| {
        let late = known
            .rates
            .sum(|what, source, it| what == SeriesKind::Refusal && source == name && it == reason);
        late.minutes.iter().sum::<f64>() > 0.0
    };
    let reasons = known.rates.labels(SeriesKind::Refusal, name);
    reasons.into_iter().find(|reason| is_foreign(reason) && is_late(reason))
}

fn of_source(known: &ApiBackend, name: &str, kind: SourceKind, all: &mut Vec<Banner>) {
    let metrics = &known.metrics;
    let of_source = |banner: Banner| Banner { source: Some(name.to_owned()), ..banner };
    if metrics.source_set_aside.with_label_values(&[name]).get() == 1 {
        let text = "The files of this source cannot be used: the log says why.";
        all.push(of_source(banner("set-aside", "error", "MillraceSourceSetAside", text)));
    }
    for (url, since) in metrics.recent.challenges(name) {
        let until = since + VALIDATION_TIME;
        if until > now() {
            let text = "Adobe I/O asks whether it may send here: if you have just made, changed or enabled this \
                        registration, open the address within 5 minutes.";
            let banner = banner("validation-waits", "error", "MillraceValidationWaits", text);
            all.push(of_source(Banner {
                key: Some(format!("sources.{name}.auth.validation_url")),
                link: Some(url),
                since: Some(since),
                until: Some(until),
                ..banner
            }));
        }
    }
    if let Some(reason) = foreign_recipients(known, name) {
        let text = format!(
            "Signed deliveries of the last hour are not known to be for this source ({reason})."
        );
        let banner = banner("foreign-recipient", "error", "MillraceForeignRecipient", text);
        let key = Some(format!("sources.{name}.auth.client_ids"));
        all.push(of_source(Banner { key, ..banner }));
    }
    let left = metrics.sender_failures_left.with_label_values(&[name]).get();
    let failed = metrics.sender_failed_in_a_row.with_label_values(&[name]).get();
    let (few, runbook) = match kind {
        SourceKind::AdobeIo => (3, "MillraceAdobeWillDisable"),
        SourceKind::MarketoLeadActivity => (1, "MillraceMarketoWillPause"),
    };
    if failed > 0 && left <= few {
        let text = gives_up(kind, left);
        all.push(of_source(banner("sender-gives-up", "error", runbook, text)));
    }
    let full = metrics.spool_seconds_until_full.with_label_values(&[name]).get();
    if full < FULL_WARNING {
        let (level, text) = fills_up(full);
        let banner = banner("spool-fills-up", level, "MillraceSpoolFillsUp", text);
        all.push(of_source(Banner { key: Some("spool.size_limit".into()), ..banner }));
    }
    if metrics.held_topics.with_label_values(&[name]).get() > 0 {
        for (topic, held) in metrics.settled.of(name).held_topics() {
            let text = format!("The topic {topic} is held: {}.", held.why);
            let (runbook, key) = match held.why.starts_with(NO_SCHEMA) {
                true => ("MillraceSchemasMissing", Some("kafka.schema_registry".to_owned())),
                false => ("MillraceTopicHeld", None),
            };
            let banner = banner("topic-held", "warning", runbook, text);
            all.push(of_source(Banner { since: Some(held.since), key, ..banner }));
        }
    }
    if metrics.dead_letters_waiting.with_label_values(&[name]).get() > 0 {
        let text = "Refused events wait for the dead-letter topic.";
        all.push(of_source(banner(
            "dead-letters-wait",
            "warning",
            "MillraceDeadLettersWait",
            text,
        )));
    }
    if metrics.quarantine_items.with_label_values(&[name]).get() > 0 {
        let text = "The quarantine folder has items: they are the only copies of these events.";
        all.push(of_source(banner("quarantined", "warning", "MillraceQuarantined", text)));
    }
}

/// Describes the sender's reaction when `left` more tries fail.
fn gives_up(kind: SourceKind, left: i64) -> String {
    let (sender, does, has_done) = match kind {
        SourceKind::AdobeIo => {
            ("Adobe I/O", "disables the registration", "has disabled the registration")
        }
        SourceKind::MarketoLeadActivity => {
            ("Marketo", "pauses the subscription", "has paused the subscription")
        }
    };
    match left {
        ..=0 => format!(
            "{sender} {has_done} by now, or does at the next failed try: enough of its tries failed."
        ),
        1 => format!("{sender} {does} after 1 more failed try."),
        left => format!("{sender} {does} after {left} more failed tries."),
    }
}

/// Describes a spool that is full in `seconds`.
fn fills_up(seconds: f64) -> (&'static str, String) {
    let minutes = (seconds / 60.0).floor();
    match seconds {
        ..=0.0 => ("error", "The spool is full: deliveries are refused with 503.".into()),
        _ if minutes < 1.0 => ("warning", "The spool is full in less than a minute.".into()),
        _ if minutes < 2.0 => ("warning", "The spool is full in 1 minute at this rate.".into()),
        _ => ("warning", format!("The spool is full in {minutes} minutes at this rate.")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn that_no_broker_answers_comes_before_what_follows_from_it() {
        let banner = |kind, level| banner(kind, level, "", "");
        let mut all = [
            banner("topic-held", "warning"),
            banner("kafka-away", "warning"),
            banner("spool-fills-up", "error"),
        ];
        all.sort_by_key(urgency);
        let kinds: Vec<_> = all.iter().map(|it| &*it.kind).collect();
        assert_eq!(kinds, ["kafka-away", "spool-fills-up", "topic-held"]);
    }

    #[test]
    fn a_full_spool_and_a_sender_without_tries_left_have_no_number() {
        let (level, text) = fills_up(0.0);
        assert_eq!(
            (level, &*text),
            ("error", "The spool is full: deliveries are refused with 503.")
        );
        assert_eq!(fills_up(59.0).1, "The spool is full in less than a minute.");
        assert_eq!(fills_up(180.0).1, "The spool is full in 3 minutes at this rate.");
        let text = gives_up(SourceKind::MarketoLeadActivity, 0);
        assert!(text.starts_with("Marketo has paused the subscription by now, or does"), "{text}");
        let text = gives_up(SourceKind::AdobeIo, 1);
        assert_eq!(text, "Adobe I/O disables the registration after 1 more failed try.");
    }
}
