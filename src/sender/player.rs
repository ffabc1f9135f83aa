//! Plays one lane of a sender: makes its deliveries, sends them when its [`Manner`] says so, and
//! reports the fate of each.
//!
//! A lane has one request under way at a time, as a connection does. The schedule is open: the time at which a
//! delivery is due does not depend on earlier answers, and the time of an answer is
//! counted from when its request was due. So a receiver that stalls is charged for all requests that
//! waited behind it, as real senders would see it.

use std::time::{Duration, SystemTime};

use http::HeaderMap;
use tokio::{sync::watch, time::Instant};

use super::{
    clock::Clock,
    delivery::{Delivery, Fate},
    http::{Answer, Post},
};

/// The next step of a lane. `due` is the time at which it became due.
#[derive(Debug)]
pub enum Step {
    /// Send a new delivery.
    New { due: Duration },
    /// Send this delivery again.
    Again { delivery: Delivery, due: Duration },
    /// Send nothing before this time.
    Wait(Duration),
    /// Send nothing ever again.
    Over,
}

/// The behaviour of a kind of sender on one lane. Time is an argument, as the distance from the beginning.
pub trait Manner: Send {
    /// Returns the next step; [`Step::New`] and [`Step::Again`] are followed by [`answered`](Self::answered).
    fn step(&mut self, now: Duration) -> Step;

    /// Notes the answer to `delivery`, or that there is none. Its tries are counted already.
    fn answered(&mut self, now: Duration, delivery: Delivery, answer: &Answer) -> Fate;

    /// Returns the longest wait for an answer.
    fn timeout(&self) -> Duration;

    /// Whether the receiver has failed so often that no new delivery is sent.
    fn is_paused(&self) -> bool;

    /// Returns the number of deliveries that were dropped before they were ever sent.
    fn dropped(&self) -> u64 {
        0
    }

    /// Makes no new delivery due from now on; failed ones are still sent again.
    fn settle(&mut self);
}

/// Makes a lane's deliveries.
pub trait Maker: Send {
    /// Returns the lane, within which deliveries are numbered.
    fn lane(&self) -> u16;

    /// Makes the next delivery, as of `now` in Unix milliseconds.
    fn make(&mut self, now: u64) -> Delivery;

    /// Returns all headers of the next try of `delivery`.
    fn headers(&mut self, delivery: &Delivery) -> HeaderMap;
}

impl<M: Maker + ?Sized> Maker for Box<M> {
    fn lane(&self) -> u16 {
        (**self).lane()
    }

    fn make(&mut self, now: u64) -> Delivery {
        (**self).make(now)
    }

    fn headers(&mut self, delivery: &Delivery) -> HeaderMap {
        (**self).headers(delivery)
    }
}

/// One request, before and after its answer.
#[derive(Clone, Debug)]
pub struct Attempt<'a> {
    pub lane: u16,
    /// The delivery's number within its lane, from 0; the same for all tries.
    pub delivery: u64,
    pub events: u32,
    pub bytes: usize,
    /// The number of the try, from 1.
    pub r#try: u32,
    /// `None` before the request is sent.
    pub answered: Option<Answered<'a>>,
    /// Whether the lane is paused now.
    pub paused: bool,
    /// Number of the lane's deliveries so far that were dropped before they were ever sent.
    pub dropped: u64,
}

/// The answer to a request, with its times.
#[derive(Clone, Debug)]
pub struct Answered<'a> {
    pub answer: &'a Answer,
    pub fate: Fate,
    /// Time from when the request was due to the answer's last byte.
    pub since_due: Duration,
    /// Time from the request's first byte to the answer's last.
    pub since_sent: Duration,
    /// Delay of the request by the player's own fault.
    pub lag: Duration,
}

/// The stage of the play, for all lanes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    Sending,
    /// No new deliveries; failed ones are sent again until none is left.
    Settling,
    /// The request that is under way is the last.
    Ending,
}

