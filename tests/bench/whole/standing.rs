//! A large backlog: how soon the service is ready, what it holds in memory, and whether an event costs
//! more because others wait. And the size of the program.

use std::{fs, path::Path, process::Command};

use crate::{
    Plan, backlog,
    intake::{MIB, allowed, memory_row},
    machine,
    service::{Service, watch},
    table::{Row, Target, median},
};

pub fn measure(plan: &Plan, kafka: &str) -> Vec<Row> {
    let largest = *plan.backlogs.last().expect("a backlog");
    let named = |bytes: u64| format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30));
    let mut ready = Row::new(
        &format!("start-up to ready, {} backlog", named(largest)),
        "s",
        "a second",
        Target::AtMost(1.0),
    );
    let mut memory = memory_row(&format!("resident memory, {} backlog", named(largest)));
    let events = plan.batch / 500 / backlog::EVENTS * backlog::EVENTS;
    let mut costs: Vec<Vec<f64>> = Vec::new();
    let mut paces: Vec<Vec<f64>> = Vec::new();
    for &bytes in &plan.backlogs {
        println!("standing, {}", named(bytes));
        let folder = tempfile::tempdir_in(&plan.folder).unwrap();
        backlog::fill(folder.path(), bytes);
        let (mut cpu, mut pace) = (Vec::new(), Vec::new());
        for _ in 0..plan.rounds {
            let mut service = Service::start(folder.path(), kafka, &[]).unwrap();
            let measured = watch(&mut service, events);
            cpu.push(measured.cpu);
            pace.push(measured.rate);
            if bytes == largest {
                ready.add(service.ready_after.as_secs_f64(), 1.0);
                let ids = service.metric("millrace_deduplicate_ids");
                let resident = machine::peak_memory(service.process.id()) as f64 / MIB;
                memory.add(resident, allowed(ids));
            }
            service.process.kill();
            forget(folder.path());
        }
        costs.push(cpu);
        paces.push(pace);
    }
    let mut rows = vec![ready, memory];
    for at in 1..plan.backlogs.len() {
        let what = format!("cost of an event, {} backlog", named(plan.backlogs[at]));
        let limit = format!("the same with {}", named(plan.backlogs[0]));
        let mut row = Row::new(&what, "us", &limit, Target::AtMost(1.1));
        for (cost, first) in costs[at].iter().zip(&costs[0]) {
            row.add(*cost, *first);
        }
        row.note = format!(
            "processor time of the first {events} events; events a second: {:.0} and {:.0}",
            median(&paces[at]),
            median(&paces[0]),
        );
        rows.push(row);
    }
    let mut size = Row::new("the program, stripped", "MB", "20 MB", Target::AtMost(1.0));
    size.add(program(&plan.folder) / 1e6, 20.0);
    rows.push(size);
    rows
}

/// As if nothing of the backlog had been delivered.
fn forget(spool: &Path) {
    let source = spool.join("leads");
    let _ = fs::remove_file(source.join("checkpoint"));
    let _ = fs::remove_dir_all(source.join("ids"));
}

/// Bytes of the program without symbols, as a release has it.
fn program(folder: &Path) -> f64 {
    let (program, stripped) = (env!("CARGO_BIN_EXE_millrace"), folder.join("stripped"));
    let done = Command::new("strip").arg("-o").arg(&stripped).arg(program).status();
    let path = if done.is_ok_and(|it| it.success()) { &stripped } else { Path::new(program) };
    fs::metadata(path).unwrap().len() as f64
}
