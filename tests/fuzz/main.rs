//! The targets of tests/fuzz without a fuzzer: examples, changed at random, so that each target is built and run each
//! time, by the compiler of every day. `FUZZ_SECONDS` says for how long each, `FUZZ_SEED` which random numbers.

#[path = "../simulated_disk/mod.rs"]
mod simulated_disk;

mod caches;
mod checkpoints;
mod fields;
mod frames;
mod heads;
mod ids;
mod tokens;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::{Duration, Instant},
};

use fastrand::Rng;

/// As long as a test of every day may take.
const A_MOMENT: Duration = Duration::from_secs(2);

/// Words that the formats know; a byte here and there does not find them.
const WORDS: [&[u8]; 24] = [
    b"MRF\x01",
    b"MILLRACE",
    b"Bearer hunter2-of-leads",
    b"hunter2-of-leads",
    b"\r\n",
    b"\r\n\r\n",
    b"Content-Length: ",
    b"Transfer-Encoding: chunked\r\n",
    b"0\r\n\r\n",
    b"Expect: 100-continue\r\n",
    b"Content-Encoding: gzip\r\n",
    b"/v1/leads",
    b"/v1/adobe?challenge=",
    b"10.0.0.1, ",
    b"18446744073709551615",
    b"-1",
    b"1e400",
    b"\\u0045mail",
    b"\"email\":",
    b"null",
    b"\xff\xff\xff\xff",
    b"\x00\x00\x00\x00",
    b"[[[[[[[[[[[[[[[[",
    b"{\"a\":",
];

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Runs the target with changed examples until the time is over.
fn run(name: &str, target: fn(&[u8]), examples: &[&[u8]]) {
    let time = number("FUZZ_SECONDS").map_or(A_MOMENT, Duration::from_secs);
    let mut random = Rng::with_seed(number("FUZZ_SEED").unwrap_or(1));
    let (begin, mut runs) = (Instant::now(), 0u64);
    let mut run = |input: &[u8]| {
        if catch_unwind(AssertUnwindSafe(|| target(input))).is_err() {
            panic!("{name}, run {runs}: {:?}\n{input:?}", String::from_utf8_lossy(input));
        }
        runs += 1;
    };
    examples.iter().for_each(|example| run(example));
    while begin.elapsed() < time {
        run(&changed(&mut random, examples));
    }
    println!("{name}: {runs} runs");
}

fn changed(random: &mut Rng, examples: &[&[u8]]) -> Vec<u8> {
    let mut bytes = random.choice(examples).map_or(Vec::new(), |example| example.to_vec());
    if random.u8(..8) == 0 {
        bytes = (0..random.usize(..200)).map(|_| random.u8(..)).collect();
    }
    for _ in 0..random.usize(..6) {
        let at = random.usize(..=bytes.len());
        let end = (at + random.usize(..16)).min(bytes.len());
        match random.u8(..7) {
            0 if at < bytes.len() => bytes[at] ^= 1 << random.u8(..8),
            1 if at < bytes.len() => bytes[at] = random.u8(..),
            2 => drop(bytes.drain(at..end)),
            3 => {
                let again = bytes[at..end].to_vec();
                bytes.splice(at..at, again);
            }
            4 => drop(bytes.splice(at..at, WORDS[random.usize(..WORDS.len())].iter().copied())),
            5 => bytes.truncate(at),
            _ => {
                let other = random.choice(examples).copied().unwrap_or_default();
                let from = random.usize(..=other.len());
                bytes.truncate(at);
                bytes.extend_from_slice(&other[from..]);
            }
        }
    }
    bytes
}

/// An example for each value of the byte that says what the rest is.
fn shaped(shapes: impl Iterator<Item = u8>, rests: &[&[u8]]) -> Vec<Vec<u8>> {
    let of_shape = |shape| rests.iter().map(move |rest| [&[shape], *rest].concat());
    shapes.flat_map(of_shape).collect()
}

fn run_shaped(name: &str, target: fn(&[u8]), shapes: impl Iterator<Item = u8>, rests: &[&[u8]]) {
    let examples = shaped(shapes, rests);
    let examples: Vec<_> = examples.iter().map(Vec::as_slice).collect();
    run(name, target, &examples);
}

#[test]
fn a_segment_of_any_bytes_yields_what_was_written_and_nothing_else() {
    let edits: Vec<u8> = (0..=255u8).map(|byte| byte.wrapping_mul(167)).collect();
    let rests = [&edits[..], &edits[100..], &edits[3..40], b"MRF\x01\0\0\0\0"];
    run_shaped("frames", frames::run, (0..=255).step_by(5), &rests);
}

