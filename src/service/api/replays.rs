//! Replays that were asked for by the API: one at a time, in the background, each in the log.

use std::{
    collections::{BTreeSet, VecDeque},
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::{Value, json};

use super::status::now;
use crate::{
    config::Config,
    event::Event,
    kafka::{Reader, Select},
    observe::api::{self, Problem},
    runtime::shutdown::{Phase, Shutdown},
    service::replay::{
        letters::{Letter, spool_id},
        player::{EventResult, Filter, Item, Player, Source},
        sender::Sender,
    },
    source::{SourceName, UnixMillis},
    spool::{
        disk::RealDisk,
        position::Position,
        viewer::{Seen, Viewer},
    },
};

/// Replays that are remembered.
const REMEMBERED: usize = 20;
const AT_ONCE: usize = 500;
const WAIT: Duration = Duration::from_millis(250);

#[derive(Default)]
pub(super) struct Replays {
    jobs: Mutex<VecDeque<Arc<Job>>>,
    last: AtomicU64,
    is_busy: Arc<AtomicBool>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum From {
    #[default]
    DeadLetters,
    Spool,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    #[serde(default)]
    from: From,
    positions: Option<Vec<Chosen>>,
    filter: Option<Selection>,
    #[serde(default = "yes")]
    dry_run: bool,
}

fn yes() -> bool {
    true
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Chosen {
    source: String,
    position: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Selection {
    source: Option<String>,
    reason: Option<String>,
    since: Option<String>,
    until: Option<String>,
    #[serde(rename = "type")]
    event_type: Option<String>,
}

/// What is chosen, understood.
struct Choice {
    from: From,
    /// Whole deliveries have no index.
    positions: Option<BTreeSet<(SourceName, Position, bool)>>,
    source: Option<SourceName>,
    reason: Option<String>,
    since: UnixMillis,
    until: UnixMillis,
    event_type: Option<String>,
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
    sent: std::collections::BTreeMap<String, u64>,
    results: Vec<EventResult>,
    left_out: u64,
    problem: Option<String>,
}

impl Replays {
    pub fn all(&self) -> Value {
        let jobs = self.jobs.lock();
        json!({ "replays": jobs.iter().map(|job| job.json(false)).collect::<Vec<_>>() })
    }

    pub fn one(&self, id: &str) -> Result<Value, Problem> {
        let job = self.jobs.lock().iter().find(|job| job.id == id).cloned();
        let unknown = || Problem::new("unknown", "There is no such replay: the last 20 are known.");
        Ok(job.ok_or_else(unknown)?.json(true))
    }

    pub fn begin(
        &self,
        config: &Config,
        request: Value,
        client: IpAddr,
        shutdown: &Shutdown,
    ) -> Result<Value, Problem> {
        let request: Request = serde_json::from_value(request)
            .map_err(|error| Problem::new("bad-request", format!("{error}.")))?;
        let choice = Choice::of(&request)?;
        if self.is_busy.swap(true, Ordering::SeqCst) {
            return Err(Problem::new("too-many", "Another replay is under way: wait for its end."));
        }
        let id = format!("r-{}", self.last.fetch_add(1, Ordering::SeqCst) + 1);
        let (from, dry_run) = (request.from, request.dry_run);
        let state = Mutex::default();
        let job = Arc::new(Job { id, from, dry_run, client, started: now(), state });
        tracing::info!(
            replay = job.id, %client, dry_run, from = ?from, source = request.filter.as_ref().and_then(|it| it.source.as_deref()),
            reason = request.filter.as_ref().and_then(|it| it.reason.as_deref()),
            positions = request.positions.as_ref().map(Vec::len), "a replay was asked for"
        );
        {
            let mut jobs = self.jobs.lock();
            jobs.push_front(job.clone());
            jobs.truncate(REMEMBERED);
        }
        let answer = job.json(true);
        let (config, shutdown, is_busy) = (config.clone(), shutdown.clone(), self.is_busy.clone());
        let work = move || {
            let problem = job.run(&config, &choice, &shutdown).err();
            let mut state = job.state.lock();
            state.ended = Some(now());
            state.problem = problem;
            tracing::info!(
                replay = job.id, %client, dry_run, selected = state.selected, failed = state.failed,
                problem = state.problem, "a replay has ended"
            );
            is_busy.store(false, Ordering::SeqCst);
        };
        if let Err(error) = thread::Builder::new().name("replay".into()).spawn(work) {
            self.is_busy.store(false, Ordering::SeqCst);
            return Err(Problem::new(
                "unavailable",
                format!("No thread could be started: {error}."),
            ));
        }
        Ok(answer)
    }
}

impl Choice {
    fn of(request: &Request) -> Result<Self, Problem> {
        let bad = |text: &str| Problem::new("bad-request", text);
        let source =
            |text: &str| SourceName::new(text).ok_or_else(|| bad("That is no source's name."));
        let filter = request.filter.clone().unwrap_or_default();
        if request.positions.is_some() == request.filter.is_some() {
            return Err(bad("Give either `positions` or `filter`."));
        }
        if request.from == From::Spool && request.positions.is_none() && filter.source.is_none() {
            return Err(bad("A filter for the spool needs a `source`."));
        }
        if request.from == From::Spool && filter.reason.is_some() {
            return Err(bad("`reason` is for dead letters."));
        }
        let positions = request.positions.as_ref().map(|all| {
            let one = |it: &Chosen| {
                let position = it.position.parse::<Position>();
                let position = position.map_err(|_| bad("Write a position as `42.7`, or `42`."))?;
                Ok((source(&it.source)?, position, !it.position.contains('.')))
            };
            match all.len() {
                1..=10_000 => all.iter().map(one).collect::<Result<_, Problem>>(),
                _ => Err(bad("Give from 1 to 10,000 positions.")),
            }
        });
        Ok(Self {
            from: request.from,
            positions: positions.transpose()?,
            source: filter.source.as_deref().map(source).transpose()?,
            reason: filter.reason,
            since: filter.since.as_deref().map_or(Ok(0), api::time)?,
            until: filter.until.as_deref().map_or(Ok(u64::MAX), api::time)?,
            event_type: filter.event_type,
        })
    }

    /// Whether a body that begins there is looked into.
    fn wants(&self, source: &SourceName, position: Position, reason: &str, at: UnixMillis) -> bool {
        if let Some(positions) = &self.positions {
            let whole = (source.clone(), Position::start_of(position.sequence), true);
            return positions.contains(&(source.clone(), position, false))
                || positions.contains(&whole);
        }
        self.source.as_ref().is_none_or(|it| it == source)
            && self.reason.as_deref().is_none_or(|it| it == reason)
            && (self.since..self.until).contains(&at)
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
        let stop = || match shutdown.has_reached(Phase::Closing) {
            true => Err("the service stops".to_owned()),
            false => Ok(()),
        };
        let read = match choice.from {
            From::DeadLetters => self.letters(config, choice, &mut player, &stop),
            From::Spool => self.spool(config, choice, &mut player, &stop),
        };
        let settled = player.settle(&mut |_| {});
        self.publish(&player, 0);
        let mut state = self.state.lock();
        state.results = player.totals().results.clone();
        state.left_out = player.totals().results_left_out;
        drop(state);
        read.and(settled)
    }

    fn publish(&self, player: &Player, read: u64) {
        let (totals, mut state) = (player.totals(), self.state.lock());
        state.read += read;
        state.selected = totals.selected;
        state.failed = totals.failed;
        state.sent = totals.sent.clone();
    }

    /// Each chosen position once: the newest letter of it would be another copy of the same event.
    fn letters(
        &self,
        config: &Config,
        choice: &Choice,
        player: &mut Player,
        stop: &dyn Fn() -> Result<(), String>,
    ) -> Result<(), String> {
        let topic = config.topics.dead_letter.clone();
        let mut reader = Reader::open(&config.kafka, Select::Topics(vec![topic]))
            .map_err(|error| error.to_string())?;
        let mut found = BTreeSet::new();
        loop {
            stop()?;
            let records = reader.read(AT_ONCE, WAIT).map_err(|error| error.to_string())?;
            if records.is_empty() && reader.is_at_end().map_err(|error| error.to_string())? {
                break;
            }
            for letter in records.iter().filter_map(Letter::of) {
                let at = letter.record.at.and_then(|at| at.try_into().ok()).unwrap_or(0);
                if !choice.wants(&letter.source, letter.position, letter.reason, at) {
                    continue;
                }
                let is_new = found.insert((letter.source.clone(), letter.position));
                if is_new || choice.positions.is_none() {
                    letter.play(config, player)?;
                }
            }
            self.publish(player, records.len() as u64);
        }
        self.missing(choice, &found, player);
        Ok(())
    }

    fn missing(
        &self,
        choice: &Choice,
        found: &BTreeSet<(SourceName, Position)>,
        player: &mut Player,
    ) {
        for (source, position, is_whole) in choice.positions.iter().flatten() {
            let from = Position::start_of(position.sequence);
            let behind = Position::start_of(position.sequence + 1);
            let is_found = match is_whole {
                true => {
                    found.range((source.clone(), from)..(source.clone(), behind)).next().is_some()
                }
                false => found.contains(&(source.clone(), *position)),
            };
            if !is_found {
                player.failed(source, *position, None, "it was not found".into());
            }
        }
    }

    fn spool(
        &self,
        config: &Config,
        choice: &Choice,
        player: &mut Player,
        stop: &dyn Fn() -> Result<(), String>,
    ) -> Result<(), String> {
        let mut found = BTreeSet::new();
        let all = choice.positions.iter().flatten().map(|(source, ..)| source);
        let sources: BTreeSet<_> = all.chain(&choice.source).cloned().collect();
        for source in sources {
            let directory = &config.spool.directory;
            let viewer = Viewer::open(Arc::new(RealDisk), directory, &source)
                .map_err(|it| it.to_string())?;
            let spool = spool_id(directory, &source);
            for segment in viewer.segments().map_err(|it| it.to_string())? {
                let Some(mut scan) = viewer.scan(&segment).map_err(|it| it.to_string())? else {
                    continue;
                };
                while let Some(seen) = scan.next().map_err(|it| it.to_string())? {
                    stop()?;
                    let Seen::Delivery(stored) = seen else { continue };
                    self.state.lock().read += 1;
                    let first = Position::start_of(stored.sequence);
                    let chosen = choice.positions.as_ref().map(|all| {
                        let is_it = |it: &&(SourceName, Position, bool)| {
                            it.0 == source && it.1.sequence == stored.sequence
                        };
                        all.iter().filter(is_it).map(|it| (it.1, it.2)).collect::<Vec<_>>()
                    });
                    let is_filtered = choice.wants(&source, first, "", stored.delivery.received_at);
                    let ranges: Vec<(Option<Position>, Option<Position>)> = match chosen {
                        None if is_filtered => vec![(None, None)],
                        None => Vec::new(),
                        Some(chosen) => chosen
                            .into_iter()
                            .map(|(position, is_whole)| match is_whole {
                                true => (None, None),
                                false => {
                                    let end = Position { index: position.index + 1, ..position };
                                    (Some(position), Some(end))
                                }
                            })
                            .collect(),
                    };
                    for (from, to) in ranges {
                        found.insert((source.clone(), from.unwrap_or(first)));
                        player.play(&Item {
                            source: &source,
                            spool,
                            position: first,
                            from,
                            to,
                            headers: &stored.delivery.headers,
                            body: &stored.delivery.body,
                        })?;
                    }
                }
                self.publish(player, 0);
            }
        }
        self.missing(choice, &found, player);
        Ok(())
    }

    fn json(&self, with_results: bool) -> Value {
        let state = self.state.lock();
        let one = |it: &EventResult| {
            json!({
                "source": it.source.as_str(),
                "position": it.position.to_string(),
                "result": it.result,
                "topic": it.topic,
                "partition": it.place.map(|place| place.0),
                "offset": it.place.map(|place| place.1),
                "reason": it.reason,
                "error": it.error,
            })
        };
        let results: Vec<_> = state.results.iter().filter(|_| with_results).map(one).collect();
        let state_word = match (state.ended, &state.problem) {
            (None, _) => "running",
            (Some(_), None) => "done",
            (Some(_), Some(_)) => "failed",
        };
        json!({
            "id": self.id,
            "from": if self.from == From::Spool { "spool" } else { "dead-letters" },
            "dry_run": self.dry_run,
            "state": state_word,
            "client": self.client.to_string(),
            "started": self.started,
            "ended": state.ended,
            "read": state.read,
            "selected": state.selected,
            "sent": state.sent.values().sum::<u64>(),
            "failed": state.failed,
            "topics": state.sent,
            "results": results,
            "results_left_out": state.left_out,
            "problem": state.problem,
        })
    }
}
