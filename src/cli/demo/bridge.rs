//! The real service, configured for the demo: free ports of this machine, a throw-away spool, and
//! the in-memory broker.

use std::{collections::BTreeMap, net::Ipv4Addr, path::Path, time::Duration};

use crate::{
    config::{
        Admin, Adobe, Auth, Config, Forward, HeaderScheme, Kafka, Listen, Log, Secret, Shutdown,
        SourceConfig, Spool, TokenAuth, Topics,
    },
    delivery::{SourceKind, SourceName},
};

/// The one source of the demo.
pub const SOURCE: &str = "leads";
/// No secret: it is printed, and lets only this machine in.
pub const TOKEN: &str = "demo-token";
/// What all topics of the demo begin with.
pub const TOPIC_PREFIX: &str = "marketo.";

pub fn kafka(bootstrap: &str) -> Kafka {
    Kafka {
        bootstrap_servers: bootstrap.into(),
        properties: BTreeMap::new(),
        queue_size: Kafka::QUEUE_SIZE,
    }
}

/// As in production, but for addresses, folder, sizes and a stop that waits for nobody.
pub fn config(bootstrap: &str, folder: &Path) -> Config {
    let anywhere = (Ipv4Addr::LOCALHOST, 0).into();
    let source = SourceConfig {
        name: SourceName::new(SOURCE).expect("the name is a constant of the right form"),
        kind: SourceKind::MarketoLeadActivity,
        auth: Auth {
            tokens: Some(TokenAuth {
                tokens: vec![Secret::new(TOKEN).expect("the token is a constant and not empty")],
                header_scheme: HeaderScheme::Bearer,
                query_parameter: None,
            }),
            ..Auth::default()
        },
        journal: None,
        size_limit: None,
        activity_types: BTreeMap::new(),
    };
    Config {
        listen: Listen { address: anywhere, ..Listen::default() },
        admin: Admin { address: anywhere },
        spool: Spool {
            directory: folder.join("spool"),
            size_limit: GIB,
            reserve: 16 * MIB,
            // What was delivered goes with the next segment: a demo that runs for days stays small.
            keep_delivered_age: Duration::ZERO,
            keep_delivered_size: 0,
            segment_size: 8 * MIB,
        },
        kafka: kafka(bootstrap),
        topics: Topics::default(),
        forward: Forward::default(),
        adobe: Adobe::default(),
        sources: vec![source],
        shutdown: Shutdown { delay: Duration::ZERO, flush: Duration::from_secs(2) },
        log: Log::default(),
    }
}

const MIB: u64 = 1024 * 1024;
const GIB: u64 = 1024 * MIB;
