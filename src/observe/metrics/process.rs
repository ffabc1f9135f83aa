//! Metrics of this process from the operating system, under the names that every Prometheus client uses.
//!
//! Read on each scrape. A metric whose value cannot be read keeps the last one.

use std::fs;

use rustix::{
    process::{Resource, getrlimit},
    time::{ClockId, clock_gettime},
};

use super::Metrics;

pub(super) fn refresh(metrics: &Metrics) {
    let cpu = clock_gettime(ClockId::ProcessCPUTime);
    let seconds = cpu.tv_sec as f64 + cpu.tv_nsec as f64 / 1e9;
    metrics.process_cpu_seconds.inc_by((seconds - metrics.process_cpu_seconds.get()).max(0.0));
    if let Some(limit) = getrlimit(Resource::Nofile).current {
        metrics.process_max_fds.set(limit as i64);
    }
    if let Ok(descriptors) = fs::read_dir("/proc/self/fd") {
        // One descriptor is that of the folder being read.
        metrics.process_open_fds.set(descriptors.count().saturating_sub(1) as i64);
    }
    let Ok(status) = fs::read_to_string("/proc/self/status") else { return };
    for (line, gauge, unit) in [
        ("VmSize:", &metrics.process_virtual_memory_bytes, 1024),
        ("VmRSS:", &metrics.process_resident_memory_bytes, 1024),
        ("Threads:", &metrics.process_threads, 1),
    ] {
        if let Some(value) = number(&status, line) {
            gauge.set(value * unit);
        }
    }
}

/// Returns the number behind a name, as in `VmRSS:     5120 kB`.
fn number(status: &str, name: &str) -> Option<i64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_shows_its_own_memory_threads_files_and_processor_time() {
        let metrics = Metrics::new();
        let before = std::time::Instant::now();
        let mut sum = 0_u64;
        while before.elapsed().as_millis() < 20 {
            sum = std::hint::black_box(sum.wrapping_mul(31).wrapping_add(7));
        }
        refresh(&metrics);
        assert!(metrics.process_resident_memory_bytes.get() > 1024 * 1024);
        let size = metrics.process_virtual_memory_bytes.get();
        assert!(size >= metrics.process_resident_memory_bytes.get());
        assert!(metrics.process_threads.get() >= 1);
        let open = metrics.process_open_fds.get();
        assert!((3..=metrics.process_max_fds.get()).contains(&open), "{open}");
        assert!(metrics.process_cpu_seconds.get() > 0.0);
    }
}
