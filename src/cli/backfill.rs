//! `millrace backfill`: brings events that Adobe gave up delivering from the journal into the spool.
//!
//! It reads the registration's journal and delivers the events to the running service, as another
//! sender of the same source, with the source's token: the same spool, the same deduplication, the
//! same topics. So it needs neither the folder nor Kafka, and may run anywhere, a CronJob for
//! example. The service drops the events that the webhook already brought behind the spool and counts
//! them; this command reads that count.
//!
//! The token would let anything in, so the test of recipients is made here: an event that names another
//! recipient is not delivered, and is named with the reason. Events in a journal may name none.

mod count;
mod follow;
mod foreign;
mod intake;
mod state;

use std::{io::Write, net::SocketAddr, path::PathBuf, time::Duration};

use clap::{ArgGroup, Args};
use reqwest::Url;

use self::{
    count::{Counted, Counts},
    follow::{Ended, Follow},
    foreign::Foreign,
    intake::Intake,
    state::StateFile,
};
use super::{ConfigFile, Context, Exit, print, program, progress::Bar, text};
use crate::{
    cli::journal::{Credentials, Journal, Start},
    config::{self, Config, Questions, SourceConfig},
    runtime::fetch::Client,
    service::replay::recipients::client_ids,
    source::SourceKind,
};

/// Deliver events that the webhook missed, from Adobe's journal
///
/// Reads the journal of an adobe-io source (`sources.<name>.journal`; Adobe keeps seven days) from
/// --since on, and delivers its events to the running service. Within deduplicate.window, the
/// service drops events that the webhook already received, by their ids. An event without an id is
/// always delivered. An event for a recipient that is not in the source's client ids is reported,
/// not delivered. At the end, reports how many events the webhook missed.
///
/// Exit codes: 0 all events were delivered; 1 some were not, with the reason; 2 the command line or
/// the configuration is wrong.
#[derive(Args)]
#[command(group = ArgGroup::new("start").required(true).multiple(true).args(["since", "state"]))]
pub(super) struct Options {
    /// The source, as in `sources.<name>`
    #[arg(value_name = "SOURCE")]
    source: String,

    #[command(flatten)]
    file: ConfigFile,

    /// How far back to begin (`2h`, `1day`); with --state, only if that file does not exist yet
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    since: Option<Duration>,

    /// File that stores the position in the journal; the next run continues there
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,

    /// URL of the running service. Default: listen.address on this machine
    #[arg(long, value_name = "URL")]
    to: Option<Url>,

    /// URL of its health and metrics, to count missed events. Default: admin.address on this
    /// machine
    #[arg(long, value_name = "URL")]
    admin: Option<Url>,

    /// At the end of the journal, wait for new events until SIGTERM
    #[arg(long)]
    follow: bool,
}

/// How long the service may take to look at the delivered events before its counts are read.
const COUNT_TIMEOUT: Duration = Duration::from_secs(60);

pub(super) fn run(options: Options, context: &mut Context<'_>) -> Exit {
    let config = context.load_with(&options.file, &Questions::NONE)?;
    let plan = Plan::new(&options, &config);
    let plan = plan.map_err(|problem| context.end("backfill", problem, 2))?;
    let bar = Bar::new();
    context.start_log(&config.log, Some(&bar))?;
    let runtime = program::runtime().map_err(|problem| context.end("backfill", problem, 1))?;
    Ok(runtime.block_on(plan.carry_out(bar, context.errors)))
}

/// The parts of one run, made of the options and the configuration.
struct Plan {
    journal: Journal,
    intake: Intake,
    counts: Counts,
    state: Option<StateFile>,
    start: Start,
    foreign: Foreign,
    follow: bool,
}

impl Plan {
    fn new(options: &Options, config: &Config) -> Result<Self, String> {
        let name = &options.source;
        let source = config.sources.iter().find(|source| source.name.as_str() == name);
        let source = source.ok_or_else(|| {
            let names: Vec<_> = config.sources.iter().map(|source| source.name.as_str()).collect();
            format!("no source is named `{name}`; configured sources: {}", names.join(", "))
        })?;
        let (journal, auth) = prerequisites(source)?;
        let client = Client::new().map_err(|error| format!("the HTTP client: {error}"))?;
        let to = options.to.clone().unwrap_or_else(|| local_url(config.listen.address));
        let admin = options.admin.clone().unwrap_or_else(|| local_url(config.admin.address));
        let state = options.state.clone().map(StateFile::new);
        let saved = match &state {
            Some(state) => state.load().map_err(|error| error.to_string())?,
            None => None,
        };
        let start = match (saved, options.since) {
            (Some(position), _) => Start::After(position),
            (None, Some(since)) => Start::Since(since),
            (None, None) => Start::Oldest,
        };
        let credentials = Credentials {
            token_url: journal.token_url.clone(),
            client_id: journal.client_id.clone(),
            client_secret: journal.client_secret.clone(),
            scopes: journal.scopes.clone(),
        };
        let url = journal.url.clone();
        Ok(Self {
            intake: Intake::new(client.clone(), &to, &source.name, auth)?,
            counts: Counts::new(client.clone(), &admin, &source.name)?,
            journal: Journal::new(client, url, &journal.organization_id, credentials),
            state,
            start,
            foreign: Foreign::new(source.name.clone(), client_ids(source).unwrap_or_default()),
            follow: options.follow,
        })
    }

