//! `src/SHARES.md` and the code are the same: limits are keys or constants that exist, proofs are tests that
//! exist, and each case of `tests/hostile/shares.rs` has its row.

use std::fs;

use super::{names::functions, root};

/// Resource, who takes it, what is left, the answer, the limit, the proof.
type Row = [String; 6];

fn rows() -> Vec<Row> {
    let text = read("src/SHARES.md");
    let rows = text.lines().skip_while(|line| !line.starts_with("| resource |")).skip(2);
    rows.take_while(|line| line.starts_with('|'))
        .map(|line| {
            let cells = line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned());
            Row::try_from(cells.collect::<Vec<_>>()).expect("six cells")
        })
        .collect()
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Whether `section.key` is in the reference of the configuration, commented out or not.
fn is_key(name: &str) -> bool {
    let Some((section, key)) = name.rsplit_once('.') else { return false };
    let text = read("config/default.toml");
    let head = format!("[{section}]");
    let lines = text.lines().skip_while(|line| *line != head).skip(1);
    lines.take_while(|line| !line.starts_with('[')).any(|line| {
        let line = line.trim_start_matches('#');
        line.strip_prefix(key).is_some_and(|rest| rest.trim_start().starts_with('='))
    })
}

fn is_constant(name: &str) -> bool {
    let Some((file, constant)) = name.split_once("::") else { return false };
    read(&format!("src/{file}")).contains(&format!("const {constant}:"))
}

fn quoted(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

#[test]
fn every_limit_of_a_shared_resource_exists() {
    for row in rows() {
        let limits = quoted(&row[4]);
        assert!(!limits.is_empty(), "{}: no limit", row[0]);
        for limit in limits {
            assert!(
                is_key(limit) || is_constant(limit),
                "{}: no key, no constant: {limit}",
                row[0]
            );
        }
    }
}

#[test]
fn every_proof_of_a_share_exists_and_a_weak_one_has_none() {
    let cases = read("tests/hostile/shares.rs");
    let functions = functions();
    for row in rows() {
        assert!(row.iter().all(|cell| !cell.is_empty()), "{row:?}");
        if row[2].starts_with("*weak*") {
            assert_eq!(row[5], "none", "{}", row[0]);
        }
        for proof in row[5].split("; ").filter(|proof| *proof != "none") {
            let is_there = match proof.strip_prefix("hostile: ") {
                Some(case) => cases.contains(&format!("\"{case}\"")),
                None => functions.contains(proof.trim_matches('`')),
            };
            assert!(is_there, "{}: no such test: {proof}", row[0]);
        }
    }
}

#[test]
fn every_case_against_a_share_has_its_row() {
    let text = read("tests/hostile/shares.rs");
    let table = text.split("pub const CASES").nth(1).and_then(|rest| rest.split("\n];").next());
    let names = table.expect("the list of cases").lines();
    let names = names.filter_map(|line| line.trim_start().strip_prefix("(\"")?.split('"').next());
    let proofs: Vec<_> = rows().into_iter().map(|row| row[5].clone()).collect();
    let mut count = 0;
    for name in names {
        count += 1;
        let is_named =
            |proof: &String| proof.split("; ").any(|it| it == format!("hostile: {name}"));
        assert!(proofs.iter().any(is_named), "no row: {name}");
    }
    assert!(count > 0);
}
