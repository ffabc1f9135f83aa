//! What the kernel says of a process, and of the machine.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

/// Ticks a second in `/proc/<pid>/stat`, on Linux whatever the kernel's own are.
const TICKS: u64 = 100;

/// Processor time that the process has taken so far.
pub fn cpu(pid: u32) -> Duration {
    let stat = read(pid, "stat");
    // The name, in parentheses, may hold anything.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks: u64 = fields[11..13].iter().map(|field| field.parse::<u64>().unwrap()).sum();
    Duration::from_millis(ticks * 1000 / TICKS)
}

/// How much of the cores' time all processes took while `work` was done, of 1.
pub fn busy<T>(work: impl FnOnce() -> T) -> (T, f64) {
    let (began, before) = (Instant::now(), idle());
    let done = work();
    let all = began.elapsed().as_secs_f64() * cores() as f64;
    (done, 1.0 - (idle() - before).as_secs_f64() / all)
}

/// What the cores together were idle since the machine's start, also while waiting for a disk.
fn idle() -> Duration {
    let stat = fs::read_to_string("/proc/stat").unwrap();
    let fields = stat.lines().next().unwrap().split_whitespace();
    let ticks: u64 = fields.skip(4).take(2).map(|field| field.parse::<u64>().unwrap()).sum();
    Duration::from_millis(ticks * 1000 / TICKS)
}

pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Bytes that the process has caused to be written to disks.
pub fn written(pid: u32) -> u64 {
    number(&read(pid, "io"), "write_bytes:")
}

/// The most memory that was resident at once, in bytes.
pub fn peak_memory(pid: u32) -> u64 {
    number(&read(pid, "status"), "VmHWM:") * 1024
}

fn read(pid: u32, file: &str) -> String {
    fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap()
}

fn number(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    line.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or_default()
}

/// Cores, processor, kernel, commit and time.
pub fn describe() -> Value {
    let processor = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = processor.lines().find_map(|line| line.strip_prefix("model name"));
    let said = |program: &str, arguments: &[&str]| {
        let output = std::process::Command::new(program)
            .args(arguments)
            .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")))
            .output();
        output.map(|it| String::from_utf8_lossy(&it.stdout).trim().to_owned()).unwrap_or_default()
    };
    json!({
        "cores": cores(),
        "processor": model.unwrap_or_default().trim_start_matches([' ', '\t', ':']),
        "kernel": said("uname", &["-r"]),
        "commit": said("git", &["describe", "--always", "--dirty"]),
        "at": said("date", &["-u", "+%FT%TZ"]),
        "load_before": fs::read_to_string("/proc/loadavg").unwrap_or_default().trim(),
    })
}
