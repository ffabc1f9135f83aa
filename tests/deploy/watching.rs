//! Alerts, dashboard and runbook, against each other and against what the service exports.

use std::{collections::BTreeSet, fs, path::Path, time::Duration};

use millrace::{
    ingest::listen::reply::{self, Scope},
    kafka::MockCluster,
};
use serde_json::Value;

use crate::{
    render::{INSTALLATIONS, manifests},
    support::{
        batches::Subscription,
        bridge::{Bridge, LEADS, Settings, TOKEN},
        wait,
    },
    tools::{read, run, tool, yaml},
};

const ALERTS: &str = "deploy/helm/millrace/files/alerts.yaml";
const DASHBOARD: &str = "deploy/helm/millrace/files/dashboard.json";

#[test]
fn the_alerts_fire_when_they_should_and_not_otherwise() {
    // The sentences are for people: which series raise an alert is tested without them.
    test_rules("alerts.test.yaml", &without_annotations(&read(ALERTS)));
}

#[test]
fn the_objectives_are_used_up_by_what_fails_and_by_nothing_else() {
    test_rules("objectives.test.yaml", &without_annotations(&read(ALERTS)));
}

#[test]
fn replicas_that_are_missing_are_missed_whatever_else_prometheus_watches() {
    let manifests = manifests(INSTALLATIONS[2], &[]);
    let mut rules = manifests.named("PrometheusRule", "bridge-replicas")["spec"].clone();
    rules["groups"][0]["rules"][0]["annotations"] = Value::Null;
    test_rules("replicas.test.yaml", &rules.to_string());
}

#[test]
fn what_the_alerts_say_is_filled_in_for_people() {
    test_rules("annotations.test.yaml", &read(ALERTS));
}

#[track_caller]
fn test_rules(name: &str, rules: &str) {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let test = folder.path().join(name);
    fs::write(folder.path().join("alerts.yaml"), rules).expect("it can be written");
    fs::write(&test, read(&format!("tests/deploy/alerts/{name}"))).expect("it can be written");
    let test = test.to_str().expect("it is UTF-8");
    run(tool("promtool"), ["test", "rules", test], "").expect_fine(name);
}

fn without_annotations(rules: &str) -> String {
    let mut within = false;
    let mut kept = String::new();
    for line in rules.lines() {
        within =
            line.starts_with("        annotations:") || (within && line.starts_with("          "));
        if !within {
            kept += line;
            kept.push('\n');
        }
    }
    assert!(!kept.contains("summary: ") && kept.contains("expr: "), "{kept}");
    kept
}

#[test]
fn every_alert_has_a_test_that_raises_it() {
    let files = ["alerts.test.yaml", "objectives.test.yaml"];
    let tests = files.map(|file| yaml(&read(&format!("tests/deploy/alerts/{file}"))).remove(0));
    let raised: BTreeSet<_> = tests
        .iter()
        .flat_map(|file| file["tests"].as_array().expect("a list"))
        .flat_map(|test| test["alert_rule_test"].as_array().expect("a list"))
        .filter(|case| case["exp_alerts"].as_array().is_some_and(|alerts| !alerts.is_empty()))
        .filter_map(|case| case["alertname"].as_str().map(str::to_owned))
        .collect();
    let alerts: BTreeSet<_> = alerts().iter().map(name_of).collect();
    let by_name = |names: &BTreeSet<String>, others: &BTreeSet<String>| -> Vec<String> {
        names.difference(others).cloned().collect()
    };
    assert_eq!(by_name(&alerts, &raised), [""; 0], "alerts that no test raises");
    assert_eq!(by_name(&raised, &alerts), [""; 0], "tests of alerts that are not there");
}

#[test]
fn every_alert_has_a_heading_in_the_runbook_which_says_what_to_do() {
    let runbook = read("deploy/RUNBOOK.md");
    let mut headings = BTreeSet::new();
    for section in runbook.split("\n## ").skip(1) {
        let (heading, text) = section.split_once('\n').expect("a heading has a text");
        if heading.starts_with("Millrace") {
            headings.insert(heading.to_owned());
            for part in ["**Means**", "**Safe**", "**Do**"] {
                assert!(text.contains(part), "{heading} has no {part}");
            }
        }
    }
    let mut alerts: BTreeSet<_> = alerts().iter().map(name_of).collect();
    // The chart makes it for each release (templates/replicas.yaml).
    alerts.insert("MillraceReplicasMissing".into());
    assert_eq!(headings, alerts);
}

#[test]
fn every_alert_says_how_urgent_it_is_and_what_happened() {
    for alert in alerts() {
        let severity = alert["labels"]["severity"].as_str();
        assert!(matches!(severity, Some("critical" | "warning")), "{alert}");
        for text in ["summary", "description"] {
            assert!(alert["annotations"][text].as_str().is_some_and(|t| !t.is_empty()), "{alert}");
        }
    }
}

