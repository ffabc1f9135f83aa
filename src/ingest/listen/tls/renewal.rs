//! A new certificate without a restart.

use std::{path::PathBuf, sync::Arc, time::SystemTime};

use rustls::ServerConfig;

use super::{expiry::Reminder, material::Material};
use crate::{
    config,
    runtime::reload::{Current, Reload},
};

/// Puts the content of changed files into use.
pub struct Renewal {
    files: config::Tls,
    current: Current<Arc<ServerConfig>>,
    digest: [u8; 32],
    expiry: Reminder,
}

impl Renewal {
    pub(super) fn new(
        files: config::Tls,
        current: Current<Arc<ServerConfig>>,
        digest: [u8; 32],
        expiry: Reminder,
    ) -> Self {
        Self { files, current, digest, expiry }
    }
}

impl Reload for Renewal {
    fn key(&self) -> &str {
        "listen.tls"
    }

    fn files(&self) -> Vec<PathBuf> {
        let config::Tls { certificate_file, key_file, client_ca_file } = &self.files;
        [certificate_file, key_file].into_iter().chain(client_ca_file).cloned().collect()
    }

    fn reload(&mut self) -> Result<bool, String> {
        let material = Material::read(&self.files).map_err(|error| error.to_string())?;
        if material.digest == self.digest {
            return Ok(false);
        }
        self.digest = material.digest;
        self.current.set(material.server);
        self.expiry.is_now(material.validity);
        Ok(true)
    }

    fn look(&mut self, now: SystemTime) {
        self.expiry.remind(now);
    }
}
