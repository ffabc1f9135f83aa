//! `admin`: the listener for health, metrics, the API and the console, and access to it.

use std::net::{Ipv4Addr, SocketAddr};

use super::{
    Config,
    leaf::{ADDRESS, FLAG},
    mistake::{Key, Mistakes},
    reading::{Reading, Section},
    secret::Secret,
    sources,
    topics::TOPIC,
};

/// `admin`: health, metrics and the API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admin {
    pub address: SocketAddr,
    /// Each of these allows reading where that needs a token, and all changes. Without one nothing can be changed.
    pub tokens: Vec<Secret>,
    /// Host names by which the listener may be called, besides IP addresses and `localhost`.
    pub hosts: Vec<String>,
    /// Whether the API shows bodies.
    pub bodies: bool,
    pub console: Console,
    /// The topic of test deliveries.
    pub test_topic: String,
}

/// The extent of the console.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Console {
    Off,
    /// Shows only.
    #[default]
    Read,
    /// Shows, replays, and sends test deliveries.
    Replay,
}

impl Console {
    pub const ALL: [Self; 3] = [Self::Off, Self::Read, Self::Replay];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Read => "read",
            Self::Replay => "replay",
        }
    }
}

impl Admin {
    /// Returns the key that set the tokens.
    pub fn tokens_key(&self) -> &'static str {
        match self.tokens.iter().any(|token| token.file().is_some()) {
            true => "admin.tokens_file",
            false => "admin.tokens",
        }
    }
}

impl Default for Admin {
    fn default() -> Self {
        Self {
            address: (Ipv4Addr::LOCALHOST, 9090).into(),
            tokens: Vec::new(),
            hosts: Vec::new(),
            bodies: false,
            console: Console::default(),
            test_topic: "marketo.test".into(),
        }
    }
}

pub(super) fn read(reading: &mut Reading, root: &mut Section) -> Admin {
    let mut admin = Admin::default();
    let mut section = reading.section(root, "admin");
    reading.set(&mut section, "address", &ADDRESS, &mut admin.address);
    let tokens = reading.any_optional(&mut section, "tokens", sources::tokens);
    let with_file = reading.with_file(&section.key.child("tokens"));
    let tokens = tokens.flatten().unwrap_or_default();
    admin.tokens = tokens.into_iter().map(with_file).collect();
    admin.hosts = reading.list(&mut section, "hosts", Vec::new()).unwrap_or_default();
    reading.set(&mut section, "bodies", &FLAG, &mut admin.bodies);
    reading.set_choice(&mut section, "console", &Console::ALL, Console::as_str, &mut admin.console);
    reading.set(&mut section, "test_topic", &TOPIC, &mut admin.test_topic);
    reading.end(section);
    admin
}

pub(super) fn check(config: &Config, mistakes: &mut Mistakes) {
    let deliveries = config.listen.address;
    let admin = config.admin.address;
    let is_any = deliveries.ip().is_unspecified() || admin.ip().is_unspecified();
    let same_ip = deliveries.ip() == admin.ip() || is_any;
    if deliveries.port() == admin.port() && admin.port() != 0 && same_ip {
        let problem = "has the port of listen.address";
        mistakes.at(&Key::new("admin.address"), problem, "Choose another port.");
    }
}
