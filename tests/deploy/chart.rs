//! The manifests.

use std::fs;

use serde_json::{Value, json};

use crate::{
    render::{INSTALLATIONS, lint, manifests, template},
    tools::{read, repository, run, tool, yaml},
};

/// The oldest release of Kubernetes that the chart is for, and the newest whose schemas there are.
const KUBERNETES: [&str; 2] = ["1.29", "1.37"];

/// How many manifests the installations have together: Kubernetes' own kinds, and others.
const OWN: usize = 6 + 5 + 12;
const CUSTOM: usize = 2 + 4;

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
        ["Pod", "PodDisruptionBudget", "Service", "Service", "ServiceAccount", "StatefulSet"]
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
    assert_eq!(manifests.named("PrometheusRule", "bridge")["spec"], alerts[0]);
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
    let rules = &manifests.named("PrometheusRule", "bridge")["spec"]["groups"][0]["rules"];
    for rule in rules.as_array().expect("it is a list") {
        let name = rule["alert"].as_str().expect("all are alerts").to_lowercase();
        let url = format!("https://wiki.example/millrace/RUNBOOK.md#{name}");
        assert_eq!(rule["annotations"]["runbook_url"], url);
    }
}

#[test]
fn a_missing_replica_is_an_alert_of_the_release_that_should_have_it() {
    let three = manifests(INSTALLATIONS[2], &[]);
    let rule = &three.named("PrometheusRule", "bridge-replicas")["spec"]["groups"][0]["rules"][0];
    let expression = rule["expr"].as_str().expect("it has an expression");
    assert_eq!(
        expression.trim(),
        r#"3 - (count(up{job="millrace", namespace="space", pod=~"bridge-[0-9]+"} == 1) or vector(0)) > 0"#
    );
    // Whatever else scales the release knows the number; the chart does not.
    let scaled = manifests(INSTALLATIONS[2], &["replicaCount=null"]);
    assert_eq!(scaled.of_kind("PrometheusRule").count(), 1);
    assert!(scaled.the("StatefulSet")["spec"].get("replicas").is_none());
    assert_eq!(scaled.of_kind("Job").count(), 0);
}

