//! The parts of a simulation: endpoints, keys, accounts, and the lanes of each sender.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use parking_lot::Mutex;
use tokio::{sync::watch, task::JoinSet, time::Instant};

use super::options::Options;
use crate::sender::{
    Account, Act, Attempt, Clock, Consequence, Endpoint, Generator, Prepared, account,
    adobe::{self, EventGenerator, KeyServer, Keys, Lane, Registration, Requests, challenge},
    marketo::{self, Batches, Subscription},
    play,
    player::{Maker, Manner},
};

pub struct Cast {
    pub marketo: Option<Marketo>,
    pub adobe: Option<Adobe>,
    /// Distinguishes this run's events from those of other runs.
    run: u32,
    clock: Clock,
}

pub struct Marketo {
    endpoint: Endpoint,
    authorization: String,
    account: Arc<Mutex<Account>>,
}

pub struct Adobe {
    endpoint: Endpoint,
    keys: Arc<Keys>,
    server: KeyServer,
    registration: Arc<Registration>,
    /// Why the endpoint fails the challenge, if it does.
    refused: Option<String>,
    account: Arc<Mutex<Account>>,
}

impl Cast {
    /// Sets up the senders. `authorization` is the value of the header in Marketo's requests.
    pub async fn gather(options: &Options, authorization: Option<&str>) -> Result<Self, String> {
        let run = run_number();
        let marketo = authorization.map(|authorization| {
            let endpoint = Endpoint::new(&options.to)?;
            let authorization = authorization.to_owned();
            Ok::<_, String>(Marketo { endpoint, authorization, account: Arc::default() })
        });
        let adobe = if options.plays_adobe() { Some(adobe(options, run).await?) } else { None };
        let clock = Clock::start().map_err(|error| format!("cannot start a thread: {error}"))?;
        Ok(Self { marketo: marketo.transpose()?, adobe, run, clock })
    }

    /// Returns lines for the operator of the service under test: where its Adobe public keys are.
    pub fn introduction(&self) -> Vec<String> {
        let Some(Adobe { keys, server, .. }) = &self.adobe else { return Vec::new() };
        let place = |path| format!("public key at http://{}{path}", server.address());
        keys.paths().iter().map(place).collect()
    }

    /// Sends the challenge with which a registration begins.
    pub async fn challenge(&mut self, options: &Options) {
        if let Some(adobe) = &mut self.adobe
            && !options.no_challenge
        {
            let value = format!("{:08x}-challenge", self.run);
            let timeout = adobe::Rules::adobe().timeout;
            adobe.refused = challenge::ask(&adobe.endpoint, &value, timeout).await.err();
        }
    }

    /// Starts all lanes, at different phases of their interval.
    pub fn play(
        &self,
        options: &Options,
        act: &watch::Receiver<Act>,
    ) -> Result<JoinSet<()>, String> {
        let (curtain, rises) = watch::channel(None);
        let mut stage = Stage { options, clock: &self.clock, act, rises, lanes: JoinSet::new() };
        if let Some(Marketo { endpoint, authorization, account }) = &self.marketo {
            let mut rules = marketo::Rules::MARKETO.scaled(options.time_scale);
            rules.interval = options.interval();
            rules.batch = options.events_per_delivery.clone().unwrap_or(rules.batch);
            for lane in 0..options.connections {
                let generator = Generator::new(options.seed, self.run, lane);
                let batches = Batches::new(generator, rules.batch.clone(), authorization)
                    .ok_or("the token cannot be sent in a header")?;
                let manner = Subscription::new(rules.clone(), first(options, lane));
                stage.enter(batches, manner, endpoint, account);
            }
        }
        if let Some(Adobe { endpoint, keys, registration, refused: None, account, .. }) =
            &self.adobe
        {
            let rules = adobe_rules(options);
            for lane in 0..options.connections {
                let generator = EventGenerator::new(
                    options.seed,
                    self.run,
                    // Marketo's lanes come first.
                    options.connections + lane,
                    &options.client_id,
                    options.spelling(),
                    options.shapes(),
                );
                let requests = Requests::new(generator, Arc::clone(keys))
                    .map_err(|error| error.to_string())?;
                let registration = Arc::clone(registration);
                let first = first(options, lane);
                let manner = Lane::new(rules.clone(), registration, options.interval(), first);
                stage.enter(requests, manner, endpoint, account);
            }
        }
        curtain.send_replace(Some(Instant::now()));
        Ok(stage.lanes)
    }

