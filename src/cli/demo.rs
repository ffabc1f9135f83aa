//! `millrace demo`: runs everything on this machine, to be watched.
//!
//! An in-memory broker, the real service in front of it, senders that push as Marketo and Adobe I/O
//! do, and a consumer that counts what arrived. Half-way the broker goes away and comes back. Nothing
//! but the exit code and the summary is a promise: 0 when events were acknowledged and none of them
//! was lost.

mod books;
mod bridge;
mod consumer;
mod head;
mod interrupts;
mod logs;
mod outage;
mod screen;
mod senders;
mod summary;
mod view;

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use clap::Args;
use parking_lot::Mutex;
use tokio::{sync::watch, task::JoinSet};

pub(super) use self::interrupts::Interrupts;
use self::{
    books::Books,
    consumer::Consumer,
    head::Head,
    outage::{Broker, Outages},
    screen::Screen,
    senders::{Endpoints, RETRY_AFTER},
    summary::Summary,
    view::{Backlog, Rates, Stage, Tone, View},
};
use super::{Context, Exit, text};
use crate::{
    kafka::MockCluster,
    runtime::{
        readable,
        shutdown::{Phase, Shutdown},
    },
    sender::{
        Act, Ledger,
        adobe::{self, Keys},
    },
    service::{self, Running},
};

/// Run a local demo: simulated senders, topics, and a broker outage without loss
///
/// Starts an in-memory broker, the service, a few simulated Marketo subscriptions and Adobe I/O,
/// stops the broker half-way and restarts it. Ends with a summary; the exit code is 0 only if
/// nothing was lost.
#[derive(Args, Clone, Debug)]
pub(super) struct Options {
    /// How long batches are sent
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration)]
    #[arg(conflicts_with = "forever")]
    duration: Duration,
    /// Run until Ctrl-C; the broker is down for 15 s of every minute. Memory grows by about 40 MB a
    /// day, for counting
    #[arg(long)]
    forever: bool,
    /// Number of Marketo subscriptions
    #[arg(long, value_name = "N", default_value_t = 3)]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=1000))]
    subscriptions: u16,
    /// Time from one batch of a subscription to the next
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = duration)]
    interval: Duration,
    /// Random seed; the same seed gives the same activities
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
}

fn duration(text: &str) -> Result<Duration, String> {
    let duration = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if duration < Duration::from_millis(1) {
        return Err("must be at least 1ms".into());
    }
    Ok(duration)
}

/// Longest time at the end for the spool to drain, and for the consumer to read the rest.
const DRAIN_WITHIN: Duration = Duration::from_secs(30);
/// How often the broker's schedule is looked at.
const BROKER_CHECK_INTERVAL: Duration = Duration::from_millis(50);
const FOREVER_PERIOD: Duration = Duration::from_secs(60);

/// Runs the demo, which has the terminal to itself; returns the exit code.
pub(super) fn run(options: &Options, context: &mut Context<'_>) -> Exit {
    let good = try_run(options).map_err(|error| context.end("demo", error, 1))?;
    Ok(u8::from(!good))
}

fn try_run(options: &Options) -> Result<bool, String> {
    let failed = |what: &'static str| move |error: std::io::Error| format!("{what}: {error}");
    let mut folder = tempfile::Builder::new()
        .prefix("millrace-demo-")
        .tempdir()
        .map_err(failed("making a temporary folder"))?;
    let log = folder.path().join("millrace.log");
    logs::to_file(&log).map_err(failed("opening the log"))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(failed("starting the runtime"))?;
    let mut screen = Screen::new();
    let good = runtime.block_on(demo(options, folder.path(), &log, &mut screen));
    // Does not wait for threads that are still connecting to a broker.
    runtime.shutdown_timeout(Duration::from_secs(1));
    if !matches!(good, Ok(true)) {
        folder.disable_cleanup(true);
        screen.say(
            Tone::Plain,
            &format!("The log and the spool stay in {}", folder.path().display()),
        );
    }
    good
}

/// The parts that run from start to end.
struct Demo<'a> {
    options: &'a Options,
    broker: MockCluster,
    service: Running,
    endpoints: Endpoints,
    /// Keys with which Adobe I/O signs.
    keys: Arc<Keys>,
    books: Arc<Books>,
    began: Instant,
    broker_is_away: bool,
    rates: Mutex<Rates>,
}