#[test]
fn single_alerts_are_switched_off_or_tuned_and_a_misspelled_one_is_refused() {
    let changes = [r#"prometheusRule.alerts={
        "MillraceBehind":{"enabled":false},
        "MillraceDown":{"for":"10m","labels":{"severity":"warning","team":"data"}}}"#];
    let manifests = manifests(INSTALLATIONS[2], &changes);
    let rules = &manifests.named("PrometheusRule", "bridge")["spec"]["groups"][0]["rules"];
    let rules = rules.as_array().expect("it is a list");
    assert!(rules.iter().all(|rule| rule["alert"] != "MillraceBehind"));
    let down = rules.iter().find(|rule| rule["alert"] == "MillraceDown").expect("it is kept");
    assert_eq!(down["for"], "10m");
    assert_eq!(down["labels"], json!({"severity": "warning", "team": "data"}));
    let misspelled = [r#"prometheusRule.alerts={"MillraceDwon":{"enabled":false}}"#];
    let refused = template(INSTALLATIONS[2], &misspelled);
    assert!(!refused.fine && refused.errors.contains("MillraceDwon"), "{}", refused.errors);
}

#[test]
fn two_aliases_of_the_chart_in_one_release_have_selectors_of_their_own() {
    let parts: Vec<_> = ["leads", "audit"]
        .map(|alias| {
            // Helm gives a part its alias as the chart's name.
            manifests(INSTALLATIONS[0], &[&format!(r#"nameOverride="{alias}""#)])
        })
        .into();
    let labels = |part: &crate::render::Manifests| {
        part.the("StatefulSet")["spec"]["template"]["metadata"]["labels"].clone()
    };
    let names = |part: &crate::render::Manifests| -> Vec<String> {
        part.0.iter().map(|manifest| manifest["metadata"]["name"].to_string()).collect()
    };
    assert!(names(&parts[0]).iter().all(|name| !names(&parts[1]).contains(name)));
    for service in parts[0].of_kind("Service") {
        let selector = service["spec"]["selector"].as_object().expect("it is a map");
        let selects = |labels: &Value| selector.iter().all(|(name, value)| labels[name] == *value);
        assert!(selects(&labels(&parts[0])));
        assert!(!selects(&labels(&parts[1])));
    }
}

#[test]
fn an_ingress_has_all_hosts_and_tls_by_a_secret_or_by_the_load_balancer() {
    let more = manifests(INSTALLATIONS[2], &[r#"ingress.extraHosts=["other.example.com"]"#]);
    let spec = &more.the("Ingress")["spec"];
    assert_eq!(spec["tls"][0]["hosts"], json!(["hooks.example.com", "other.example.com"]));
    assert_eq!(spec["rules"][1]["host"], "other.example.com");
    let arn =
        r#"ingress.annotations={"alb.ingress.kubernetes.io/certificate-arn":"arn:aws:acm:x"}"#;
    let outside = manifests(INSTALLATIONS[2], &[r#"ingress.tlsSecretName="""#, arn]);
    assert!(outside.the("Ingress")["spec"].get("tls").is_none());
}

#[test]
fn what_users_of_charts_expect_to_add_is_added() {
    let changes = [
        r#"global={"imageRegistry":"mirror.example"}"#,
        r#"commonLabels={"team":"data"}"#,
        r#"initContainers=[{"name":"first","image":"a"}]"#,
        r#"extraContainers=[{"name":"beside","image":"b"}]"#,
        r#"extraObjects=["apiVersion: v1\nkind: ConfigMap\nmetadata: {name: '{{ .Release.Name }}-more'}"]"#,
        r#"hostAliases=[{"ip":"10.0.0.1","hostnames":["kafka"]}]"#,
        r#"dnsConfig={"options":[{"name":"ndots","value":"1"}]}"#,
        r#"updateStrategy={"type":"OnDelete"}"#,
        r#"service.loadBalancerSourceRanges=["10.0.0.0/8"]"#,
        r#"service.externalTrafficPolicy="Local""#,
        r#"monitor.relabelings=[{"action":"labeldrop","regex":"node"}]"#,
        r#"networkPolicy.extraEgress=[{"ports":[{"port":4318}]}]"#,
    ];
    let manifests = manifests(INSTALLATIONS[2], &changes);
    let set = &manifests.the("StatefulSet")["spec"];
    let pod = &set["template"]["spec"];
    let image = pod["containers"][0]["image"].as_str().expect("it has an image");
    assert!(image.starts_with("mirror.example/registry.example:5000/team/millrace@"), "{image}");
    assert_eq!(pod["initContainers"][0]["name"], "first");
    assert_eq!(pod["containers"][1]["name"], "beside");
    assert_eq!(pod["hostAliases"][0]["ip"], "10.0.0.1");
    assert_eq!(pod["dnsConfig"]["options"][0]["name"], "ndots");
    assert_eq!(set["updateStrategy"]["type"], "OnDelete");
    let service = &manifests.named("Service", "bridge")["spec"];
    assert_eq!(service["loadBalancerSourceRanges"], json!(["10.0.0.0/8"]));
    assert_eq!(service["externalTrafficPolicy"], "Local");
    let monitor = &manifests.the("PodMonitor")["spec"]["podMetricsEndpoints"][0];
    assert_eq!(monitor["relabelings"][0]["action"], "labeldrop");
    let egress = manifests.the("NetworkPolicy")["spec"]["egress"].as_array().expect("a list");
    assert_eq!(egress.last(), Some(&json!({"ports": [{"port": 4318}]})));
    assert_eq!(manifests.named("ConfigMap", "release-more")["kind"], "ConfigMap");
    for manifest in manifests.0.iter().filter(|m| m["metadata"]["name"] != "release-more") {
        assert_eq!(manifest["metadata"]["labels"]["team"], "data", "{manifest}");
    }
}

#[test]
fn helm_test_looks_at_configuration_and_kafka_and_touches_no_spool() {
    let manifests = manifests(INSTALLATIONS[2], &[]);
    let pod = manifests.the("Pod");
    assert_eq!(pod["metadata"]["annotations"]["helm.sh/hook"], "test");
    assert_eq!(pod["spec"]["containers"][0]["args"], json!(["check", "--connect"]));
    assert_eq!(pod["spec"]["volumes"][0], json!({"name": "spool", "emptyDir": {}}));
    let service = manifests.pods()[0];
    assert_eq!(pod["spec"]["containers"][0]["env"], service["containers"][0]["env"]);
}
