//! `millrace spool export`.

use std::{
    io::{BufRead, BufReader},
    process::Stdio,
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use crate::{
    folder::{Ended, Folder, HEADER, body, flip},
    support::process,
};

fn lines(ended: &Ended) -> Vec<Value> {
    ended.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn sequences(ended: &Ended) -> Vec<u64> {
    lines(ended).iter().map(|line| line["sequence"].as_u64().unwrap()).collect()
}

#[test]
fn a_line_has_all_that_is_known_of_a_delivery() {
    let folder = Folder::new();
    let text = "{\"name\":\"Zoë\",\r\n \"n\" : 1.50}";
    folder.append("leads", ["{}", text]);
    let ended = folder.tool(&["export"]);
    assert_eq!((ended.code, &ended.errors[..]), (0, ""));
    let expected = json!({
        "sequence": 2,
        "source": "leads",
        "received_at": "2026-02-02T02:40:01.000Z",
        "headers": { "content-type": "application/json" },
        "body": text,
    });
    assert_eq!(lines(&ended)[1], expected);
}

#[test]
fn a_body_that_is_no_json_comes_back_from_base64_byte_for_byte() {
    let folder = Folder::new();
    let bodies: [&[u8]; 4] = [b"", b"no json", b"{\"a\":\xff}", &[0, 159, 146, 150]];
    folder.append("leads", bodies.map(<[u8]>::to_vec));
    let ended = folder.tool(&["export"]);
    assert_eq!(ended.code, 0);
    for (line, body) in lines(&ended).iter().zip(bodies) {
        assert!(line.get("body").is_none(), "{line}");
        assert_eq!(STANDARD.decode(line["body_base64"].as_str().unwrap()).unwrap(), body);
    }
}

#[test]
fn delivered_and_undelivered_come_in_order_source_after_source() {
    let folder = Folder::with(&[("other", 4), ("leads", 10)]);
    folder.deliver("leads", "6.0", &[]);
    let ended = folder.tool(&["export"]);
    let found: Vec<_> = lines(&ended)
        .iter()
        .map(|line| {
            (line["source"].as_str().unwrap().to_owned(), line["sequence"].as_u64().unwrap())
        })
        .collect();
    let expected = (1..=10).map(|n| ("leads".to_owned(), n));
    assert_eq!(found, expected.chain((1..=4).map(|n| ("other".to_owned(), n))).collect::<Vec<_>>());
}

#[test]
fn from_is_the_first_position_wanted_and_to_the_first_that_is_not() {
    let folder = Folder::with(&[("leads", 10)]);
    let export = |more: &[&str]| sequences(&folder.tool(&[&["export"], more].concat()));
    assert_eq!(export(&["--from", "7"]), [7, 8, 9, 10]);
    assert_eq!(export(&["--to", "3"]), [1, 2]);
    assert_eq!(export(&["--from", "4.2", "--to", "6.1"]), [4, 5, 6]);
    assert_eq!(export(&["--from", "11"]), [] as [u64; 0]);
    let ended = folder.tool(&["export", "--from", "5", "--to", "5"]);
    assert_eq!(ended.code, 2);
    assert!(ended.errors.contains("the range is empty"), "{}", ended.errors);
    assert_eq!(folder.tool(&["export", "--from", "five"]).code, 2);
}

#[test]
fn damage_is_passed_over_and_named_where_it_concerns_what_is_wanted() {
    let folder = Folder::with(&[("leads", 10)]);
    flip(&folder.segments("leads")[0], HEADER as usize + 50);
    let ended = folder.tool(&["export"]);
    assert_eq!((ended.code, sequences(&ended)), (1, (2..=10).collect()));
    assert!(ended.errors.contains("sequences 1..2"), "{}", ended.errors);
    let behind = folder.tool(&["export", "--from", "2"]);
    assert_eq!((behind.code, &behind.errors[..]), (0, ""));
}

#[test]
fn a_reader_that_has_enough_is_fine() {
    let folder = Folder::new();
    folder.append("leads", (0..40).map(|n| body(n, 100_000)));
    let mut command = process::tied(env!("CARGO_BIN_EXE_millrace"));
    command.args(["spool", "export", "--directory"]).arg(folder.path());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut export = process::spawn(command);
    let mut out = BufReader::new(export.child().stdout.take().unwrap());
    let mut line = String::new();
    out.read_line(&mut line).unwrap();
    assert!(line.starts_with(r#"{"sequence":1,"#));
    drop(out);
    let status = export.wait(Duration::from_secs(30));
    assert_eq!(status.code(), Some(0));
    let mut errors = String::new();
    std::io::Read::read_to_string(&mut export.child().stderr.take().unwrap(), &mut errors).unwrap();
    assert_eq!(errors, "");
}

#[test]
fn missing_first_and_last_segments_are_named_where_they_are_wanted() {
    let folder = Folder::with(&[("leads", 10)]);
    let segments = folder.segments("leads");
    std::fs::remove_file(&segments[0]).unwrap();
    std::fs::remove_file(segments.last().unwrap()).unwrap();
    let ended = folder.tool(&["export"]);
    assert_eq!(ended.code, 1);
    for words in ["sequences 1..4", "the last segment, is gone"] {
        assert!(ended.errors.contains(words), "{words} in\n{}", ended.errors);
    }
    let middle = folder.tool(&["export", "--from", "4", "--to", "5"]);
    assert_eq!((middle.code, &middle.errors[..]), (0, ""));
    folder.deliver("leads", "4.0", &[]);
    assert!(!folder.tool(&["export"]).errors.contains("sequences 1..4"), "it was delivered");
}