/// Sends until no delivery is left or the `act` is over (or its sender is gone). All lanes of a play
/// have the same `began`. `watch` is called right before each request and right after its
/// answer; it must not block.
pub async fn play(
    mut maker: impl Maker,
    mut manner: impl Manner,
    post: &impl Post,
    clock: &Clock,
    began: Instant,
    mut act: watch::Receiver<Act>,
    mut watch: impl FnMut(&Attempt<'_>),
) {
    // The next new delivery is made while there is nothing else to do.
    let mut made = None;
    // The time since which neither the receiver nor the manner keeps the lane from sending.
    let mut free = Duration::ZERO;
    loop {
        let now_playing = *act.borrow_and_update();
        match now_playing {
            Act::Sending => {}
            Act::Settling => manner.settle(),
            Act::Ending => return,
        }
        let (mut delivery, due) = match manner.step(began.elapsed()) {
            Step::Over => return,
            Step::Wait(until) => {
                if made.is_none() && now_playing == Act::Sending {
                    made = Some(maker.make(unix_millis()));
                }
                tokio::select! {
                    () = clock.sleep_until(began + until) => {}
                    changed = act.changed() => if changed.is_err() { return },
                }
                continue;
            }
            Step::New { due } => (made.take().unwrap_or_else(|| maker.make(unix_millis())), due),
            Step::Again { delivery, due } => (delivery, due),
        };
        let headers = maker.headers(&delivery);
        delivery.tries += 1;
        let mut attempt = Attempt {
            lane: maker.lane(),
            delivery: delivery.number,
            events: delivery.events,
            bytes: delivery.body.len(),
            r#try: delivery.tries,
            answered: None,
            paused: manner.is_paused(),
            dropped: manner.dropped(),
        };
        watch(&attempt);
        let sent = began.elapsed();
        let answer = post.post(headers, delivery.body.clone(), manner.timeout()).await;
        let now = began.elapsed();
        let lag = sent.saturating_sub(due.max(free));
        free = now;
        let fate = manner.answered(now, delivery, &answer);
        attempt.answered = Some(Answered {
            answer: &answer,
            fate,
            since_due: now.saturating_sub(due),
            since_sent: now.saturating_sub(sent),
            lag,
        });
        attempt.paused = manner.is_paused();
        attempt.dropped = manner.dropped();
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
    use crate::sender::{
        generator::Generator,
        marketo::{Batches, Rules, Subscription},
    };

    /// An endpoint that answers by a script, then with 200, and keeps the bodies.
    struct Scripted {
        answers: Mutex<Vec<Answer>>,
        bodies: Mutex<Vec<Bytes>>,
        end_after: usize,
        act: watch::Sender<Act>,
    }

    impl Scripted {
        fn new(mut answers: Vec<Answer>, end_after: usize) -> (Self, watch::Receiver<Act>) {
            answers.reverse();
            let (act, acts) = watch::channel(Act::Sending);
            let answers = Mutex::new(answers);
            let bodies = Mutex::default();
            (Self { answers, bodies, end_after, act }, acts)
        }
    }

    impl Post for Scripted {
        async fn post(&self, _headers: HeaderMap, body: Bytes, _timeout: Duration) -> Answer {
            let mut bodies = self.bodies.lock().unwrap();
            bodies.push(body);
            if bodies.len() == self.end_after {
                self.act.send_replace(Act::Ending);
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

    /// Plays one subscription over `post` until it is over.
    async fn played(
        rules: Rules,
        post: &impl Post,
        act: watch::Receiver<Act>,
        watch: impl FnMut(&Attempt<'_>),
    ) {
        let generator = Generator::new(1, 1, 0);
        let batches = Batches::new(generator, rules.batch.clone(), "Bearer x").unwrap();
        let subscription = Subscription::new(rules, Duration::ZERO);
        let clock = Clock::start().unwrap();
        play(batches, subscription, post, &clock, Instant::now(), act, watch).await;
    }

    #[tokio::test]
    async fn deliveries_follow_each_other_until_the_last_that_is_under_way_at_the_end() {
        let (scripted, act) = Scripted::new(vec![], 20);
        let mut announced = 0;
        let mut heard = Vec::new();
        played(rules(), &scripted, act, |attempt| match &attempt.answered {
            None => announced += 1,
            Some(answered) => heard.push((attempt.delivery, attempt.r#try, answered.fate)),
        })
        .await;
        let expected: Vec<_> = (0..20).map(|n| (n, 1, Fate::Delivered)).collect();
        assert_eq!(heard, expected);
        assert_eq!(announced, 20, "each request is announced and then answered");
        assert_eq!(scripted.bodies.lock().unwrap().len(), 20);
    }

    #[tokio::test]
    async fn a_delivery_that_failed_is_sent_again_byte_for_byte_until_it_is_accepted() {
        let unavailable = || Answer::Status(StatusCode::SERVICE_UNAVAILABLE);
        let silence = || Answer::None("timed out".into());
        let denied = || Answer::Status(StatusCode::UNAUTHORIZED);
        let script = vec![unavailable(), silence(), denied(), silence()];
        let (scripted, act) = Scripted::new(script, 6);
        let mut heard = Vec::new();
        played(rules(), &scripted, act, |attempt| {
            if let Some(Answered { fate, .. }) = attempt.answered {
                heard.push((attempt.delivery, attempt.r#try, fate, attempt.paused));
            }
        })
        .await;
        assert_eq!(
            heard,
            [
                (0, 1, Fate::Again, false),
                (0, 2, Fate::Again, false),
                (0, 3, Fate::Again, true), // paused
                (0, 4, Fate::Again, true),
                (0, 5, Fate::Delivered, false), // and enabled again
                (1, 1, Fate::Delivered, false),
            ]
        );
        let bodies = scripted.bodies.lock().unwrap();
        assert!(bodies[..5].iter().all(|body| *body == bodies[0]));
        assert_ne!(bodies[5], bodies[0]);
    }

    #[tokio::test]
    async fn an_hour_of_waiting_ends_when_the_play_does() {
        let (scripted, act) = Scripted::new(vec![], usize::MAX);
        let rules = Rules { interval: Duration::from_secs(3600), ..rules() };
        played(rules, &scripted, act, |attempt| {
            if attempt.answered.is_some() {
                scripted.act.send_replace(Act::Ending);
            }
        })
        .await;
        assert_eq!(scripted.bodies.lock().unwrap().len(), 1);
    }

    /// An endpoint that delays the fifth request.
    struct Stalling(Mutex<u32>);

    const STALL: Duration = Duration::from_millis(200);

    impl Post for Stalling {
        async fn post(&self, _headers: HeaderMap, _body: Bytes, _timeout: Duration) -> Answer {
            let number = {
                let mut requests = self.0.lock().unwrap();
                *requests += 1;
                *requests
            };
            if number == 5 {
                tokio::time::sleep(STALL).await;
            }
            Answer::Status(StatusCode::OK)
        }
    }

    #[tokio::test]
    async fn what_waits_behind_a_stalled_answer_is_counted_from_when_it_was_due() {
        let (act, acts) = watch::channel(Act::Sending);
        let stalling = Stalling(Mutex::default());
        let rules = Rules { interval: Duration::from_millis(10), ..rules() };
        let mut slow = 0;
        let mut due = 0;
        let mut answered_soon = true;
        played(rules, &stalling, acts, |attempt| {
            let Some(answered) = &attempt.answered else { return };
            if attempt.delivery >= 5 {
                answered_soon &= answered.since_sent < STALL / 2;
                due += u32::from(answered.since_due >= STALL / 4);
            }
            slow += u32::from(answered.since_sent >= STALL / 2);
            if attempt.delivery == 40 {
                act.send_replace(Act::Ending);
            }
        })
        .await;
        assert_eq!(slow, 1, "one request was slow in itself");
        // Twenty were due meanwhile; those of the first three quarters waited for long.
        assert!(due >= 14, "{due} were late");
        assert!(answered_soon);
    }
}