#[test]
fn the_small_files_beside_the_segments_may_say_anything() {
    let rests: [&[u8]; 5] = [
        br#"{"version":1,"spool":"00000000-0000-0000-0000-000000000005","low":{"sequence":2,"index":0},"held":[{"topic":"a","position":{"sequence":1,"index":0}}],"written_at":1}"#,
        br#"{"version":2,"spool":"00000000-0000-0000-0000-000000000005","low":{"sequence":18446744073709551615,"index":4294967295},"held":[],"number":7,"writer":"00000000-0000-0000-0000-000000000005","refused":[{"position":{"sequence":1,"index":1},"reason":"r","error":"e"}],"stored":18446744073709551615,"written_at":1}"#,
        br#"{"version":1,"writers":[{"id":"00000000-0000-0000-0000-000000000005","until":3}]}"#,
        br#"{"version":1,"spool":"00000000-0000-0000-0000-000000000005","segment":18446744073709551615,"segment_size":18446744073709551615}"#,
        br#"{"version":1,"spool":"00000000-0000-0000-0000-000000000005""#,
    ];
    run_shaped("checkpoints", checkpoints::run, 0..16, &rests);
}

#[test]
fn files_of_ids_and_their_key_may_hold_anything() {
    let bytes: Vec<u8> = (0..200u8).collect();
    run_shaped("ids", ids::run, 0..4, &[&bytes, &bytes[50..], &[0; 60], &[255; 60]]);
}

#[test]
fn a_cache_may_hold_anything() {
    let rests: [&[u8]; 3] = [
        br#"{"host":"https://keys.test/","keys":[{"path":"/prod/keys/a.pem","proved_at":18446744073709551615,"key":{"fetched_at":0,"spki":"AAAA"}}]}"#,
        br#""replaced""#,
        b"\xff\0\0\0{}",
    ];
    run_shaped("caches", caches::run, 0..2, &rests);
}

#[test]
fn no_rule_on_fields_leaves_what_it_names() {
    let rests: [&[u8]; 3] = [
        br#"{"munchkinId":"m","activities":[{"activityTypeId":1,"attributes":[{"name":"E-Mail","value":"a@b"},{"name":"x","value":{"email":[1,{"eMail":null}]}}]}]}"#,
        br#"{"recipient_client_id":"client-id","event":{"@id":"1","email":"x","body":{"E_mail":{"a":1},"list":["{\"email\":1}"]}}}"#,
        br#"[{"event_id":"1","event":{"specversion":"1.0","id":"2","type":"a","source":"b","data":{"a":{"email":"c"},"payload":"eyJlbWFpbCI6MX0="}}}]"#,
    ];
    run_shaped("fields", fields::run, 0..6, &rests);
}

#[test]
fn nothing_opens_a_gate_but_what_was_given_for_it() {
    let rests: [&[u8]; 5] = [
        b"token=x\n\0Bearer hunter2-of-leads",
        b"a=b\n\x01aaaa\n\x03/prod/keys/a.pem\n\x05::1, 10.0.0.1",
        b"Basic bWFya2V0bzpzZWNyZXQ=\0grant_type=client_credentials&client_id=marketo&client_secret=the-secret-of-the-client",
        b"\x30\x82\x01\x0a\x30\x81\x20challenge=%61bc&x=%",
        b"\x0a\0\0\x01192.0.2.1, 10.1.1.1:80\n[2001:db8::1]:1, unknown",
    ];
    run_shaped("tokens", tokens::run, 0..8, &rests);
}

#[test]
fn a_connection_may_bring_anything() {
    let examples: [&[u8]; 7] = [
        b"POST /v1/leads HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer hunter2-of-leads\r\nContent-Length: 5\r\n\r\n{\"a\"}",
        b"POST /v1/leads HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer hunter2-of-leads\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\nTrailer: x\r\n\r\n",
        b"GET /v1/adobe?challenge=abc HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 192.0.2.1, 10.0.0.1\r\n\r\nGET / HTTP/1.0\r\n\r\n",
        b"POST /v1/adobe HTTP/1.1\r\nHost: a\r\nx-adobe-digital-signature-1: AAAA\r\nx-adobe-public-key1-path: /prod/keys/a.pem\r\nContent-Length: 2\r\n\r\n{}",
        b"POST http://b/v1/leads HTTP/1.1\r\nHost: a\r\nHost: b\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0",
        b"POST /v1/leads HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer hunter2-of-leads\r\nContent-Encoding: gzip\r\nExpect: 100-continue\r\nContent-Length: 10\r\n\r\n\x1f\x8b\x08\0\0\0\0\0\0\0",
    ];
    run("heads", heads::run, &examples);
}