    async fn carry_out(self, mut bar: Bar, errors: &mut dyn Write) -> u8 {
        let Self { journal, intake, counts, state, start, foreign, follow } = self;
        let before = counts.read().await;
        let mut follower = Follow::new(journal, intake, state, foreign, follow);
        let mut progress = |read: u64, delivered| {
            bar.show(delivered, read.max(1), || {
                format!("{} of {} delivered", text::count(delivered), events(read))
            });
        };
        let ended = follower.run(start, &mut progress).await;
        bar.clear();
        let delivered = follower.delivered();
        print(errors, format_args!("{} delivered from the journal\n", events(delivered)));
        if delivered > 0 {
            print(errors, counted(&counts, before, delivered).await);
        }
        let foreign = follower.foreign().describe();
        print(errors, &foreign);
        if follower.met_a_gap() {
            print(
                errors,
                "the journal no longer has the events after the position where reading should have \
                 begun: reading began at its oldest event, and the events before it are lost\n",
            );
        }
        match ended {
            Ok(Ended::CaughtUp) if !follower.met_a_gap() && foreign.is_empty() => 0,
            Ok(Ended::CaughtUp) => 1,
            Ok(Ended::Stopped) => {
                print(errors, "stopped by a signal: start it again to go on\n");
                1
            }
            Err(error) => {
                print(errors, format_args!("backfill: {error}\n"));
                1
            }
        }
    }
}

/// Returns the journal and the tokens of a source, or says which of them backfill needs and misses.
fn prerequisites(source: &SourceConfig) -> Result<(&config::Journal, &config::TokenAuth), String> {
    let SourceConfig { name, kind, .. } = source;
    if *kind != SourceKind::AdobeIo {
        return Err(format!(
            "source `{name}` is of kind {}, and only adobe-io has a journal: Marketo keeps the events that \
             it could not push and sends them itself",
            kind.as_str()
        ));
    }
    let journal = source.journal.as_ref().ok_or_else(|| {
        format!("source `{name}` has no journal: set sources.{name}.journal.url and the other journal keys")
    })?;
    let auth = source.auth.tokens.as_ref().ok_or_else(|| {
        format!(
            "source `{name}` has no token by which backfill could deliver to the service: set \
             sources.{name}.auth.tokens_file there and here"
        )
    })?;
    Ok((journal, auth))
}

/// Returns the URL at which this machine reaches a listen address.
fn local_url(address: SocketAddr) -> Url {
    let host = match address {
        address if !address.ip().is_unspecified() => address.ip().to_string(),
        _ => "127.0.0.1".to_owned(),
    };
    let host = if host.contains(':') { format!("[{host}]") } else { host };
    let url = format!("http://{host}:{}", address.port());
    url.parse().expect("an address and a port make a URL")
}

async fn counted(counts: &Counts, before: Option<Counted>, delivered: u64) -> String {
    let Some(before) = before else {
        return "how much of it was missed is not known: the service's metrics could not be read \
                (--admin)\n"
            .to_owned();
    };
    match counts.wait_for(before, delivered, COUNT_TIMEOUT).await {
        Ok(Counted { missed, known, unidentified, left_out, refused }) => format!(
            "{} missed by the webhook, {} already received\n{}{}{}",
            events(missed),
            text::count(known),
            match unidentified {
                0 => String::new(),
                n => format!("{} without an id cannot be matched and may be repeats\n", events(n)),
            },
            match left_out {
                0 => String::new(),
                n => format!("{} left out by the source's configuration\n", events(n)),
            },
            match refused {
                0 => String::new(),
                n => format!("{} could not be decoded: see the dead letters\n", events(n)),
            }
        ),
        Err(_) => {
            "the service has not looked at all of it yet: millrace_journal_events_total will \
                   say how much was missed\n"
                .to_owned()
        }
    }
}

fn events(n: u64) -> String {
    text::counted(n, "event", "events")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_is_listened_on_everywhere_is_called_at_this_machine() {
        let urls = ["0.0.0.0:8080", "[::]:8080", "10.0.0.1:1", "[::1]:9"]
            .map(|address| local_url(address.parse().unwrap()).to_string());
        let expected = [
            "http://127.0.0.1:8080/",
            "http://127.0.0.1:8080/",
            "http://10.0.0.1:1/",
            "http://[::1]:9/",
        ];
        assert_eq!(urls, expected);
    }
}