    /// Returns each sender's name, account, and the consequences that a real one would have drawn.
    pub fn accounts(&self) -> Vec<(&'static str, Account, Vec<Consequence>)> {
        let mut accounts = Vec::new();
        if let Some(marketo) = &self.marketo {
            let account = marketo.account.lock().clone();
            let consequences = account::of_marketo(&account);
            accounts.push(("marketo", account, consequences));
        }
        if let Some(adobe) = &self.adobe {
            let account = adobe.account.lock().clone();
            let consequences = match &adobe.refused {
                Some(why) => vec![Consequence::Refused(why.clone())],
                None => account::of_adobe(&account, adobe.registration.worst()),
            };
            accounts.push(("adobe", account, consequences));
        }
        accounts
    }

    /// Returns the sum of all accounts.
    pub fn all(&self) -> Account {
        let mut all = Account::default();
        for account in self.each() {
            all.add(&account.lock());
        }
        all
    }

    /// Returns the number of deliveries that each sender has sent so far.
    pub fn sent(&self) -> Vec<u64> {
        self.each().map(|account| account.lock().sent.deliveries).collect()
    }

    fn each(&self) -> impl Iterator<Item = &Arc<Mutex<Account>>> {
        let marketo = self.marketo.as_ref().map(|marketo| &marketo.account);
        marketo.into_iter().chain(self.adobe.as_ref().map(|adobe| &adobe.account))
    }
}

/// The lanes wait here until all are set up, so that setting up one does not delay another.
struct Stage<'a> {
    options: &'a Options,
    clock: &'a Clock,
    act: &'a watch::Receiver<Act>,
    rises: watch::Receiver<Option<Instant>>,
    lanes: JoinSet<()>,
}

impl Stage<'_> {
    fn enter(
        &mut self,
        maker: impl Maker + 'static,
        manner: impl Manner + 'static,
        endpoint: &Endpoint,
        account: &Arc<Mutex<Account>>,
    ) {
        let maker: Box<dyn Maker> = match self.options.prepare {
            Some(count) => Box::new(Prepared::new(maker, usize::from(count))),
            None => Box::new(maker),
        };
        let endpoint = endpoint.clone();
        let account = Arc::clone(account);
        let clock = self.clock.clone();
        let act = self.act.clone();
        let mut rises = self.rises.clone();
        self.lanes.spawn(async move {
            // An error means that the play was called off before it began.
            let Ok(began) = rises.wait_for(Option::is_some).await.map(|began| *began) else {
                return;
            };
            let Some(began) = began else { return };
            let hear = |attempt: &Attempt<'_>| account.lock().hear(attempt);
            play(maker, manner, &endpoint, &clock, began, act, hear).await;
        });
    }
}

async fn adobe(options: &Options, run: u32) -> Result<Adobe, String> {
    let endpoint = Endpoint::new(options.adobe_to())?;
    let keys = Arc::new(Keys::generate(&format!("{run:08x}")).map_err(|error| error.to_string())?);
    if let Some(folder) = &options.keys_folder {
        adobe::keys::write(&keys, folder)
            .map_err(|error| format!("keys folder {}: {error}", folder.display()))?;
    }
    let server = KeyServer::start(Arc::clone(&keys), options.keys_listen)
        .await
        .map_err(|error| format!("key server at {}: {error}", options.keys_listen))?;
    let registration = Arc::new(Registration::new(&adobe_rules(options)));
    Ok(Adobe { endpoint, keys, server, registration, refused: None, account: Arc::default() })
}

/// Returns Adobe's rules with the memory for deliveries to be retried divided among the lanes.
fn adobe_rules(options: &Options) -> adobe::Rules {
    let rules = adobe::Rules::adobe().scaled(options.time_scale);
    adobe::Rules { keep: rules.keep / usize::from(options.connections), ..rules }
}

fn first(options: &Options, lane: u16) -> Duration {
    options.interval() * u32::from(lane) / u32::from(options.connections)
}

fn run_number() -> u32 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    // Any part of the time serves as a number.
    (now.as_micros() & 0xffff_ffff) as u32
}