async fn demo(
    options: &Options,
    folder: &Path,
    log: &Path,
    screen: &mut Screen,
) -> Result<bool, String> {
    let mut interrupts = Interrupts::listen().map_err(|error| error.to_string())?;
    let broker = MockCluster::start(1).map_err(|error| error.to_string())?;
    let keys = Keys::generate("Demo").map_err(|error| error.to_string())?;
    let keys_folder = folder.join("keys");
    adobe::keys::write(&keys, &keys_folder)
        .map_err(|error| format!("cannot write Adobe's public keys: {error}"))?;
    let config = bridge::config(&broker, folder, &keys_folder);
    // One partition keeps a demo of days small: the broker holds the last 5 MB of each in memory.
    let maker = broker.topic_maker(if options.forever { 1 } else { 3 });
    let shutdown = Shutdown::new();
    let service = service::start(config, Some(maker), shutdown.clone())
        .await
        .map_err(|error| error.to_string())?;
    // One lane without an order: Adobe I/O sends a failed delivery again behind later ones.
    let ledger = Ledger::new(run_number(options.seed), options.subscriptions, 1);
    let books = Arc::new(Books::new(ledger, &senders::NAMES));
    let kafka = bridge::kafka(&broker);
    let consumer = Consumer::start(kafka, bridge::TOPIC_PREFIX, Arc::clone(&books))?;

    let began = Instant::now();
    let endpoints = Endpoints::of(service.deliveries);
    let keys = Arc::new(keys);
    let broker_is_away = false;
    let rates = Mutex::default();
    let mut demo =
        Demo { options, broker, service, endpoints, keys, books, began, broker_is_away, rates };
    demo.introduce(screen, folder, log)?;
    demo.push(screen, &mut interrupts).await?;
    let mut troubles = Vec::from_iter(demo.drain(screen, &mut interrupts).await);
    troubles.extend(read_to_the_end(consumer, &mut interrupts).await);
    let good = demo.conclude(screen, troubles);

    shutdown.advance(Phase::Closing);
    if let Err(error) = demo.service.finished().await {
        screen.say(Tone::Bad, &format!("The service did not stop cleanly: {error}"));
        return Ok(false);
    }
    Ok(good)
}

/// Waits for the consumer; returns a description of what went wrong, if something did.
async fn read_to_the_end(consumer: Consumer, interrupts: &mut Interrupts) -> Option<String> {
    let read = tokio::task::spawn_blocking(move || consumer.finish(DRAIN_WITHIN));
    tokio::select! {
        read = read => match read {
            Ok(result) => result.err(),
            Err(error) => Some(format!("The consumer failed: {error}")),
        },
        () = interrupts.next() => Some("Interrupted: the topics were not read to their ends.".into()),
    }
}

/// Distinguishes the demo's events from events that are sent by hand.
fn run_number(seed: u64) -> u32 {
    (seed ^ (seed >> 32)) as u32
}

