//! The demo's senders, each to its own source: Marketo's subscriptions, and one registration of Adobe
//! I/O.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::{sync::watch, task::JoinSet, time::Instant};

use super::{Options, books::Books, bridge};
use crate::sender::{
    Act, Clock, Endpoint, Generator,
    adobe::{
        self, EventGenerator, Keys, Lane, Registration, Requests, Shapes, Spelling, challenge,
    },
    marketo::{self, Batches, Subscription},
    play,
    player::{Maker, Manner},
};

/// Names of the senders, in the order of [`Books`]' counts.
pub const NAMES: [&str; 2] = ["Marketo", "Adobe I/O"];
const MARKETO: usize = 0;
const ADOBE: usize = 1;

/// Time until a failed batch is sent again. Marketo waits 3 minutes, in which the demo would be over.
pub const RETRY_AFTER: Duration = Duration::from_secs(3);
/// Shortens Adobe's minutes to seconds.
const TIME_SCALE: f64 = 60.0;
/// Adobe I/O sends smaller deliveries than Marketo, this many times as often.
const ADOBE_IS_BUSIER: u32 = 4;

/// URLs of the two sources.
#[derive(Clone)]
pub struct Endpoints {
    pub marketo: String,
    pub adobe: String,
}

impl Endpoints {
    pub fn of(deliveries: SocketAddr) -> Self {
        let url = |source| format!("http://{deliveries}/v1/{source}");
        Self { marketo: url(bridge::MARKETO), adobe: url(bridge::ADOBE) }
    }
}

/// Starts all lanes; they play until the act is over.
pub async fn start(
    options: &Options,
    run: u32,
    endpoints: &Endpoints,
    keys: &Arc<Keys>,
    books: &Arc<Books>,
    act: &watch::Receiver<Act>,
) -> Result<JoinSet<()>, String> {
    let clock = Clock::start().map_err(|error| error.to_string())?;
    let mut stage = Stage { books, act, clock, began: Instant::now(), lanes: JoinSet::new() };
    marketo(options, run, &endpoints.marketo, &mut stage)?;
    adobe(options, run, &endpoints.adobe, keys, &mut stage).await?;
    Ok(stage.lanes)
}

fn marketo(options: &Options, run: u32, url: &str, stage: &mut Stage<'_>) -> Result<(), String> {
    let rules = marketo::Rules {
        interval: options.interval,
        retry_after: RETRY_AFTER,
        ..marketo::Rules::MARKETO
    };
    let endpoint = Endpoint::new(url)?;
    for lane in 0..options.subscriptions {
        // Subscriptions are not in step with each other.
        let first = options.interval * u32::from(lane) / u32::from(options.subscriptions);
        let generator = Generator::new(options.seed, run, lane);
        let authorization = format!("Bearer {}", bridge::TOKEN);
        let batches = Batches::new(generator, rules.batch.clone(), &authorization)
            .ok_or("the token cannot be sent in a header")?;
        stage.enter(MARKETO, batches, Subscription::new(rules.clone(), first), &endpoint);
    }
    Ok(())
}

async fn adobe(
    options: &Options,
    run: u32,
    url: &str,
    keys: &Arc<Keys>,
    stage: &mut Stage<'_>,
) -> Result<(), String> {
    let rules = adobe::Rules::adobe().scaled(TIME_SCALE);
    let endpoint = Endpoint::new(url)?;
    challenge::ask(&endpoint, "millrace-demo", rules.timeout)
        .await
        .map_err(|why| format!("the service does not pass Adobe's challenge: {why}"))?;
    let registration = Arc::new(Registration::new(&rules));
    let generator = EventGenerator::new(
        options.seed,
        run,
        // Marketo's lanes come first.
        options.subscriptions,
        bridge::CLIENT_ID,
        Spelling::Both,
        Shapes::Batch(1..=20),
    );
    let requests = Requests::new(generator, Arc::clone(keys)).map_err(|error| error.to_string())?;
    let interval = options.interval / ADOBE_IS_BUSIER;
    let lane = Lane::new(rules, registration, interval, interval);
    stage.enter(ADOBE, requests, lane, &endpoint);
    Ok(())
}

/// The common arguments of the lanes.
struct Stage<'a> {
    books: &'a Arc<Books>,
    act: &'a watch::Receiver<Act>,
    clock: Clock,
    began: Instant,
    lanes: JoinSet<()>,
}

impl Stage<'_> {
    fn enter(
        &mut self,
        sender: usize,
        maker: impl Maker + 'static,
        manner: impl Manner + 'static,
        endpoint: &Endpoint,
    ) {
        let endpoint = endpoint.clone();
        let clock = self.clock.clone();
        let began = self.began;
        let books = Arc::clone(self.books);
        let act = self.act.clone();
        self.lanes.spawn(async move {
            let watch = books.watcher(sender);
            play(maker, manner, &endpoint, &clock, began, act, watch).await;
        });
    }
}
