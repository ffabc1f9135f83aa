//! The parts one by one: frame, append, recovery, split, route, encode, signature and token.
//!
//! `cargo bench --bench parts [FILTER]` says how long each takes, how much that is a second, and what
//! memory it takes; `-- --list-parts` names them. `tests/bench/instructions` runs them one at a time
//! (`--once NAME TIMES`) to count their instructions, which do not depend on who else uses the machine.

#![allow(clippy::unwrap_used, reason = "a panic is how a measurement fails")]

#[allow(dead_code, reason = "tests/decode uses the rest")]
mod bodies;
mod nowhere;
mod steps;

use divan::{AllocProfiler, Bencher, counter::BytesCount};

#[global_allocator]
static MEMORY: AllocProfiler = AllocProfiler::system();

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words = arguments.iter().map(String::as_str);
    match words.clone().filter(|word| *word != "--bench").collect::<Vec<_>>().as_slice() {
        // `cargo test --benches` builds and starts this too, and wants no measurements.
        _ if !words.clone().any(|word| word == "--bench") => {
            println!("parts: to measure, run `cargo bench --bench parts`");
        }
        ["--list-parts", ..] => {
            for name in steps::NAMES {
                let part = steps::part(name);
                println!("{name} {} {}", part.events, part.bytes);
            }
        }
        ["--once", name, times, ..] => {
            let mut part = steps::part(name);
            (0..times.parse().expect("a number of times")).for_each(|_: u32| (part.step)());
        }
        _ => divan::main(),
    }
}

#[divan::bench(args = steps::NAMES)]
fn part(bencher: Bencher, name: &str) {
    let mut part = steps::part(name);
    bencher.counter(BytesCount::new(part.bytes)).bench_local(|| (part.step)());
}
