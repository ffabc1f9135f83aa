//! The manifests.

use std::fs;

use serde_json::{Value, json};

use crate::{
    render::{INSTALLATIONS, lint, manifests},
    tools::{read, repository, run, tool, yaml},
};

/// The oldest release of Kubernetes that the chart is for, and the newest whose schemas there are.
const KUBERNETES: [&str; 2] = ["1.29", "1.37"];

/// How many manifests the installations have together: Kubernetes' own kinds, and others.
const OWN: usize = 6 + 4 + 11;
const CUSTOM: usize = 1 + 3;

#[test]
fn helm_lint_has_nothing_to_say() {
    for files in INSTALLATIONS {
        let said = lint(files).expect_fine(&format!("{files:?}"));
        assert_eq!(said.trim(), "", "{files:?}");
    }
}

#[test]
fn every_manifest_is_one_that_kubernetes_takes() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let (mut own, mut custom) = (Vec::new(), Vec::new());
    for (number, files) in INSTALLATIONS.into_iter().enumerate() {
        for (place, manifest) in manifests(files, &[]).0.iter().enumerate() {
            let kind = manifest["kind"].as_str().expect("it has a kind");
            let file = folder.path().join(format!("{number}-{place}-{kind}.yaml"));
            fs::write(&file, manifest.to_string()).expect("it can be written");
            let file = file.display().to_string();
            let group = manifest["apiVersion"].as_str().expect("it has a version");
            if group.contains("coreos.com") || group.contains("gateway") {
                custom.push(
                    repository(&format!("tests/deploy/schemas/{kind}.json")).display().to_string(),
                );
                custom.push(file);
            } else {
                own.push(file);
            }
        }
    }
    for version in KUBERNETES {
        let arguments = ["--strict", "--quiet", "-k", version];
        let arguments = arguments.into_iter().chain(own.iter().map(String::as_str));
        let checked = run(tool("kubernetes-validate"), arguments, "");
        checked.expect_fine(&format!("Kubernetes {version}"));
    }
    let program = "import json, jsonschema, sys\n\
        for schema, file in zip(sys.argv[1::2], sys.argv[2::2]):\n  \
            jsonschema.validate(json.load(open(file)), json.load(open(schema)))";
    let arguments = ["-c", program].into_iter().chain(custom.iter().map(String::as_str));
    run(tool("python"), arguments, "").expect_fine("custom resources");
    assert_eq!((own.len(), custom.len()), (OWN, 2 * CUSTOM));
}

#[test]
fn nothing_but_what_was_asked_for_is_installed() {
    let least = manifests(INSTALLATIONS[0], &[]);
    assert_eq!(
        least.kinds(),
        [
            "PodDisruptionBudget",
            "PriorityClass",
            "Service",
            "Service",
            "ServiceAccount",
            "StatefulSet"
        ]
    );
}

#[test]
fn names_and_namespaces_are_the_releases() {
    for manifest in manifests(INSTALLATIONS[2], &[]).0 {
        let name = manifest["metadata"]["name"].as_str().unwrap_or_default();
        assert!(name.starts_with("bridge") || name == "space-bridge-drain", "{manifest}");
        let expected =
            if manifest["kind"] == "PriorityClass" { Value::Null } else { json!("space") };
        assert_eq!(manifest["metadata"]["namespace"], expected, "{name}");
    }
}

#[test]
fn no_pod_has_a_right_that_it_does_not_need() {
    for files in INSTALLATIONS {
        for pod in manifests(files, &[]).pods() {
            assert_eq!(pod["automountServiceAccountToken"], false);
            assert_eq!(pod["enableServiceLinks"], false);
            assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
            assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
            let container = &pod["containers"][0]["securityContext"];
            assert_eq!(container["allowPrivilegeEscalation"], false);
            assert_eq!(container["readOnlyRootFilesystem"], true);
            assert_eq!(container["capabilities"]["drop"], json!(["ALL"]));
        }
    }
}

#[test]
fn a_volume_outlives_its_pod_and_its_release() {
    let set = manifests(INSTALLATIONS[0], &[]);
    let set = &set.the("StatefulSet")["spec"];
    let retained = json!({"whenDeleted": "Retain", "whenScaled": "Retain"});
    assert_eq!(set["persistentVolumeClaimRetentionPolicy"], retained);
    assert_eq!(set["podManagementPolicy"], "Parallel");
    let claim = &set["volumeClaimTemplates"][0];
    assert_eq!(claim["spec"]["accessModes"], json!(["ReadWriteOncePod"]));
    // The volume is where the program is told that its spool is.
    let container = &set["template"]["spec"]["containers"][0];
    assert_eq!(container["volumeMounts"][0]["name"], claim["metadata"]["name"]);
    assert_eq!(container["volumeMounts"][0]["mountPath"], "/var/lib/millrace");
}

