//! Replays that are started by the API: one at a time, in the background, each in the log.

mod choice;
mod read;

use std::{
    collections::{BTreeMap, VecDeque},
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
};

use parking_lot::Mutex;
use serde_json::Value;

use self::{
    choice::{Choice, From, Request},
    read::Read,
};
use super::status::now;
use crate::{
    config::Config,
    event::Event,
    observe::api::{Problem, objects},
    runtime::shutdown::{Phase, Shutdown},
    service::replay::{
        player::{EventResult, Filter, Player, Source},
        sender::Sender,
    },
    source::UnixMillis,
};

/// Replays that are remembered.
const MAX_REMEMBERED: usize = 20;

#[derive(Default)]
pub(super) struct Replays {
    jobs: Mutex<VecDeque<Arc<Job>>>,
    last: AtomicU64,
    is_busy: Arc<AtomicBool>,
}

struct Job {
    id: String,
    from: From,
    dry_run: bool,
    client: IpAddr,
    started: UnixMillis,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    ended: Option<UnixMillis>,
    read: u64,
    selected: u64,
    failed: u64,
    sent: BTreeMap<String, u64>,
    results: Vec<EventResult>,
    left_out: u64,
    problem: Option<String>,
}

/// The right to run the only replay; returned however it ends.
struct Turn(Arc<AtomicBool>);

impl Turn {
    fn of(is_busy: &Arc<AtomicBool>) -> Option<Self> {
        (!is_busy.swap(true, Ordering::SeqCst)).then(|| Self(is_busy.clone()))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

impl Replays {
    pub fn all(&self) -> objects::Replays {
        let jobs = self.jobs.lock();
        objects::Replays { replays: jobs.iter().map(|job| job.describe(false)).collect() }
    }

    pub fn one(&self, id: &str) -> Result<objects::Replay, Problem> {
        let job = self.jobs.lock().iter().find(|job| job.id == id).cloned();
        let unknown = || Problem::new("unknown", "There is no such replay: the last 20 are known.");
        Ok(job.ok_or_else(unknown)?.describe(true))
    }

    pub fn begin(
        &self,
        config: &Config,
        request: Value,
        client: IpAddr,
        shutdown: &Shutdown,
    ) -> Result<objects::Replay, Problem> {
        let request: Request = serde_json::from_value(request)
            .map_err(|error| Problem::new("bad-request", format!("{error}.")))?;
        let choice = Choice::of(&request)?;
        let turn = Turn::of(&self.is_busy).ok_or_else(|| {
            Problem::new("too-many", "Another replay is under way: wait for its end.")
        })?;
        let id = format!("r-{}", self.last.fetch_add(1, Ordering::SeqCst) + 1);
        let from = request.from;
        let dry_run = request.dry_run;
        let state = Mutex::default();
        let job = Arc::new(Job { id, from, dry_run, client, started: now(), state });
        tracing::info!(
            replay = job.id, %client, dry_run, from = from.as_str(), source = request.filter.as_ref().and_then(|it| it.source.as_deref()),
            reason = request.filter.as_ref().and_then(|it| it.reason.as_deref()),
            positions = request.positions.as_ref().map(Vec::len), "a replay was asked for"
        );
        {
            let mut jobs = self.jobs.lock();
            jobs.push_front(job.clone());
            jobs.truncate(MAX_REMEMBERED);
        }
        let answer = job.describe(true);
        let config = config.clone();
        let shutdown = shutdown.clone();
        let work = move || {
            let _turn = turn;
            let problem = job.run(&config, &choice, &shutdown).err();
            let mut state = job.state.lock();
            state.ended = Some(now());
            state.problem = problem;
            tracing::info!(
                replay = job.id, %client, dry_run, selected = state.selected, failed = state.failed,
                problem = state.problem, "a replay has ended"
            );
        };
        if let Err(error) = thread::Builder::new().name("replay".into()).spawn(work) {
            let text = format!("No thread could be started: {error}.");
            return Err(Problem::new("unavailable", text));
        }
        Ok(answer)
    }
}

impl Job {
    fn run(&self, config: &Config, choice: &Choice, shutdown: &Shutdown) -> Result<(), String> {
        let sources = config
            .sources
            .iter()
            .map(|source| Source::new(config, source))
            .collect::<Result<_, _>>()?;
        let sender = if self.dry_run { None } else { Some(Sender::new(config)?) };
        let wanted = choice.event_type.clone();
        let filter: Filter = Box::new(move |event: &Event<'_>| {
            wanted.as_deref().is_none_or(|wanted| wanted == &*event.event_type)
        });
        let mut player = Player::new(config, sources, filter, sender)?;
        let mut progress = |player: &Player, read| {
            self.publish(player, read);
            match shutdown.has_reached(Phase::Closing) {
                true => Err("the service stops".to_owned()),
                false => Ok(()),
            }
        };
        let read = Read { config, choice, player: &mut player, progress: &mut progress }.run();
        let settled = player.settle(&mut |_| {});
        self.publish(&player, 0);
        let mut state = self.state.lock();
        state.results = player.totals().results.clone();
        state.left_out = player.totals().results_left_out;
        drop(state);
        read.and(settled)
    }

    fn publish(&self, player: &Player, read: u64) {
        let totals = player.totals();
        let mut state = self.state.lock();
        state.read += read;
        state.selected = totals.selected;
        state.failed = totals.failed;
        state.sent = totals.sent.clone();
    }

    fn describe(&self, with_results: bool) -> objects::Replay {
        let state = self.state.lock();
        let results = state.results.iter().filter(|_| with_results).map(result).collect();
        let state_word = match (state.ended, &state.problem) {
            (None, _) => "running",
            (Some(_), None) => "done",
            (Some(_), Some(_)) => "failed",
        };
        objects::Replay {
            id: self.id.clone(),
            from: self.from.as_str().to_owned(),
            dry_run: self.dry_run,
            state: state_word.to_owned(),
            client: self.client.to_string(),
            started: self.started,
            ended: state.ended,
            read: state.read,
            selected: state.selected,
            sent: state.sent.values().sum(),
            failed: state.failed,
            topics: state.sent.clone(),
            results,
            results_left_out: state.left_out,
            problem: state.problem.clone(),
        }
    }
}

fn result(it: &EventResult) -> objects::ReplayResult {
    objects::ReplayResult {
        source: it.source.to_string(),
        position: it.position.to_string(),
        result: it.result.to_owned(),
        topic: it.topic.clone(),
        partition: it.place.map(|place| place.0),
        offset: it.place.map(|place| place.1),
        reason: it.reason.clone(),
        error: it.error.clone(),
    }
}
