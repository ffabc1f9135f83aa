//! The origin of keys: Adobe's host, or a folder of the same shape for clusters that cannot reach it.

use std::{
    fs::File,
    io::{self, Read},
    path::PathBuf,
};

use reqwest::{StatusCode, Url};

use super::{PublicKey, Unavailable, path::KeyPath};
use crate::runtime::fetch::{Client, FetchError, Limits};

/// Bytes that are read of a key: more than the PEM text of any accepted one has.
const MAX_KEY_BYTES: usize = 16 * 1024;

pub(super) enum Origin {
    /// Scheme, host and port are always those of `base`.
    Host {
        client: Client,
        base: Url,
    },
    Folder(PathBuf),
}

impl Origin {
    pub async fn read(&self, path: &KeyPath) -> Result<PublicKey, Unavailable> {
        let text = match self {
            Self::Host { client, base } => {
                let mut url = base.clone();
                url.set_path(path.as_str());
                let limits = Limits { bytes: MAX_KEY_BYTES, ..Limits::SMALL };
                client.get(&url, limits).await?.to_vec()
            }
            Self::Folder(folder) => {
                let file = folder.join(path.as_str().trim_start_matches('/'));
                let read = tokio::task::spawn_blocking(move || bounded(File::open(file)?));
                read.await.map_err(io::Error::other).flatten().map_err(|error| {
                    match error.kind() {
                        io::ErrorKind::NotFound => Unavailable::NotThere,
                        _ => Unavailable::Unreadable(error.to_string()),
                    }
                })?
            }
        };
        PublicKey::from_pem(&text).map_err(|_| Unavailable::NotAKey)
    }
}

fn bounded(file: File) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    file.take(MAX_KEY_BYTES as u64).read_to_end(&mut text)?;
    Ok(text)
}

impl From<FetchError> for Unavailable {
    fn from(error: FetchError) -> Self {
        match error {
            FetchError::Status { status: StatusCode::NOT_FOUND, .. } => Self::NotThere,
            error => Self::NotFetched {
                is_worth_retrying: error.is_worth_retrying(),
                reason: error.to_string(),
            },
        }
    }
}
