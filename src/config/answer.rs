//! `sources.<name>.answer`: the promise that a 200 makes.

use std::time::Duration;

use super::{
    Config,
    leaf::NONZERO_DURATION,
    mistake::{Key, Mistakes},
    reading::{Reading, Section},
};
use crate::source::SourceKind;

/// `sources.<name>.answer` and `answer_within`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Answer {
    /// The delivery is durable on disk.
    #[default]
    Stored,
    /// The delivery is durable, and the answer says so if Kafka has all of its events within this time.
    Delivered { within: Duration },
}

const ANSWERS: [&str; 2] = ["stored", "delivered"];
const DEFAULT_WITHIN: Duration = Duration::from_secs(2);

/// Returns the sender of a source, and how long it waits for an answer.
fn sender_timeout(kind: SourceKind) -> (&'static str, Duration) {
    match kind {
        SourceKind::MarketoLeadActivity => ("Marketo", Duration::from_secs(20)),
        SourceKind::AdobeIo => ("Adobe I/O", Duration::from_secs(10)),
    }
}

pub(super) fn read(reading: &mut Reading, section: &mut Section) -> Answer {
    let mut answer = ANSWERS[0];
    let mut within = DEFAULT_WITHIN;
    reading.set_choice(section, "answer", &ANSWERS, |word| word, &mut answer);
    reading.set(section, "answer_within", &NONZERO_DURATION, &mut within);
    if answer == ANSWERS[0] {
        let key = section.key.clone();
        reading.idle(&key, &["answer_within"]);
        return Answer::Stored;
    }
    Answer::Delivered { within }
}

/// Checks that the answer comes in time: a sender that has stopped waiting sends again, and learns nothing from it.
pub(super) fn check(config: &Config, mistakes: &mut Mistakes) {
    let Config { listen, kafka, sources, .. } = config;
    for source in sources {
        let Answer::Delivered { within } = source.answer else { continue };
        let mut wrong = |problem: &str, remedy: &str| {
            let key = Key::new(&format!("sources.{}.answer_within", source.name));
            mistakes.at(&key, problem, remedy);
        };
        let (sender, timeout) = sender_timeout(source.kind);
        if within >= timeout {
            let seconds = timeout.as_secs();
            let problem = format!(
                "is not below {seconds} seconds, after which {sender} gives up and sends again"
            );
            wrong(&problem, "Lower it; 2s is a good start.");
        } else if within >= listen.request_timeout {
            let problem = "is not below listen.request_timeout, which a request may take in all";
            wrong(problem, "Lower it; 2s is a good start.");
        }
        if kafka.delivery.is_exactly_once() && within <= kafka.delivery.commit_interval {
            let problem = "is not above kafka.commit_interval, and under load nothing is delivered before its commit";
            wrong(problem, "Raise it, or lower kafka.commit_interval.");
        }
    }
}