impl Demo<'_> {
    fn introduce(&self, screen: &mut Screen, folder: &Path, log: &Path) -> Result<(), String> {
        let Self { options, service, endpoints, broker, .. } = self;
        if screen.is_live() {
            let head = Head::write(folder, endpoints, service.admin, broker.bootstrap());
            let head = head.map_err(|error| format!("writing an event to send: {error}"))?;
            screen.open(move |columns| head.lines(columns));
        }
        if screen.is_live() {
            return Ok(());
        }
        let subscriptions = match options.subscriptions {
            1 => "1 Marketo subscription pushes".into(),
            n => format!("{n} Marketo subscriptions push"),
        };
        let interval = humantime::format_duration(options.interval);
        let retry = humantime::format_duration(RETRY_AFTER);
        let outage = if options.forever {
            "15 s of every minute".into()
        } else {
            let quarter = options.duration / 4;
            format!("{} half-way", humantime::format_duration(quarter))
        };
        for line in [
            "millrace demo".into(),
            format!(
                "  {subscriptions} 100 to 500 activities every {interval} each, and Adobe I/O signed"
            ),
            format!(
                "  batches of up to 20 events; failed batches are retried after {retry} and 1 s (real senders: minutes);"
            ),
            format!("  the broker is down for {outage}"),
            String::new(),
            format!("  Marketo   {}", endpoints.marketo),
            format!("  Adobe I/O {}", endpoints.adobe),
            format!("  console   http://{}/", service.admin),
            format!("  health    http://{0}/readyz  http://{0}/metrics", service.admin),
            format!("  broker    {}  (in memory, for the demo only)", broker.bootstrap()),
            format!("  log       {}", log.display()),
            String::new(),
            "Send an event of your own:".into(),
            String::new(),
            curl(&endpoints.marketo),
            String::new(),
            "Read along with any Kafka client:".into(),
            String::new(),
            kcat(broker.bootstrap()),
        ] {
            screen.say(Tone::Plain, &line);
        }
        screen.say(Tone::Plain, "");
        Ok(())
    }

    /// Lets the senders push for as long as the options say.
    async fn push(
        &mut self,
        screen: &mut Screen,
        interrupts: &mut Interrupts,
    ) -> Result<(), String> {
        let (act, acts) = watch::channel(Act::Sending);
        let mut players = self.start_senders(&acts).await?;
        let end = (!self.options.forever).then_some(self.options.duration);
        let outages = Outages::every(end.unwrap_or(FOREVER_PERIOD));
        loop {
            let elapsed = self.began.elapsed();
            if end.is_some_and(|end| elapsed >= end) {
                break;
            }
            let broker = outages.broker(elapsed);
            self.set_broker(broker != Broker::There, screen)?;
            screen.show(|| self.view(Stage::Sending(broker, end)));
            if screen.is_ended() {
                break;
            }
            tokio::select! {
                () = tokio::time::sleep(BROKER_CHECK_INTERVAL) => {}
                () = interrupts.next() => break,
            }
        }
        self.set_broker(false, screen)?;
        act.send_replace(Act::Ending);
        while let Some(ended) = players.join_next().await {
            ended.map_err(|error| format!("a sender failed: {error}"))?;
            screen.show(|| self.view(Stage::Draining));
        }
        Ok(())
    }

    async fn start_senders(&self, act: &watch::Receiver<Act>) -> Result<JoinSet<()>, String> {
        let Self { options, endpoints, keys, books, .. } = self;
        senders::start(options, run_number(options.seed), endpoints, keys, books, act).await
    }

    fn set_broker(&mut self, away: bool, screen: &mut Screen) -> Result<(), String> {
        if away == self.broker_is_away {
            return Ok(());
        }
        self.broker_is_away = away;
        self.books.broker_is_away(away);
        let changed = if away { self.broker.take_away() } else { self.broker.bring_back() };
        changed.map_err(|error| error.to_string())?;
        if !screen.is_live() {
            let text = if away {
                "--- The broker goes away. Deliveries are still answered; the backlog grows."
            } else {
                "--- The broker is back. The backlog drains."
            };
            screen.say(Tone::Plain, text);
        }
        Ok(())
    }

    /// Waits until nothing is left in the spool; says so if that takes too long.
    async fn drain(&self, screen: &mut Screen, interrupts: &mut Interrupts) -> Option<String> {
        let began = Instant::now();
        loop {
            let Backlog { bytes, deliveries } = self.backlog();
            if deliveries == 0 {
                return None;
            }
            let left = || {
                format!(
                    "{} were left in the spool",
                    text::counted(deliveries, "delivery", "deliveries")
                )
            };
            if began.elapsed() > DRAIN_WITHIN {
                return Some(format!(
                    "After {} {} ({}).",
                    readable::length(DRAIN_WITHIN),
                    left(),
                    text::bytes(bytes)
                ));
            }
            screen.show(|| self.view(Stage::Draining));
            if screen.is_ended() {
                return Some(format!("Interrupted: {}.", left()));
            }
            tokio::select! {
                () = tokio::time::sleep(BROKER_CHECK_INTERVAL) => {}
                () = interrupts.next() => return Some(format!("Interrupted: {}.", left())),
            }
        }
    }

    fn conclude(&self, screen: &mut Screen, troubles: Vec<String>) -> bool {
        let view = self.view(Stage::Done(troubles.is_empty()));
        screen.show_now(&view);
        screen.keep(&view);
        let books = self.books.lock();
        let summary = Summary { tally: books.ledger.tally(), troubles };
        for (tone, line) in summary.lines(&books, !screen.is_live()) {
            screen.say(tone, &line);
        }
        summary.is_good()
    }

    fn view(&self, stage: Stage) -> View {
        let elapsed = self.began.elapsed();
        let mut rates = self.rates.lock();
        View::new(&self.books.lock(), elapsed, stage, self.backlog(), &mut rates)
    }

    fn backlog(&self) -> Backlog {
        let (bytes, deliveries) = self.service.backlog();
        Backlog { bytes, deliveries }
    }
}

/// Returns a command line that can be pasted into a shell.
fn curl(endpoint: &str) -> String {
    let token = bridge::TOKEN;
    let body = head::event();
    format!(
        "curl -i '{endpoint}' -H 'Authorization: Bearer {token}' -H 'Content-Type: application/json' -d '{body}'"
    )
}

fn kcat(bootstrap: &str) -> String {
    let topic = head::topic();
    format!(r"kcat -b {bootstrap} -C -t {topic} -o beginning -f '%k  %h\n%s\n\n'")
}
