//! `admin`: where health and metrics are.

use std::net::{Ipv4Addr, SocketAddr};

use super::{
    Config,
    leaf::ADDRESS,
    mistake::{Key, Mistakes},
    reading::{Reading, Section},
};

/// `admin`: health and metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admin {
    pub address: SocketAddr,
}

impl Default for Admin {
    fn default() -> Self {
        Self { address: (Ipv4Addr::LOCALHOST, 9090).into() }
    }
}

pub(super) fn read(reading: &mut Reading, root: &mut Section) -> Admin {
    let mut admin = Admin::default();
    let mut section = reading.section(root, "admin");
    reading.set(&mut section, "address", &ADDRESS, &mut admin.address);
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
