//! Tokens for the login at the brokers (SASL OAUTHBEARER): fetched once for all clients of the process, before the last
//! one ends, on a thread of their own, and handed over to each client when it is drained.
//!
//! Nothing here waits inside librdkafka, and no provider is asked on a thread that librdkafka or a forwarder
//! needs. A provider that is away, hangs or refuses costs nothing while the last token is good; its answer is
//! logged once, and is the error of a client without a token.
//!
//! Why rdkafka's `generate_oauth_token` does not do: it passes on no extensions, which Confluent Cloud asks
//! for, clients of the admin API are never polled, so that it is not called for them, and it could only wait
//! on the thread that polls.

mod aws;
mod hand_over;
mod oidc;
mod remedy;

use std::{
    fmt,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant, SystemTime},
};

use parking_lot::{Condvar, Mutex};
use rdkafka::client::{Client, ClientContext};
use tracing::{info, warn};

use crate::{
    config::{self, Login, Secret},
    runtime::{readable, retry::Retry},
};

/// A token, and its end of validity.
#[derive(Clone, Debug)]
struct Token {
    text: Secret,
    ends: SystemTime,
    extensions: Vec<(String, String)>,
}

/// Shortest and longest pause after a failure.
const FIRST_RETRY: Duration = Duration::from_millis(500);
const LONGEST_RETRY: Duration = Duration::from_secs(20);
/// A problem that stays the same is logged again after this time.
const LOG_INTERVAL: Duration = Duration::from_secs(300);
/// A token is replaced when one part in so many of its lifetime is left. librdkafka would ask at a fifth.
const RENEW_DIVISOR: u32 = 4;
/// The clock is checked this often, since it may be set.
const CLOCK_CHECK_INTERVAL: Duration = Duration::from_secs(10);
/// Time that a client for immediate questions waits for its first token.
const FIRST_TOKEN_TIMEOUT: Duration = Duration::from_secs(5);

/// The tokens of one login. Dropping it ends its thread.
pub(super) struct Tokens(Arc<Shared>);

struct Shared {
    login: Login,
    state: Mutex<State>,
    changed: Condvar,
    /// Generation of the token; 0 before the first.
    generation: AtomicU64,
    /// Whether `state` has a problem.
    is_failing: AtomicBool,
    closing: AtomicBool,
}

#[derive(Default)]
struct State {
    token: Option<Token>,
    problem: Option<String>,
    tries: u64,
}

/// The logins in use, each shared by its clients.
static IN_USE: Mutex<Vec<(Login, Weak<Tokens>)>> = Mutex::new(Vec::new());

/// The tokens of `kafka`'s login; `None` where no broker asks for one.
pub(super) fn of(kafka: &config::Kafka) -> Option<Arc<Tokens>> {
    let login = kafka.login()?;
    let mut in_use = IN_USE.lock();
    in_use.retain(|(_, tokens)| tokens.strong_count() > 0);
    let known = in_use.iter().find(|(known, _)| *known == login);
    if let Some(tokens) = known.and_then(|(_, tokens)| tokens.upgrade()) {
        return Some(tokens);
    }
    // A new secret may not be known to its provider yet; until then the token of the old one is still good.
    let before = in_use.iter().find(|(known, _)| is_same_client(known, &login));
    let before = before.and_then(|(_, tokens)| tokens.upgrade());
    let token = before.and_then(|tokens| tokens.0.state.lock().token.clone());
    let tokens = Arc::new(Tokens::start(login.clone(), token));
    in_use.push((login, Arc::downgrade(&tokens)));
    Some(tokens)
}

/// Whether two logins differ only in the secret.
fn is_same_client(one: &Login, other: &Login) -> bool {
    let (Login::Oidc(one), Login::Oidc(other)) = (one, other) else { return false };
    let other = config::Oidc { client_secret: one.client_secret.clone(), ..(**other).clone() };
    **one == other
}

impl Tokens {
    fn start(login: Login, token: Option<Token>) -> Self {
        let shared = Arc::new(Shared {
            login,
            generation: AtomicU64::new(u64::from(token.is_some())),
            state: Mutex::new(State { token, ..State::default() }),
            changed: Condvar::new(),
            is_failing: AtomicBool::new(false),
            closing: AtomicBool::new(false),
        });
        let worker = Arc::clone(&shared);
        let thread = thread::Builder::new().name("kafka-token".into());
        if let Err(error) = thread.spawn(move || worker.run()) {
            shared.failed(format!("cannot start the thread that fetches tokens: {error}"));
        }
        Self(shared)
    }
}

impl Drop for Tokens {
    fn drop(&mut self) {
        self.0.closing.store(true, Ordering::Relaxed);
        // Locked, so that the thread cannot miss the signal between its check and its wait.
        let _state = self.0.state.lock();
        self.0.changed.notify_all();
    }
}

/// Hides the token.
impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens").finish_non_exhaustive()
    }
}

