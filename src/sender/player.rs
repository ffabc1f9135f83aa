//! Plays one subscription: makes its batches, sends them at its pace, and says what became of each.

use std::time::{Duration, SystemTime};

use tokio::{sync::watch, time::Instant};

use super::{
    generator::Generator,
    http::{Answer, Post},
    marketo::{Pace, Rules, Step},
};

/// One request, before and after its answer.
#[derive(Clone, Debug)]
pub struct Attempt<'a> {
    pub subscription: u16,
    /// The batch's number within its subscription, from 0; the same for all tries.
    pub batch: u64,
    pub events: u32,
    /// From 1.
    pub r#try: u32,
    /// `None` before the request is sent; then the answer and the time from the request's first
    /// byte to the answer's last.
    pub answer: Option<(&'a Answer, Duration)>,
    /// Whether the subscription is paused now.
    pub paused: bool,
}

/// Sends until `stop` turns true (or its sender is gone), and finishes the request that is under way
/// then. `first` is when the first batch is due, from now. `watch` is called right before each
/// request and right after its answer; it must not block.
pub async fn play(
    mut generator: Generator,
    rules: Rules,
    first: Duration,
    post: &impl Post,
    mut stop: watch::Receiver<bool>,
    mut watch: impl FnMut(&Attempt<'_>),
) {
    let began = Instant::now();
    let mut sizes = generator.sizes();
    let mut pace = Pace::new(rules.clone(), first);
    let mut in_hand = None;
    let mut tries = 0;
    while !*stop.borrow() {
        match pace.step(began.elapsed()) {
            Step::Wait(until) => {
                tokio::select! {
                    () = tokio::time::sleep_until(began + until) => {}
                    _ = stop.wait_for(|stop| *stop) => return,
                }
                continue;
            }
            Step::New => {
                let (least, most) = rules.batch.clone().into_inner();
                let events = sizes.between(u64::from(least), u64::from(most));
                let events = u32::try_from(events).unwrap_or(most);
                in_hand = Some(generator.batch(events, unix_millis()));
                tries = 1;
            }
            Step::Again => tries += 1,
        }
        // `Step::Again` follows a failure, and the batch stays in hand until the next `Step::New`.
        let Some(batch) = &in_hand else { continue };
        let mut attempt = Attempt {
            subscription: generator.subscription(),
            batch: batch.number,
            events: batch.events,
            r#try: tries,
            answer: None,
            paused: pace.is_paused(),
        };
        watch(&attempt);
        let sent = Instant::now();
        let answer = post.post(batch.body.clone(), rules.timeout).await;
        let elapsed = sent.elapsed();
        pace.answered(began.elapsed(), answer.is_accepted());
        attempt.answer = Some((&answer, elapsed));
        attempt.paused = pace.is_paused();
        watch(&attempt);
    }
}

fn unix_millis() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use bytes::Bytes;
    use http::StatusCode;

    use super::*;

    /// Answers by a script, then with 200; keeps what it was sent.
    struct Scripted {
        answers: Mutex<Vec<Answer>>,
        bodies: Mutex<Vec<Bytes>>,
        stop_after: usize,
        stop: watch::Sender<bool>,
    }

    impl Post for Scripted {
        async fn post(&self, body: Bytes, _timeout: Duration) -> Answer {
            let mut bodies = self.bodies.lock().unwrap();
            bodies.push(body);
            if bodies.len() == self.stop_after {
                self.stop.send_replace(true);
            }
            self.answers.lock().unwrap().pop().unwrap_or(Answer::Status(StatusCode::OK))
        }
    }

    fn rules() -> Rules {
        Rules {
            interval: Duration::from_millis(1),
            batch: 2..=5,
            retry_after: Duration::from_millis(1),
            ..Rules::MARKETO
        }
    }

    /// (batch, try, events, accepted, paused) of each answer, and the bodies.
    type Heard = Vec<(u64, u32, u32, bool, bool)>;

    async fn played(mut answers: Vec<Answer>, attempts: usize) -> (Heard, Vec<Bytes>) {
        answers.reverse();
        let (stop, stopped) = watch::channel(false);
        let scripted = Scripted {
            answers: Mutex::new(answers),
            bodies: Mutex::default(),
            stop_after: attempts,
            stop,
        };
        let mut heard = Vec::new();
        let mut announced = 0;
        let generator = Generator::new(1, 1, 0);
        play(generator, rules(), Duration::ZERO, &scripted, stopped, |attempt| {
            match attempt.answer {
                None => announced += 1,
                Some((answer, _)) => heard.push((
                    attempt.batch,
                    attempt.r#try,
                    attempt.events,
                    answer.is_accepted(),
                    attempt.paused,
                )),
            }
        })
        .await;
        assert_eq!(announced, heard.len(), "each request is announced and then answered");
        (heard, scripted.bodies.into_inner().unwrap())
    }

    #[tokio::test]
    async fn batches_follow_each_other_within_the_sizes_of_the_rules() {
        let (heard, bodies) = played(vec![], 20).await;
        assert_eq!(heard.len(), 20, "the request under way when it stops is finished");
        for (n, (batch, r#try, events, accepted, paused)) in heard.iter().enumerate() {
            assert_eq!((*batch, *r#try, *accepted, *paused), (n as u64, 1, true, false));
            assert!((2..=5).contains(events));
        }
        assert!(heard.iter().any(|h| h.2 == 2) && heard.iter().any(|h| h.2 == 5));
        assert_eq!(bodies.len(), 20);
    }

    #[tokio::test]
    async fn a_batch_that_failed_is_sent_again_byte_for_byte_until_it_is_accepted() {
        let unavailable = || Answer::Status(StatusCode::SERVICE_UNAVAILABLE);
        let silence = || Answer::None("timed out".into());
        let denied = || Answer::Status(StatusCode::UNAUTHORIZED);
        let script = vec![unavailable(), silence(), denied(), silence()];
        let (heard, bodies) = played(script, 6).await;
        let seen: Vec<_> = heard.iter().map(|h| (h.0, h.1, h.3, h.4)).collect();
        assert_eq!(
            seen,
            [
                (0, 1, false, false),
                (0, 2, false, false),
                (0, 3, false, true), // paused
                (0, 4, false, true),
                (0, 5, true, false), // and enabled again
                (1, 1, true, false),
            ]
        );
        assert!(bodies[..5].iter().all(|body| *body == bodies[0]));
        assert_ne!(bodies[5], bodies[0]);
    }

    #[tokio::test]
    async fn it_stops_while_it_waits() {
        let (stop, stopped) = watch::channel(false);
        let scripted = Scripted {
            answers: Mutex::default(),
            bodies: Mutex::default(),
            stop_after: usize::MAX,
            stop: stop.clone(),
        };
        let generator = Generator::new(1, 1, 0);
        let rules = Rules { interval: Duration::from_secs(3600), ..rules() };
        let (first, mut sent) = watch::channel(false);
        let playing = play(generator, rules, Duration::ZERO, &scripted, stopped, |attempt| {
            if attempt.answer.is_some() {
                first.send_replace(true);
            }
        });
        let stopping = async {
            sent.wait_for(|sent| *sent).await.unwrap();
            stop.send_replace(true);
        };
        tokio::join!(playing, stopping);
        assert_eq!(scripted.bodies.lock().unwrap().len(), 1);
    }
}
