//! Strangers who mean harm, against the real process over real sockets, while a sender does its work.
//!
//! One story, so that what the sender meets is measured in one run: a quiet time, then one kind of
//! attack after another, each named in what is printed. Held are: nobody's delivery was refused or
//! late, nothing was served that was hidden in something else, the process has taken no more memory
//! than the chart gives it (its own high-water mark, which no peak escapes), and everything that the
//! sender was answered 200 for is on its topic, once. The times are printed and not compared: a busy
//! machine slows the quiet time as well.
//!
//! - `bystander`: the sender, and what it saw
//! - `crowd`: ten thousand slow connections against a thousand places; slow bodies against the budget
//! - `http2`, `frames`: resets, pings, settings, endless heads, hoarded windows; in the clear and over TLS
//! - `wire`: shapes that are read differently by two servers in a row, and paths
//! - `proxies`: whom the log names
//! - `heavy`: compressed bombs and deep JSON
//! - `large`: many large bodies at once
//! - `shares`: what one party takes of what several share, a case for each
//!
//! What each limit answers is tested one by one in `tests/front`.

#[path = "../support/mod.rs"]
mod support;

mod bystander;
mod crowd;
mod frames;
mod heavy;
mod http2;
mod large;
mod proxies;
mod rig;
mod shares;
#[allow(dead_code, reason = "one key is enough here")]
#[path = "../front/adobe/signer.rs"]
mod signer;
mod target;
mod wire;

use std::{collections::BTreeMap, time::Duration};

use bystander::Bystander;
use rig::Rig;

/// What the chart gives a pod (`resources.limits.memory`).
const MEMORY: u64 = 512 * 1024 * 1024;

/// What the less patient sender waits in all.
const LATE: Duration = Duration::from_secs(10);

#[test]
fn a_sender_is_answered_in_time_and_memory_is_bounded_whatever_strangers_do() {
    let files = rig::raise_open_files(12_000);
    println!("open files: {files}");
    let rig = Rig::start(None);
    assert_eq!(rig.open_files_limit(), files, "the process raised its own limit");

    let sender = Bystander::start(rig.target());
    let runtime = rig::runtime();
    runtime.block_on(async {
        sender.during("quiet", tokio::time::sleep(Duration::from_secs(4))).await;
        let crowd = sender.during("10,000 slow heads", crowd::slow_heads(&rig)).await;
        println!("slow heads: {crowd:?}");
        let bodies = sender.during("2,000 slow bodies", crowd::slow_bodies(&rig)).await;
        println!("slow bodies: {bodies:?}");
        let floods = sender.during("HTTP/2 floods", http2::floods(&rig.target(), FLOOD)).await;
        println!("HTTP/2: {floods:?}");
        let shapes = sender.during("shapes and paths", wire::shapes(&rig)).await;
        println!("shapes: {shapes} answers");
        sender.during("bombs and deep JSON", heavy::bodies(&rig)).await;
        sender.during("quiet again", tokio::time::sleep(Duration::from_secs(2))).await;
    });
    let seen = sender.end();
    println!("{seen}");
    println!("memory: {} MiB at most, of {} MiB", rig.memory_peak() >> 20, MEMORY >> 20);

    seen.assert_served(LATE);
    assert!(rig.memory_peak() < MEMORY, "{} bytes", rig.memory_peak());
    assert!(rig.refused("too-many-connections") >= 8_000.0);
    rig.bridge.wait_until_drained(Duration::from_secs(60));
    let expected: BTreeMap<String, usize> = seen.guids().map(|guid| (guid, 1)).collect();
    let records = rig.records();
    assert!(!records.values().any(|value| wire::is_hidden(value)), "a hidden request was served");
    assert_eq!(rig.ids(&records), expected, "each event once");
    let letters = rig.bridge.metric("millrace_dead_letters_total", &[]);
    assert!(letters >= heavy::UNDECODABLE as f64, "{letters} dead letters");
}

/// How long each kind of flood lasts.
const FLOOD: Duration = Duration::from_secs(1);

#[test]
fn the_same_floods_over_tls_keep_nobody_out() {
    rig::raise_open_files(4_000);
    let certificate = rig::Certificate::new();
    let rig = Rig::start(Some(&certificate));
    let sender = Bystander::start(rig.target());
    let runtime = rig::runtime();
    runtime.block_on(async {
        sender.during("quiet", tokio::time::sleep(Duration::from_secs(2))).await;
        let floods = sender.during("HTTP/2 floods", http2::floods(&rig.target(), FLOOD / 2)).await;
        println!("HTTP/2 over TLS: {floods:?}");
        let hands = sender.during("handshakes", crowd::handshakes(&rig)).await;
        println!("handshakes that hang: {hands:?}");
    });
    let seen = sender.end();
    println!("{seen}");
    println!("memory: {} MiB at most, of {} MiB", rig.memory_peak() >> 20, MEMORY >> 20);
    seen.assert_served(LATE);
    assert!(rig.memory_peak() < MEMORY, "{} bytes", rig.memory_peak());
}

#[test]
fn what_one_party_takes_delays_no_sender_of_another() {
    rig::raise_open_files(4_000);
    let rig = Rig::with(None, |settings| {
        settings
            .set("LISTEN__CONNECTIONS", shares::CONNECTIONS.to_string())
            .set("SOURCES__OTHER__KIND", "marketo-lead-activity")
            .set("SOURCES__OTHER__AUTH__TOKENS", shares::OTHER_TOKEN)
    });
    let late = rig::runtime().block_on(shares::run(&rig));
    println!("memory: {} MiB at most, of {} MiB", rig.memory_peak() >> 20, MEMORY >> 20);
    assert!(late.is_empty(), "later than 3 times the quiet p99 + 20 ms, in every try: {late:?}");
    assert!(rig.memory_peak() < MEMORY, "{} bytes", rig.memory_peak());
}