#[test]
fn a_pod_has_more_time_to_stop_than_the_program_may_take() {
    for (changes, delays) in [
        (&[][..], 5 + 8 + 10),
        (&[r#"config.shutdown={"delay":"1m","flush":"1h 5m 500ms"}"#], 60 + 8 + 3600 + 300 + 1),
        (&[r#"config.listen.request_timeout="20s""#], 5 + 20 + 10),
    ] {
        let manifests = manifests(INSTALLATIONS[0], changes);
        let pod = manifests.pods()[0];
        let grace = pod["terminationGracePeriodSeconds"].as_u64().expect("it is a number");
        assert!((delays + 5..delays + 60).contains(&grace), "{grace} s for {changes:?}");
    }
}

#[test]
fn ports_are_those_of_the_configured_addresses() {
    for (files, deliveries, admin) in
        [(INSTALLATIONS[0], 8080, 9090), (INSTALLATIONS[2], 8443, 9191)]
    {
        let manifests = manifests(files, &[]);
        let ports = &manifests.pods()[0]["containers"][0]["ports"];
        let expected = json!([
            {"name": "deliveries", "containerPort": deliveries},
            {"name": "admin", "containerPort": admin},
        ]);
        assert_eq!(*ports, expected);
    }
}

#[test]
fn the_network_policy_lets_through_what_the_service_needs() {
    let ports = |manifests: &crate::render::Manifests| -> Vec<Value> {
        let rules = &manifests.the("NetworkPolicy")["spec"]["egress"];
        let rules = rules.as_array().expect("it is a list").iter();
        rules.flat_map(|rule| rule["ports"].as_array().expect("a list").clone()).collect()
    };
    let dns = [json!({"port": 53, "protocol": "UDP"}), json!({"port": 53, "protocol": "TCP"})];
    let expected = |others: &[u16]| -> Vec<Value> {
        dns.iter().cloned().chain(others.iter().map(|port| json!({"port": port}))).collect()
    };
    assert_eq!(ports(&manifests(INSTALLATIONS[1], &[])), expected(&[9092]));
    assert_eq!(ports(&manifests(INSTALLATIONS[2], &[])), expected(&[9093, 443]));
    let several = r#"config.kafka.bootstrap_servers="a:9094, b:9095,c""#;
    assert_eq!(ports(&manifests(INSTALLATIONS[1], &[several])), expected(&[9094, 9095, 9092]));
    let own = "networkPolicy.kafka.ports=[19092]";
    assert_eq!(ports(&manifests(INSTALLATIONS[1], &[own])), expected(&[19092]));
}

#[test]
fn prometheus_finds_the_admin_port_and_calls_the_job_millrace() {
    for (files, kind, endpoints) in [
        (INSTALLATIONS[1], "ServiceMonitor", "endpoints"),
        (INSTALLATIONS[2], "PodMonitor", "podMetricsEndpoints"),
    ] {
        let manifests = manifests(files, &[]);
        let monitor = &manifests.the(kind)["spec"];
        assert_eq!(monitor[endpoints][0]["port"], "admin");
        let job_label = monitor["jobLabel"].as_str().expect("it is text");
        let selector = monitor["selector"]["matchLabels"].as_object().expect("it is a map");
        let selected: Vec<_> = match kind {
            "PodMonitor" => vec![&manifests.the("StatefulSet")["spec"]["template"]["metadata"]],
            _ => manifests.of_kind("Service").map(|service| &service["metadata"]).collect(),
        };
        let matches = |labels: &&&Value| selector.iter().all(|(n, v)| labels["labels"][n] == *v);
        let selected: Vec<_> = selected.iter().filter(matches).collect();
        assert_eq!(selected.len(), 1, "{kind} selects {selected:?}");
        assert_eq!(selected[0]["labels"][job_label], "millrace");
    }
}

#[test]
fn the_rule_and_the_dashboard_of_the_chart_are_the_files_that_prometheus_and_grafana_load() {
    let manifests = manifests(INSTALLATIONS[2], &[r#"prometheusRule.runbookUrl="""#]);
    let alerts = yaml(&read("deploy/helm/millrace/files/alerts.yaml"));
    assert_eq!(manifests.the("PrometheusRule")["spec"], alerts[0]);
    let dashboard = &manifests.the("ConfigMap")["data"]["millrace.json"];
    let dashboard: Value =
        serde_json::from_str(dashboard.as_str().expect("it is text")).expect("it is JSON");
    let file: Value = serde_json::from_str(&read("deploy/helm/millrace/files/dashboard.json"))
        .expect("it is JSON");
    assert_eq!(dashboard, file);
}

#[test]
fn an_alert_leads_to_its_heading_in_the_runbook() {
    let manifests = manifests(INSTALLATIONS[2], &[]);
    let rules = &manifests.the("PrometheusRule")["spec"]["groups"][0]["rules"];
    for rule in rules.as_array().expect("it is a list") {
        let name = rule["alert"].as_str().expect("all are alerts").to_lowercase();
        let url = format!("https://wiki.example/millrace/RUNBOOK.md#{name}");
        assert_eq!(rule["annotations"]["runbook_url"], url);
    }
}