#[test]
fn alerts_and_dashboard_ask_for_metrics_that_the_service_exports() {
    let exported = exported();
    // Prometheus' own text format has a line for each family.
    let families: BTreeSet<_> = exported
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next())
        .collect();
    assert!(families.len() > 15, "{families:?}");
    let mut asked = names(&read(ALERTS));
    asked.extend(names(&read(DASHBOARD)));
    let is_configured = |name: &str| OF_WHAT_IS_CONFIGURED.contains(&name);
    let is_known = |name: &str| families.contains(name) || is_configured(name);
    let unknown: Vec<_> = asked.iter().filter(|name| !is_known(name)).collect();
    assert!(unknown.is_empty(), "{unknown:?} of {families:?}");
}

/// What only a service with a certificate, files, an identity provider or a broker shows.
const OF_WHAT_IS_CONFIGURED: [&str; 4] = [
    "millrace_tls_certificate_expiry_timestamp_seconds",
    "millrace_last_reload_successful",
    "millrace_identity_requests_total",
    "millrace_kafka_request_timeouts_total",
];

#[test]
fn every_series_that_an_alert_asks_for_is_there_before_anything_has_happened() {
    let settings = Settings::new("127.0.0.1:1", "t")
        .set("SOURCES__IO__KIND", "adobe-io")
        .set("SOURCES__IO__AUTH__CLIENT_IDS", "a-client-id")
        .set("SOURCES__IO__ANSWER", "delivered");
    let bridge = Bridge::start(settings);
    let exported = bridge.admin().get("/metrics").expect("the service gives its metrics").text();
    let mut count = 0;
    for alert in alerts() {
        let expression = alert["expr"].as_str().expect("each alert has an expression");
        for Matcher { metric: name, label, excludes, words } in matchers(expression) {
            if excludes || OF_WHAT_IS_CONFIGURED.contains(&name.as_str()) {
                continue;
            }
            for word in &words {
                let has = |line: &str| {
                    line.strip_prefix(name.as_str())
                        .is_some_and(|rest| rest.starts_with(['{', ' ']))
                        && (word.is_empty() || line.contains(&format!("{label}=\"{word}\"")))
                };
                assert!(exported.lines().any(has), "{name} {label}={word:?} in\n{exported}");
                count += 1;
            }
        }
    }
    assert!(count > 40, "{count} series");
}

#[test]
fn expressions_name_outcomes_that_exist_and_what_is_called_refused_was_not_answered_200() {
    let answered =
        reply::TABLE.iter().filter(|row| row.status == 200 && row.scope != Scope::Health);
    let answered: BTreeSet<_> = answered.map(|row| row.label).collect();
    let rules = rules().into_iter().map(|rule| rule["expr"].clone());
    for expression in rules.chain(dashboard_expressions()) {
        let expression = expression.as_str().expect("each rule and target has an expression");
        for Matcher { metric, label, excludes, words } in matchers(expression) {
            let is_outcome = (metric == "millrace_deliveries_total" && label == "outcome")
                || (metric == "millrace_connections_refused_total" && label == "reason");
            if !is_outcome {
                continue;
            }
            for word in &words {
                assert!(
                    reply::TABLE.iter().any(|row| row.label == word),
                    "no row of src/ingest/listen/reply.rs is called `{word}`: correct {expression}"
                );
            }
            let words: BTreeSet<_> = words.iter().map(String::as_str).collect();
            assert!(
                !excludes || words == answered,
                "leave out each outcome that is answered 200, {answered:?}, in {expression}"
            );
        }
    }
}

/// Outcomes that are answered 503, and that this service cannot help: the sender hung up, or sent what is not for us.
const NOT_OURS: [&str; 4] =
    ["foreign-recipient", "recipient-unreadable", "body-broken", "client-gone"];