impl Shared {
    fn run(&self) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = match runtime {
            Ok(runtime) => runtime,
            Err(error) => return self.failed(format!("cannot fetch tokens: {error}")),
        };
        let mut retry = Retry::new(FIRST_RETRY, LONGEST_RETRY);
        let mut logged: Option<(String, Instant)> = None;
        while !self.closing.load(Ordering::Relaxed) {
            let fetched = runtime.block_on(async {
                match &self.login {
                    Login::Oidc(oidc) => oidc::fetch(oidc).await,
                    Login::Msk(msk) => aws::fetch(msk).await,
                }
            });
            let now = SystemTime::now();
            let wait = match fetched {
                Ok(token) => {
                    retry.reset();
                    let lifetime = token.ends.duration_since(now).unwrap_or_default();
                    let lifetime_seconds = lifetime.as_secs();
                    match logged.take() {
                        Some(_) => info!(lifetime_seconds, "token for Kafka fetched again"),
                        None => tracing::debug!(lifetime_seconds, "token for Kafka fetched"),
                    }
                    self.fetched(token);
                    // Not at once again, even if the provider gives tokens that have already ended.
                    (lifetime - lifetime / RENEW_DIVISOR).max(FIRST_RETRY)
                }
                Err(problem) => {
                    let is_news = logged
                        .as_ref()
                        .is_none_or(|(last, at)| *last != problem || at.elapsed() > LOG_INTERVAL);
                    let left = self.left(now);
                    if is_news && !self.closing.load(Ordering::Relaxed) {
                        let seconds_left = left.as_secs();
                        warn!(
                            problem,
                            seconds_left,
                            "no new token for Kafka; retrying; {}",
                            match seconds_left {
                                0 => "the last one has ended".to_owned(),
                                _ => format!("the last one ends in {}", readable::length(left)),
                            }
                        );
                        logged = Some((problem.clone(), Instant::now()));
                    }
                    self.failed(problem);
                    retry.next_delay()
                }
            };
            self.pause(now, wait);
        }
    }

    fn left(&self, now: SystemTime) -> Duration {
        let state = self.state.lock();
        let ends = state.token.as_ref().map(|token| token.ends);
        ends.and_then(|ends| ends.duration_since(now).ok()).unwrap_or_default()
    }

    /// Pauses by the clock or the timer, whichever is first: a machine sleeps, and its clock is set.
    fn pause(&self, from: SystemTime, wait: Duration) {
        let started = Instant::now();
        let mut state = self.state.lock();
        while !self.closing.load(Ordering::Relaxed) {
            let passed = SystemTime::now().duration_since(from).unwrap_or_default();
            let left = wait.saturating_sub(passed.max(started.elapsed()));
            if left.is_zero() {
                return;
            }
            self.changed.wait_for(&mut state, left.min(CLOCK_CHECK_INTERVAL));
        }
    }

    fn fetched(&self, token: Token) {
        let mut state = self.state.lock();
        state.token = Some(token);
        state.problem = None;
        state.tries += 1;
        self.is_failing.store(false, Ordering::Relaxed);
        self.generation.fetch_add(1, Ordering::Release);
        self.changed.notify_all();
    }

    fn failed(&self, problem: String) {
        let mut state = self.state.lock();
        state.problem = Some(problem);
        state.tries += 1;
        self.is_failing.store(true, Ordering::Relaxed);
        self.changed.notify_all();
    }
}

/// The token that one client was given last.
#[derive(Debug, Default)]
pub(super) struct Given {
    tokens: Option<Arc<Tokens>>,
    generation: AtomicU64,
}

impl Given {
    /// For a client of `kafka`.
    pub fn to_client_of(kafka: &config::Kafka) -> Self {
        Self { tokens: of(kafka), generation: AtomicU64::new(0) }
    }

    /// Whether brokers ask this client for a token.
    pub fn has_tokens(&self) -> bool {
        self.tokens.is_some()
    }

    /// Hands a token over that is newer than the client's. Cheap where there is none, since each poll calls it. The
    /// error is the reason why there is no token at all.
    pub fn renew<C: ClientContext>(&self, client: &Client<C>) -> Result<(), String> {
        let Some(Tokens(shared)) = self.tokens.as_deref() else { return Ok(()) };
        let generation = shared.generation.load(Ordering::Acquire);
        let is_news = generation != self.generation.load(Ordering::Relaxed);
        if !is_news && !shared.is_failing.load(Ordering::Relaxed) {
            return Ok(());
        }
        let state = shared.state.lock();
        let now = SystemTime::now();
        let good = state.token.as_ref().filter(|token| token.ends > now);
        match (good, &state.problem) {
            (Some(token), _) if is_news => {
                hand_over::hand_over(client, token)?;
                self.generation.store(generation, Ordering::Relaxed);
                Ok(())
            }
            (None, Some(problem)) => Err(format!("no token for Kafka: {problem}")),
            _ => Ok(()),
        }
    }

    /// Hands over the first token, for a client for immediate questions: waits until the provider has answered, for a
    /// few seconds at most.
    pub fn first<C: ClientContext>(&self, client: &Client<C>) -> Result<(), String> {
        if let Some(Tokens(shared)) = self.tokens.as_deref() {
            let mut state = shared.state.lock();
            let tries = state.tries;
            let end = Instant::now() + FIRST_TOKEN_TIMEOUT;
            let is_good = |state: &State| {
                state.token.as_ref().is_some_and(|token| token.ends > SystemTime::now())
            };
            // An earlier failure may be over: one more attempt counts.
            while !is_good(&state) && state.tries <= tries {
                if shared.changed.wait_until(&mut state, end).timed_out() {
                    drop(state);
                    self.renew(client)?;
                    return Err("no token for Kafka: its provider does not answer".into());
                }
            }
        }
        self.renew(client)
    }
}
