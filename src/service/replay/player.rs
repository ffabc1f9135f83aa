//! Turns bodies into records: decodes, filters, routes, encodes and sends, and counts the results.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use uuid::Uuid;

use super::{recipients::client_ids, sender::Sender};
use crate::{
    config::{Config, SourceConfig},
    deliver::{
        decode::{
            Catalog, Rules,
            adobe::{NotOurs, Unnamed, check_recipients},
            fields::{Came, Screened, screen},
        },
        encode::{Encoder, choice::Choices},
        route::Router,
        select::{LeftOut, Selection},
    },
    event::{Decoded, Event},
    source::{Origin, SourceKind, SourceName},
    spool::position::Position,
};

/// Problems that are reported one by one.
const MAX_PROBLEMS: usize = 20;

/// Events whose results are kept one by one.
const MAX_RESULTS: usize = 10_000;

/// Decides whether an event is replayed.
pub(crate) type Filter = Box<dyn Fn(&Event<'_>) -> bool + Send>;

/// The result of one event.
#[derive(Clone, Debug)]
pub(crate) struct EventResult {
    pub source: SourceName,
    pub position: Position,
    pub result: &'static str,
    pub topic: Option<String>,
    pub place: Option<(i32, i64)>,
    pub reason: Option<String>,
    pub error: Option<String>,
}

/// The settings by which the bodies of one source are read.
#[derive(Clone)]
pub(crate) struct Source {
    pub name: SourceName,
    pub kind: SourceKind,
    rules: Arc<Rules>,
    /// Recipients that its events may name; `None` where events name no recipient.
    client_ids: Option<Arc<HashSet<String>>>,
    /// The form of its records.
    choices: Choices,
    /// The events that it takes.
    selection: Selection,
}

impl Source {
    pub fn new(config: &Config, source: &SourceConfig) -> Result<Self, String> {
        let catalog = Catalog::with_overrides(source.activity_types.clone()).map_err(|errors| {
            let errors: Vec<_> = errors.iter().map(ToString::to_string).collect();
            format!("catalog.activity_types: {}", errors.join("; "))
        })?;
        let choices = config.choices(source, &catalog);
        let rules = Arc::new(config.decoding(source, catalog));
        let client_ids = client_ids(source).map(Arc::new);
        let name = source.name.clone();
        let kind = source.kind;
        let selection = source.selection.clone();
        Ok(Self { name, kind, rules, client_ids, choices, selection })
    }

    /// Returns `body` without hidden fields, by the current rules.
    pub fn screen<'a>(
        &self,
        body: &'a [u8],
        headers: &[(String, String)],
        came: Came,
    ) -> Screened<'a> {
        screen(self.kind, &self.rules, body, headers, came)
    }

    /// Tests recipients as at the first delivery. Events from the journal may name no recipient.
    fn check(&self, item: &Item<'_>) -> Result<(), NotOurs> {
        let Some(client_ids) = &self.client_ids else { return Ok(()) };
        let unnamed = match Origin::of(item.headers) {
            Origin::Journal => Unnamed::Allowed,
            Origin::Sender => Unnamed::Refused,
        };
        check_recipients(item.body, client_ids, unnamed)
    }
}

/// One body, and its position.
pub(crate) struct Item<'a> {
    pub source: &'a SourceName,
    /// The spool's id: events without an id of their own are named after it.
    pub spool: Uuid,
    /// The position of the first event in the body.
    pub position: Position,
    /// The first event to replay.
    pub from: Option<Position>,
    /// The first event not to replay any more.
    pub to: Option<Position>,
    pub headers: &'a [(String, String)],
    pub body: &'a [u8],
    /// Whether the body was kept as it was sent, or as a record had it.
    pub came: Came,
}

pub(crate) struct Player {
    sources: HashMap<SourceName, Source>,
    router: Router,
    /// One encoder for each source.
    encoders: HashMap<SourceName, Encoder>,
    filter: Filter,
    sender: Option<Sender>,
    topic: String,
    totals: Totals,
}