#[test]
fn the_objective_of_answers_counts_what_is_stored_and_each_failure_that_this_service_can_help() {
    let failures = reply::TABLE.iter().filter(|row| {
        let is_delivery = row.scope == Scope::Source && !row.is_question;
        is_delivery && row.retry_after.is_some() && !NOT_OURS.contains(&row.label)
    });
    let failures: BTreeSet<_> = failures.map(|row| row.label).collect();
    let answers: BTreeSet<_> = failures.iter().copied().chain(["stored"]).collect();
    let mut count = 0;
    for rule in rules() {
        let counted = match rule["record"].as_str().unwrap_or_default().rsplit_once(':') {
            Some(("source:millrace_answers", _)) => &answers,
            Some(("source:millrace_answers_failed", _)) => &failures,
            _ => continue,
        };
        let expression = rule["expr"].as_str().expect("each rule has an expression");
        // The first selector; the second takes away what an answer that came late is counted twice for.
        let selector = matchers(expression).into_iter().find(|it| it.label == "outcome");
        let words = selector.map(|it| it.words).unwrap_or_default();
        let words: BTreeSet<_> = words.iter().map(String::as_str).collect();
        let without: Vec<_> = counted.difference(&words).collect();
        let beside: Vec<_> = words.difference(counted).collect();
        assert!(
            without.is_empty() && beside.is_empty(),
            "{}: add {without:?} to its expression, or to NOT_OURS here, and remove {beside:?}",
            rule["record"]
        );
        count += 1;
    }
    assert_eq!(count, 10, "two rules for each of five windows");
}

fn dashboard_expressions() -> Vec<Value> {
    let dashboard: Value = serde_json::from_str(&read(DASHBOARD)).expect("it is JSON");
    let panels = dashboard["panels"].as_array().expect("a list");
    let targets = panels.iter().filter_map(|panel| panel["targets"].as_array()).flatten();
    targets.map(|target| target["expr"].clone()).collect()
}

/// A metric of an expression, and a label of its selector with the words that it may have, or may not.
struct Matcher {
    metric: String,
    label: String,
    excludes: bool,
    words: Vec<String>,
}

/// Those of an expression; a metric by itself is one with an empty word of an empty label.
fn matchers(expression: &str) -> Vec<Matcher> {
    let mut found = Vec::new();
    for (at, _) in expression.match_indices("millrace_") {
        // That is the name of a recording rule.
        if expression[..at].ends_with(':') {
            continue;
        }
        let rest = &expression[at..];
        let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        let (name, rest) = rest.split_at(end.unwrap_or(rest.len()));
        let within = rest.strip_prefix('{').and_then(|rest| rest.split('}').next());
        let matcher = |label: &str, excludes, words: &str| Matcher {
            metric: name.to_owned(),
            label: label.to_owned(),
            excludes,
            words: words.split('|').map(str::to_owned).collect(),
        };
        found.push(matcher("", false, ""));
        for text in within.unwrap_or_default().split(", ") {
            let Some(end) = text.find(['=', '!']) else { continue };
            let (label, words) = text.split_at(end);
            let excludes = words.starts_with('!');
            found.push(matcher(label, excludes, words.trim_matches(['=', '!', '~', '"'])));
        }
    }
    found
}

#[test]
fn promtool_check_metrics_has_nothing_to_say() {
    let checked = run(tool("promtool"), ["check", "metrics"], &exported());
    assert!(checked.fine && checked.errors.is_empty(), "{checked:?}");
}

/// What a service exports that has stored, refused, delivered and written a dead letter.
fn exported() -> String {
    let cluster = MockCluster::start(1).expect("the cluster in memory starts");
    let types = Subscription::event_types();
    let topics = types.map(|name| format!("t.lead-activity.{name}"));
    for topic in topics.chain(["t.dead-letter".into()]) {
        cluster.create_topic(&topic, 1).expect("a topic can be made");
    }
    let settings = Settings::new(cluster.bootstrap(), "t")
        .set("TOPICS__CREATE", "false")
        .set("SOURCES__IO__KIND", "adobe-io")
        .set("SOURCES__IO__AUTH__CLIENT_IDS", "a-client-id")
        .set("SOURCES__IO__ANSWER", "delivered")
        .set("KAFKA__PROPERTIES__STATISTICS_INTERVAL_MS", "100");
    let bridge = Bridge::start(settings);
    let batch = Subscription::new("999-XYZ-000", 3).batch_of(20);
    let mut client = bridge.client();
    let status = |token: &str, body: &[u8]| {
        bridge.client().deliver(LEADS, token, body).expect("the service answers").status
    };
    assert_eq!(status(TOKEN, &batch.body), 200);
    assert_eq!(status(TOKEN, b"not json"), 200);
    // Larger than a record may be: it goes to quarantine.
    let large = format!(
        r#"{{"munchkinId":"999-XYZ-000","activities":[{{"marketoGUID":"a","leadId":1,"activityTypeId":3,"activityType":"{}"}}]}}"#,
        "x".repeat(4 << 20)
    );
    assert_eq!(status(TOKEN, large.as_bytes()), 200);
    assert_eq!(status("a-wrong-token", b"{}"), 401);
    // Not HTTP at all: a connection that is refused.
    let _ = client.request("GET\0", "/", &[], b"");
    bridge.wait_until_drained(Duration::from_secs(60));
    wait::until("a broker in the metrics", Duration::from_secs(60), || {
        bridge.metric("millrace_kafka_broker_connected", &[]) > 0.0
    });
    bridge.admin().get("/metrics").expect("the service gives its metrics").text()
}

