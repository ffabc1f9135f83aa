//! The dashboard against Grafana's own types, as Grafana publishes them.

use std::{env, process::Command};

use serde_json::{Value, json};

use crate::tools::{Ended, read, run};

const DASHBOARD: &str = "deploy/helm/millrace/files/dashboard.json";
/// The variable that names the program.
const SCHEMA: &str = "TEST_DASHBOARD_SCHEMA";

fn check(dashboard: &str) -> Ended {
    let program = env::var_os(SCHEMA);
    let program = program.unwrap_or_else(|| panic!("{SCHEMA} is not set; tests/run sets it"));
    run(Command::new(program), [""; 0], dashboard)
}

#[test]
fn the_dashboard_is_one_by_grafana_s_own_types_and_so_is_each_panel() {
    check(&read(DASHBOARD)).expect_fine("dashboard.json");
}

#[test]
fn what_grafana_does_not_know_is_found_at_every_level() {
    let right: Value = serde_json::from_str(&read(DASHBOARD)).expect("it is JSON");
    let panels = right["panels"].as_array().expect("a list");
    let at = |kind: &str| {
        let at = panels.iter().position(|panel| panel["type"] == kind);
        format!("/panels/{}", at.unwrap_or_else(|| panic!("no panel is of the type {kind}")))
    };
    let (stat, series) = (at("stat"), at("timeseries"));
    let wrongs = [
        ("/refesh".to_owned(), json!("30s"), "refesh"),
        ("/graphTooltip".into(), json!("often"), "graphTooltip"),
        (format!("{stat}/options/colourMode"), json!("value"), "colourMode"),
        (format!("{series}/fieldConfig/defaults/custom/fillOpacity"), json!("much"), "fillOpacity"),
        (format!("{series}/targets/0/expression"), json!("up"), "expression"),
        (format!("{series}/type"), json!("graph-of-mine"), "graph-of-mine"),
    ];
    for (path, value, named) in wrongs {
        let mut dashboard = right.clone();
        let (parent, key) = path.rsplit_once('/').expect("a path");
        dashboard.pointer_mut(parent).unwrap_or_else(|| panic!("{path}"))[key] = value;
        let ended = check(&dashboard.to_string());
        assert!(!ended.fine && ended.errors.contains(named), "{path}: {ended:?}");
    }
}
