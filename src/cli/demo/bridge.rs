//! The real service, configured for the demo: free ports of this machine, a throw-away spool, and
//! the in-memory broker.

use std::{collections::BTreeMap, net::Ipv4Addr, path::Path, time::Duration};

use crate::{
    config::{
        Admin, Adobe, AdobeAuth, Auth, Config, Forward, HeaderScheme, Kafka, Listen, Log, OAuth,
        Secret, Shutdown, SourceConfig, Spool, TokenAuth, Topics, Traces, ValidationUrl,
        least_reserve,
    },
    deliver::deduplicate::Settings,
    kafka::MockCluster,
    source::{SourceKind, SourceName},
};

/// The sources of the demo.
pub const MARKETO: &str = "leads";
pub const ADOBE: &str = "adobe";
/// The recipient of the events that Adobe I/O sends.
pub const CLIENT_ID: &str = "demo-client";
/// Not a secret: it is printed, and accepted on this machine only.
pub const TOKEN: &str = "demo-token";
/// The prefix of all topics of the demo.
pub const TOPIC_PREFIX: &str = "marketo.";

pub fn kafka(broker: &MockCluster) -> Kafka {
    Kafka {
        bootstrap_servers: broker.bootstrap().into(),
        properties: broker.properties(),
        queue_size: Kafka::QUEUE_SIZE,
        delivery: Default::default(),
    }
}

/// Configures the service as in production, except for addresses, folders, sizes and a shutdown without delay.
/// Adobe's public keys are in `keys`.
pub fn config(broker: &MockCluster, folder: &Path, keys: &Path) -> Config {
    let reserve = least_reserve(Listen::default().body_limit_inflated);
    let anywhere = (Ipv4Addr::LOCALHOST, 0).into();
    Config {
        listen: Listen { address: anywhere, ..Listen::default() },
        admin: Admin { address: anywhere, ..Admin::default() },
        spool: Spool {
            directory: folder.join("spool"),
            size_limit: GIB,
            reserve,
            // Delivered events go with the next segment: a demo that runs for days stays small.
            keep_delivered_age: Duration::ZERO,
            keep_delivered_size: 0,
            segment_size: 8 * MIB,
            source_limits: vec![None; 2],
            reserve_held: reserve,
        },
        quarantine: Default::default(),
        kafka: kafka(broker),
        schema_registry: None,
        topics: Topics::default(),
        forward: Forward::default(),
        fields: Default::default(),
        adobe: Adobe { keys_folder: Some(keys.to_owned()), ..Adobe::default() },
        deduplicate: Settings::default(),
        oauth: OAuth::default(),
        sources: vec![
            source(MARKETO, SourceKind::MarketoLeadActivity, by_token()),
            source(ADOBE, SourceKind::AdobeIo, by_signature()),
        ],
        shutdown: Shutdown { delay: Duration::ZERO, flush: Duration::from_secs(2) },
        log: Log::default(),
        traces: Traces::Off,
        pushed_metrics: Default::default(),
    }
}

fn source(name: &str, kind: SourceKind, auth: Auth) -> SourceConfig {
    SourceConfig {
        name: SourceName::new(name).expect("the name is a constant of the right form"),
        kind,
        auth,
        journal: None,
        size_limit: None,
        answer: Default::default(),
        activity_types: BTreeMap::new(),
        described_types: Default::default(),
        choice: Default::default(),
        selection: Default::default(),
    }
}

fn by_token() -> Auth {
    let token = Secret::new(TOKEN).expect("the token is a constant and not empty");
    let tokens = TokenAuth {
        tokens: vec![token],
        header_scheme: HeaderScheme::Bearer,
        query_parameter: None,
    };
    Auth { tokens: Some(tokens), ..Auth::default() }
}

fn by_signature() -> Auth {
    let client_ids = vec![CLIENT_ID.to_owned()];
    let adobe = AdobeAuth { client_ids, validation_url: ValidationUrl::Log };
    Auth { adobe: Some(adobe), ..Auth::default() }
}

const MIB: u64 = 1024 * 1024;
const GIB: u64 = 1024 * MIB;