#[test]
fn every_query_of_the_dashboard_is_one_that_prometheus_understands() {
    let mut rules = String::from("groups:\n  - name: dashboard\n    rules:\n");
    let mut count = 0;
    for expression in dashboard_expressions() {
        let query = expression.as_str().expect("each target has a query");
        let query = query.replace("$__rate_interval", "1m").replace("$source", ".*");
        let query = ["$namespace", "$release", "$pod", "$instance"]
            .iter()
            .fold(query, |query, variable| query.replace(variable, ".*"));
        assert!(!query.contains('$'), "{query} has a variable that the dashboard has not");
        rules += &format!("      - record: query{count}\n        expr: {}\n", Value::from(query));
        count += 1;
    }
    assert!(count > 20, "{count} queries");
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    check_rules(folder.path(), &rules);
}

#[track_caller]
fn check_rules(folder: &Path, rules: &str) {
    let file = folder.join("rules.yaml");
    fs::write(&file, rules).expect("it can be written");
    let file = file.to_str().expect("it is UTF-8");
    run(tool("promtool"), ["check", "rules", file], "").expect_fine(rules);
}

#[test]
fn each_query_of_the_dashboard_is_of_the_namespace_release_and_pod_that_were_chosen() {
    let variables = ["namespace", "release", "pod"];
    let dashboard: Value = serde_json::from_str(&read(DASHBOARD)).expect("it is JSON");
    let known = dashboard["templating"]["list"].as_array().expect("a list");
    let known: Vec<_> = known.iter().filter_map(|variable| variable["name"].as_str()).collect();
    assert!(variables.iter().all(|variable| known.contains(variable)), "{known:?}");
    for expression in dashboard_expressions() {
        let expression = expression.as_str().expect("each target has a query");
        for (at, _) in expression.match_indices("millrace_") {
            let is_recorded = expression[..at].ends_with(':');
            let rest = &expression[at..];
            let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || "_:".contains(c)));
            let selector = end.and_then(|end| rest[end..].strip_prefix('{')?.split('}').next());
            // What is recorded is of all pods together.
            let variables = variables.iter().filter(|name| !is_recorded || **name != "pod");
            for variable in variables {
                let chosen = format!("{variable}=~\"${variable}\"");
                let is_chosen = selector.is_some_and(|selector| selector.contains(&chosen));
                assert!(is_chosen, "write {chosen} into each selector of {expression}");
            }
        }
    }
}

#[test]
fn an_alert_of_one_replica_names_its_pod() {
    for alert in alerts() {
        let summary = alert["annotations"]["summary"].as_str().expect("it has one");
        let description = alert["annotations"]["description"].as_str().expect("it has one");
        let text = format!("{summary} {description}");
        assert!(!text.contains("{{ $labels.instance }}"), "name the pod, if there is one: {text}");
        let is_of_one = text.contains("$labels.instance");
        assert!(!is_of_one || text.contains("$labels.pod $labels.instance"), "{text}");
    }
}

#[test]
fn the_dashboard_goes_from_left_to_right_along_the_path() {
    let dashboard: Value = serde_json::from_str(&read(DASHBOARD)).expect("it is JSON");
    let panels = dashboard["panels"].as_array().expect("a list").iter();
    let mut first: Vec<_> = panels.filter(|panel| panel["gridPos"]["y"] == 0).collect();
    first.sort_by_key(|panel| panel["gridPos"]["x"].as_u64());
    let titles: Vec<_> = first.iter().filter_map(|panel| panel["title"].as_str()).collect();
    assert_eq!(titles, ["Received", "Refused", "Stored", "Backlog", "Produced", "Dead letters"]);
}

fn alerts() -> Vec<Value> {
    rules().into_iter().filter(|rule| rule["record"].is_null()).collect()
}

/// The alerts, and the rules that record what they ask for.
fn rules() -> Vec<Value> {
    let rules = yaml(&read(ALERTS));
    let groups = rules[0]["groups"].as_array().expect("a list").iter();
    groups.flat_map(|group| group["rules"].as_array().expect("a list")).cloned().collect()
}

fn name_of(alert: &Value) -> String {
    alert["alert"].as_str().expect("all are alerts").into()
}

/// The metrics that a text names, without the endings that a histogram's series have; no recording rules.
fn names(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':'));
    let names = words.filter(|word| word.starts_with("millrace_"));
    let family = |name: &str| {
        let name = name
            .strip_suffix("_bucket")
            .or_else(|| name.strip_suffix("_seconds_count").map(|_| &name[..name.len() - 6]))
            .unwrap_or(name);
        name.to_owned()
    };
    names.map(family).collect()
}