/// The results of everything that was read.
#[derive(Debug, Default)]
pub(crate) struct Totals {
    /// Events sent (or, in a dry run, to be sent) by topic.
    pub sent: BTreeMap<String, u64>,
    /// Bodies that are not known to be for our recipients, by reason.
    pub refused: BTreeMap<&'static str, u64>,
    /// Events that their source does not take, by the key that excludes them.
    pub left_out: BTreeMap<String, u64>,
    pub problems: Vec<String>,
    /// Number of problems beyond those in `problems`.
    pub unnamed: u64,
    /// Results of the first events, in the order in which they were read.
    pub results: Vec<EventResult>,
    pub results_left_out: u64,
    /// Events that were selected.
    pub selected: u64,
    pub failed: u64,
}

impl Player {
    pub fn new(
        config: &Config,
        sources: Vec<Source>,
        filter: Filter,
        sender: Option<Sender>,
    ) -> Result<Self, String> {
        let router = config.router().map_err(|error| format!("topics.name: {error}"))?;
        let encoder = |source: &Source| Encoder::of(config.topics.mode, source.choices.clone());
        let encoders = sources.iter().map(|source| (source.name.clone(), encoder(source)));
        Ok(Self {
            encoders: encoders.collect(),
            sources: sources.into_iter().map(|source| (source.name.clone(), source)).collect(),
            router,
            filter,
            sender,
            topic: String::new(),
            totals: Totals::default(),
        })
    }

    pub fn source(&self, name: &SourceName) -> Option<Source> {
        self.sources.get(name).cloned()
    }

    /// Replays the events of one body. An event that cannot be replayed is noted and stops nothing; an error
    /// means that nothing can be sent any more.
    pub fn play(&mut self, item: &Item<'_>) -> Result<(), String> {
        let Item { source: name, position: first, headers, body, .. } = *item;
        let Some(source) = self.source(name) else {
            self.failed(name, first, None, format!("source `{name}` is not configured"));
            return Ok(());
        };
        let screened = source.screen(body, headers, item.came);
        let mut events = Vec::new();
        if let Some(encoder) = self.encoders.get_mut(name) {
            encoder.come_with(headers);
        }
        if let Err(error) = screened.decode(source.kind, &source.rules, headers, &mut events) {
            let reason = error.reason;
            let error = error.to_string();
            self.failed(name, first, Some(reason), error);
            return Ok(());
        }
        if let Err(not_ours) = source.check(item) {
            self.totals.refused(item, &not_ours);
            return Ok(());
        }
        source.selection.refuse_doubtful(&mut events);
        for decoded in &events {
            self.play_one(&source, item, decoded)?;
        }
        Ok(())
    }

    fn play_one(
        &mut self,
        source: &Source,
        item: &Item<'_>,
        decoded: &Decoded<'_>,
    ) -> Result<(), String> {
        let name = item.source;
        let index = decoded.as_ref().map_or_else(|refused| refused.index, |event| event.index);
        let position = Position { index: item.position.index + index, ..item.position };
        if item.from.is_some_and(|from| position < from) || item.to.is_some_and(|to| position >= to)
        {
            return Ok(());
        }
        let event = match decoded {
            Ok(event) => event,
            Err(refused) => {
                self.failed(name, position, Some(refused.reason), refused.error.clone());
                return Ok(());
            }
        };
        if !(self.filter)(event) {
            return Ok(());
        }
        if let Some(why) = source.selection.leaves_out(event) {
            self.totals.left_out(name, position, why);
            return Ok(());
        }
        let topic = self.router.topic(name, event, &mut self.topic);
        let mark = self.totals.results.len();
        let mut problem = None;
        if let (Some(sender), Some(encoder)) = (&mut self.sender, self.encoders.get_mut(name)) {
            let encoded = encoder.encode(topic, item.spool, position, event);
            problem = sender.send(&encoded.record(), mark)?.err();
        }
        let topic = topic.to_owned();
        if let Some(problem) = problem {
            self.failed(name, position, None, problem.to_string());
            return Ok(());
        }
        let result = if self.sender.is_some() { "on-its-way" } else { "would-send" };
        *self.totals.sent.entry(topic.clone()).or_default() += 1;
        self.totals.selected += 1;
        self.totals.result(EventResult {
            source: name.clone(),
            position,
            result,
            topic: Some(topic),
            place: None,
            reason: None,
            error: None,
        });
        Ok(())
    }

