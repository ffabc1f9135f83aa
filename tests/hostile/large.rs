//! Many large bodies at once: what is resident stays within `listen.body_budget` and a fixed part, however they come.

use std::{
    io::{Read, Write},
    net::TcpStream,
    thread,
    time::Duration,
};

use flate2::{Compression, write::GzEncoder};
use millrace::config::Listen;

use crate::{
    rig::Rig,
    support::bridge::{LEADS, TOKEN},
};

const MIB: usize = 1024 * 1024;
/// Senders at once.
const SENDERS: usize = 16;
/// What the program takes beside the budget: itself, its threads, and the delivery that the forwarder reads.
const FIXED: u64 = 160 * MIB as u64;

/// How a body comes.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// With its length in its head.
    WithLength,
    /// In pieces, and nothing says how many.
    InPieces,
    /// Compressed.
    Coded,
}

/// A batch of about so many bytes.
fn batch(bytes: usize) -> Vec<u8> {
    let mut body = String::from(r#"{"munchkinId":"999-LRG-000","activities":["#);
    for number in 0.. {
        body += &format!(
            r#"{{"marketoGUID":"{number}","leadId":{number},"activityDate":"2026-03-02T09:59:58Z","activityTypeId":3,"activityType":"Click Link","attributes":[{{"name":"Link","value":"{number:010000}"}}]}}"#
        );
        if body.len() >= bytes {
            break;
        }
        body.push(',');
    }
    body += "]}";
    body.into_bytes()
}

fn request(way: Way, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST {LEADS} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {TOKEN}\r\nconnection: close\r\n"
    );
    let mut request = head.into_bytes();
    match way {
        Way::WithLength => {
            request.extend(format!("content-length: {}\r\n\r\n", body.len()).bytes());
            request.extend(body);
        }
        Way::InPieces => {
            request.extend(b"transfer-encoding: chunked\r\n\r\n");
            for piece in body.chunks(64 * 1024) {
                request.extend(format!("{:x}\r\n", piece.len()).bytes());
                request.extend(piece);
                request.extend(b"\r\n");
            }
            request.extend(b"0\r\n\r\n");
        }
        Way::Coded => {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
            encoder.write_all(body).unwrap();
            let coded = encoder.finish().unwrap();
            request.extend(b"content-encoding: gzip\r\n");
            request.extend(format!("content-length: {}\r\n\r\n", coded.len()).bytes());
            request.extend(coded);
        }
    }
    request
}

/// How many of the senders were answered 200.
fn send_at_once(rig: &Rig, request: &[u8]) -> usize {
    let address = rig.bridge.deliveries();
    let send = || {
        let mut connection = TcpStream::connect(address).unwrap();
        connection.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        // One that finds no room is answered before all of it is sent.
        let _ = connection.write_all(request);
        let mut answer = Vec::new();
        let _ = connection.read_to_end(&mut answer);
        usize::from(answer.starts_with(b"HTTP/1.1 200 "))
    };
    thread::scope(|scope| {
        let senders: Vec<_> = (0..SENDERS).map(|_| scope.spawn(send)).collect();
        senders.into_iter().map(|sender| sender.join().unwrap()).sum()
    })
}

#[test]
fn many_large_bodies_at_once_take_the_budget_and_a_fixed_part_however_they_come() {
    let budget = Listen::default().body_budget;
    let body = batch(15 * MIB);
    let mut peaks = Vec::new();
    for way in [Way::WithLength, Way::InPieces, Way::Coded] {
        let rig = Rig::with(None, |settings| {
            settings
                .set("LISTEN__REQUEST_TIMEOUT", "60s")
                .set("LISTEN__BODY_LIMIT_INFLATED", "64MiB")
                .set("SPOOL__SIZE_LIMIT", "2GiB")
        });
        let request = request(way, &body);
        let stored = send_at_once(&rig, &request);
        rig.bridge.wait_until_drained(Duration::from_secs(600));
        let peak = rig.memory_peak();
        println!("{way:?}: {stored} of {SENDERS} stored, {} MiB at most", peak >> 20);
        assert!(stored > 0, "{way:?}");
        peaks.push((way, peak));
    }
    for (way, peak) in peaks {
        assert!(peak <= budget + FIXED, "{way:?}: {} MiB", peak >> 20);
    }
}
