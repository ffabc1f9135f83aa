//! Bodies into records: decodes, filters, routes, encodes and hands on, and keeps the books.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use uuid::Uuid;

use super::{Filter, Sender};
use crate::{
    cli::{recipients::client_ids, table::Table, text},
    config::{Config, SourceConfig},
    deliver::{
        decode::{
            self, Catalog, Rules,
            adobe::{NotOurs, Unnamed, check_recipients},
        },
        encode::{Encoder, choice::Choices},
        route::Router,
    },
    event::Decoded,
    source::{Origin, SourceKind, SourceName},
    spool::position::Position,
};

/// How many events that could not be sent are named one by one.
const NAMED: usize = 20;

/// How the bodies of one source are read.
#[derive(Clone)]
pub(super) struct Source {
    pub name: SourceName,
    pub kind: SourceKind,
    rules: Arc<Rules>,
    /// Whom its events have to be meant for, if they say it.
    client_ids: Option<Arc<HashSet<String>>>,
    /// What its records are.
    choices: Choices,
}

impl Source {
    pub fn new(config: &Config, source: &SourceConfig) -> Result<Self, String> {
        let catalog = Catalog::with_overrides(source.activity_types.clone()).map_err(|errors| {
            let errors: Vec<_> = errors.iter().map(ToString::to_string).collect();
            format!("catalog.activity_types: {}", errors.join("; "))
        })?;
        let choices = config.choices(source, &catalog);
        let rules = Arc::new(Rules::from(catalog));
        let client_ids = client_ids(source).map(Arc::new);
        Ok(Self { name: source.name.clone(), kind: source.kind, rules, client_ids, choices })
    }

    /// The test that a delivery had to pass when it came. From our journal come events that name no recipient.
    fn check(&self, item: &Item<'_>) -> Result<(), NotOurs> {
        let Some(client_ids) = &self.client_ids else { return Ok(()) };
        let unnamed = match Origin::of(item.headers) {
            Origin::Journal => Unnamed::Allowed,
            Origin::Sender => Unnamed::Refused,
        };
        check_recipients(item.body, client_ids, unnamed)
    }
}

/// One body, and where it stood.
pub(super) struct Item<'a> {
    pub source: &'a SourceName,
    /// The spool's id: events without an id of their own are named after it.
    pub spool: Uuid,
    /// Of the first event in the body.
    pub position: Position,
    /// Events before it are left out, and those at or behind `to`.
    pub from: Option<Position>,
    pub to: Option<Position>,
    pub headers: &'a [(String, String)],
    pub body: &'a [u8],
}

pub(super) struct Player {
    sources: HashMap<SourceName, Source>,
    router: Router,
    /// One for each source.
    encoders: HashMap<SourceName, Encoder>,
    filter: Filter,
    sender: Option<Sender>,
    topic: String,
    totals: Totals,
}

/// What became of everything that was read.
#[derive(Debug, Default)]
pub(super) struct Totals {
    /// Events sent (or, in a dry run, to be sent) by topic.
    sent: BTreeMap<String, u64>,
    /// Bodies that are not known to be meant for us, by what was found.
    refused: BTreeMap<&'static str, u64>,
    problems: Vec<String>,
    /// Beyond those that are named.
    unnamed: u64,
}

impl Player {
    pub fn new(
        config: &Config,
        sources: Vec<Source>,
        filter: Filter,
        sender: Option<Sender>,
    ) -> Result<Self, String> {
        let router =
            Router::new(&config.topics.name).map_err(|error| format!("topics.name: {error}"))?;
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

    /// Replays the events of one body. What can't be replayed is noted and stops nothing; the error
    /// says that nothing can be sent any more.
    pub fn play(&mut self, item: &Item<'_>) -> Result<(), String> {
        let Item { source: name, position: first, headers, body, .. } = *item;
        let Some(source) = self.source(name) else {
            self.totals.problem(format!("{name} {first}: source `{name}` is not configured"));
            return Ok(());
        };
        let mut events = Vec::new();
        if let Some(encoder) = self.encoders.get_mut(name) {
            encoder.come_with(headers);
        }
        if let Err(error) = decode::decode(source.kind, &source.rules, body, headers, &mut events) {
            self.totals.problem(format!("{name} {first}: {error} ({})", error.reason));
            return Ok(());
        }
        if let Err(not_ours) = source.check(item) {
            self.totals.refused(item, &not_ours);
            return Ok(());
        }
        for decoded in &events {
            self.play_one(item, decoded)?;
        }
        Ok(())
    }

    fn play_one(&mut self, item: &Item<'_>, decoded: &Decoded<'_>) -> Result<(), String> {
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
                let reason = refused.reason;
                self.totals.problem(format!("{name} {position}: {} ({reason})", refused.error));
                return Ok(());
            }
        };
        if !self.filter.takes(event) {
            return Ok(());
        }
        let topic = self.router.topic(name, event, &mut self.topic);
        if let (Some(sender), Some(encoder)) = (&mut self.sender, self.encoders.get_mut(name)) {
            let encoded = encoder.encode(topic, item.spool, position, event);
            if let Err(problem) = sender.send(&encoded.record())? {
                self.totals.problem(format!("{name} {position}: {problem}"));
                return Ok(());
            }
        }
        *self.totals.sent.entry(topic.to_owned()).or_default() += 1;
        Ok(())
    }

    /// Notes what was not replayed, and why.
    pub fn problem(&mut self, problem: String) {
        self.totals.problem(problem);
    }

    /// Waits until everything that was sent is acknowledged or refused. `progress` hears how many are
    /// left.
    pub fn settle(&mut self, progress: &mut dyn FnMut(usize)) -> Result<(), String> {
        let Some(sender) = &mut self.sender else { return Ok(()) };
        let ended = sender.settle(progress);
        for (topic, failure) in sender.failures() {
            if let Some(sent) = self.totals.sent.get_mut(&topic) {
                *sent -= 1;
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
        let (source, position, reason) = (item.source, item.position, not_ours.reason());
        *self.refused.entry(reason).or_default() += 1;
        let key = format!("sources.{source}.auth.client_ids");
        self.problem(format!(
            "{source} {position}: {not_ours}: not known to be for {key} ({reason})"
        ));
    }

    fn problem(&mut self, problem: String) {
        match self.problems.len() < NAMED {
            true => self.problems.push(problem),
            false => self.unnamed += 1,
        }
    }

    /// Whether everything that was chosen was, or would be, sent.
    pub fn is_whole(&self) -> bool {
        self.problems.is_empty()
    }

    pub fn problems(&self) -> impl Iterator<Item = String> {
        let others = (self.unnamed > 0).then(|| {
            let others = text::counted(self.unnamed, "event is", "events are");
            format!("{others} not replayed either")
        });
        let refused = self.refused.iter().map(|(reason, bodies)| {
            let bodies = text::counted(*bodies, "body was", "bodies were");
            format!("{bodies} refused ({reason}), and stays where it is")
        });
        self.problems.iter().cloned().chain(others).chain(refused)
    }

    /// Topics with their events, for people.
    pub fn table(&self, dry_run: bool) -> String {
        let total: u64 = self.sent.values().sum();
        let verb = if dry_run { "would be sent" } else { "sent" };
        let mut text = format!("{} {verb}\n", text::counted(total, "event", "events"));
        let sent = self.sent.iter().filter(|(_, events)| **events > 0);
        let mut table = Table::new(&["topic", "events"]);
        let rows = sent.map(|(topic, events)| [topic.clone(), text::count(*events)]);
        rows.for_each(|row| table.row(row));
        if total > 0 {
            text += &table.render("  ");
        }
        text
    }
}
