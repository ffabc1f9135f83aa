//! Files that only save time: one of any content stops no start, and is replaced.

use std::{path::Path, sync::Arc};

use millrace::{
    ingest::authenticate::{moment::Moment, public_keys::PublicKeys},
    observe::metrics::Metrics,
    runtime::fetch::Client,
    spool::{
        cache::{CacheFile, Form},
        disk::{self, Disk},
    },
};
use serde_json::Value;

use crate::simulated_disk::SimulatedDisk;

const HOST: &str = "https://keys.test/";

const FORM: Form = Form {
    magic: *b"MILLPEM\n",
    version: 1,
    largest: 64 * 1024,
    unusable: "it is asked for again",
    unwritable: "a restart asks again",
};

thread_local! {
    static CLIENT: (Client, Metrics) = (Client::new().expect("TLS works"), Metrics::new());
}

pub fn run(input: &[u8]) {
    let Some((shape, bytes)) = input.split_first() else { return };
    let disk = SimulatedDisk::new(1);
    disk::make_directory(&disk, Path::new("/spool")).expect("the disk is well");
    let path = Path::new("/spool/adobe.keys");
    drop(disk.create_new(path).expect("there is none"));
    disk.set_content(path, if shape & 1 == 0 { sealed(bytes) } else { bytes.to_vec() });
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());

    CLIENT.with(|(client, metrics)| {
        let base = HOST.parse().expect("it is an address");
        let keys = PublicKeys::of_host(client.clone(), base, metrics);
        keys.keep_in(shared.clone(), Path::new("/spool"), Moment::now());
    });

    let mut file = CacheFile::new(shared, path.to_owned(), FORM);
    let first: Option<Value> = file.read(|_| None);
    let second: Option<Value> = file.read(|_| None);
    assert_eq!(first, second);
    assert!(file.write(&"replaced"));
    assert_eq!(file.read::<String>(|_| None).as_deref(), Some("replaced"));
}

/// A head whose checksum is right; the first four bytes are the version if they are not ours.
fn sealed(json: &[u8]) -> Vec<u8> {
    let (version, json) = match json.split_first_chunk() {
        Some((version, rest)) if version[0] > 0xf0 => (*version, rest),
        _ => (1u32.to_le_bytes(), json),
    };
    let length = (json.len() as u32).to_le_bytes();
    let sum = crc32c::crc32c_append(crc32c::crc32c(&[version, length].concat()), json);
    [&b"MILLPEM\n"[..], &version, &length, &sum.to_le_bytes(), json].concat()
}
