//! Questions about topics by their names. Each answer is small, however many topics the cluster has, while
//! a listing of all of them may take minutes on a slow line.
//!
//! A question makes no topic: these clients have `allow.auto.create.topics=false`.

use std::{
    thread,
    time::{Duration, Instant},
};

use rdkafka::{
    error::KafkaError,
    metadata::MetadataTopic,
    producer::{BaseProducer, Producer},
};

use super::context::Asking;

/// Limit of questions on their way at once. Each has a topic of its own, and a far cluster takes a
/// while for each.
const CONCURRENT_QUESTIONS: usize = 16;

/// Timeout of a question: doubled after each that got no answer, and several times as long as the last answer took.
#[derive(Debug)]
pub(super) struct Patience {
    least: Duration,
    most: Duration,
    now: Duration,
}

impl Patience {
    pub fn new(least: Duration, most: Duration) -> Self {
        Self { least, most, now: least }
    }

    /// A timeout that stays the same for each question.
    pub fn of(time: Duration) -> Self {
        Self::new(time, time)
    }

    pub fn now(&self) -> Duration {
        self.now
    }

    pub fn answered(&mut self, after: Duration) {
        self.now = (4 * after).clamp(self.least, self.most);
    }

    pub fn unanswered(&mut self) {
        self.now = (2 * self.now).min(self.most);
    }
}

/// Asks about each of `names` and applies `read` to each answer (`None` where the cluster does not mention the
/// topic). After a question without an answer it asks no further ones, and returns the error.
pub(super) fn ask<T: Send>(
    client: &BaseProducer<Asking>,
    names: &[String],
    patience: &mut Patience,
    read: impl Fn(Option<&MetadataTopic>) -> T + Sync,
) -> (Vec<(String, T)>, Option<KafkaError>) {
    let within = patience.now();
    let one = |name: &String| {
        let asked = Instant::now();
        let metadata = client.client().fetch_metadata(Some(name), within)?;
        let topic = metadata.topics().iter().find(|topic| topic.name() == name);
        Ok((name.clone(), read(topic), asked.elapsed()))
    };
    let mut answers = Vec::new();
    let mut slowest = Duration::ZERO;
    for group in names.chunks(CONCURRENT_QUESTIONS) {
        for answer in all_at_once(group, &one) {
            match answer {
                Ok((name, answer, took)) => {
                    slowest = slowest.max(took);
                    answers.push((name, answer));
                }
                Err(error) => {
                    patience.unanswered();
                    return (answers, Some(error));
                }
            }
        }
    }
    patience.answered(slowest);
    (answers, None)
}

fn all_at_once<T: Send>(names: &[String], ask: &(impl Fn(&String) -> T + Sync)) -> Vec<T> {
    let [first, others @ ..] = names else { return Vec::new() };
    thread::scope(|scope| {
        let thread = |name| {
            let named = thread::Builder::new().name("kafka-ask".into());
            (name, named.spawn_scoped(scope, move || ask(name)).ok())
        };
        let threads: Vec<_> = others.iter().map(thread).collect();
        // The first question is put on this thread, while the others are on their way.
        let mut answers = vec![ask(first)];
        for (name, thread) in threads {
            // Without a thread for it, the question is put here.
            let answer = thread.and_then(|thread| thread.join().ok());
            answers.push(answer.unwrap_or_else(|| ask(name)));
        }
        answers
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patience_grows_while_no_answer_comes_and_stays_above_what_answers_take() {
        let seconds = Duration::from_secs;
        let mut patience = Patience::new(seconds(3), seconds(20));
        patience.unanswered();
        assert_eq!(patience.now(), seconds(6));
        patience.unanswered();
        patience.unanswered();
        assert_eq!(patience.now(), seconds(20));
        patience.answered(seconds(4));
        assert_eq!(patience.now(), seconds(16));
        patience.answered(Duration::from_millis(1));
        assert_eq!(patience.now(), seconds(3));
    }
}