    /// Notes an event, or a body, that was not replayed.
    pub fn failed(
        &mut self,
        source: &SourceName,
        position: Position,
        reason: Option<&str>,
        error: String,
    ) {
        let behind = reason.map(|reason| format!(" ({reason})")).unwrap_or_default();
        self.totals.problem(format!("{source} {position}: {error}{behind}"));
        self.totals.selected += 1;
        self.totals.failed += 1;
        self.totals.result(EventResult {
            source: source.clone(),
            position,
            result: if reason.is_some() { "refused" } else { "failed" },
            topic: None,
            place: None,
            reason: reason.map(str::to_owned),
            error: Some(error),
        });
    }

    /// Notes a problem without an event.
    pub fn problem(&mut self, problem: String) {
        self.totals.problem(problem);
    }

    /// Waits until everything that was sent is acknowledged or refused. `progress` gets the number of records that are
    /// left.
    pub fn settle(&mut self, progress: &mut dyn FnMut(usize)) -> Result<(), String> {
        let Some(sender) = &mut self.sender else { return Ok(()) };
        let ended = sender.settle(progress);
        for (mark, place) in sender.delivered() {
            if let Some(result) = self.totals.results.get_mut(mark) {
                result.result = "sent";
                result.place = place;
            }
        }
        for (topic, failure, mark) in sender.failures() {
            if let Some(sent) = self.totals.sent.get_mut(&topic) {
                *sent -= 1;
            }
            self.totals.failed += 1;
            if let Some(result) = self.totals.results.get_mut(mark) {
                result.result = "failed";
                result.error = Some(failure.to_string());
            }
            self.totals.problem(format!("an event for {topic} was not delivered: {failure}"));
        }
        ended
    }

    pub fn totals(&self) -> &Totals {
        &self.totals
    }
}

impl Totals {
    fn refused(&mut self, item: &Item<'_>, not_ours: &NotOurs) {
        let source = item.source;
        let position = item.position;
        let reason = not_ours.reason();
        self.selected += 1;
        self.failed += 1;
        self.result(EventResult {
            source: source.clone(),
            position,
            result: "refused",
            topic: None,
            place: None,
            reason: Some(reason.to_owned()),
            error: Some(not_ours.to_string()),
        });
        *self.refused.entry(reason).or_default() += 1;
        let key = format!("sources.{source}.auth.client_ids");
        self.problem(format!(
            "{source} {position}: {not_ours}: not known to be for {key} ({reason})"
        ));
    }

    /// Notes an event that the current configuration leaves out.
    fn left_out(&mut self, source: &SourceName, position: Position, why: LeftOut) {
        let key = format!("sources.{source}.{}", why.key());
        self.selected += 1;
        self.result(EventResult {
            source: source.clone(),
            position,
            result: "left-out",
            topic: None,
            place: None,
            reason: Some(why.key().to_owned()),
            error: Some(format!("left out by {key}")),
        });
        *self.left_out.entry(key).or_default() += 1;
    }

    fn result(&mut self, result: EventResult) {
        match self.results.len() < MAX_RESULTS {
            true => self.results.push(result),
            false => self.results_left_out += 1,
        }
    }

    fn problem(&mut self, problem: String) {
        match self.problems.len() < MAX_PROBLEMS {
            true => self.problems.push(problem),
            false => self.unnamed += 1,
        }
    }

    /// Whether everything that was selected was, or would be, sent.
    pub fn is_whole(&self) -> bool {
        self.problems.is_empty()
    }
}
