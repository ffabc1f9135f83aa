//! The manifests.

use std::{collections::BTreeSet, fs};

use serde_json::{Value, json};

use crate::{
    render::{INSTALLATIONS, Manifests, lint, manifests, named, template},
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
    let checked = INSTALLATIONS.map(|files| expect_valid(&manifests(files, &[])));
    let (own, custom) =
        checked.iter().fold((0, 0), |(own, custom), of| (own + of.0, custom + of.1));
    assert_eq!((own, custom), (OWN, CUSTOM));
}

/// Holds each manifest against the schema of its kind; returns how many were Kubernetes' own, and others. A
/// resource of others without a schema in tests/deploy/schemas is passed by.
#[track_caller]
pub fn expect_valid(manifests: &Manifests) -> (usize, usize) {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let (mut own, mut custom) = (Vec::new(), Vec::new());
    for (place, manifest) in manifests.0.iter().enumerate() {
        let kind = manifest["kind"].as_str().expect("it has a kind");
        let file = folder.path().join(format!("{place}-{kind}.yaml"));
        fs::write(&file, manifest.to_string()).expect("it can be written");
        let file = file.display().to_string();
        let group = manifest["apiVersion"].as_str().expect("it has a version");
        let is_custom = ["coreos.com", "gateway", "gke.io"].iter().any(|part| group.contains(part));
        let schema = repository(&format!("tests/deploy/schemas/{kind}.json"));
        if !is_custom {
            own.push(file);
        } else if schema.exists() {
            custom.push(schema.display().to_string());
            custom.push(file);
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
    (own.len(), custom.len() / 2)
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
    let ports = |manifests: &Manifests| -> Vec<Value> {
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
    let groups = &manifests.named("PrometheusRule", "bridge")["spec"]["groups"];
    let groups = groups.as_array().expect("it is a list").iter();
    let rules = groups.flat_map(|group| group["rules"].as_array().expect("it is a list"));
    for rule in rules.filter(|rule| rule["record"].is_null()) {
        let name = rule["alert"].as_str().expect("the others are alerts").to_lowercase();
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
    // Whatever else scales the release knows the number; the chart does not. kube-state-metrics may.
    let scaled = manifests(INSTALLATIONS[2], &["replicaCount=null"]);
    let rule = &scaled.named("PrometheusRule", "bridge-replicas")["spec"]["groups"][0]["rules"][0];
    let expression = rule["expr"].as_str().expect("it has an expression");
    assert!(
        expression
            .contains(r#"kube_statefulset_replicas{namespace="space", statefulset="bridge"}"#),
        "{expression}"
    );
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
    let labels = |part: &Manifests| {
        part.the("StatefulSet")["spec"]["template"]["metadata"]["labels"].clone()
    };
    let names = |part: &Manifests| -> Vec<String> {
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
fn an_umbrella_with_two_aliases_has_two_installations_that_share_nothing() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let umbrella = folder.path().display().to_string();
    let chart = "apiVersion: v2\nname: umbrella\nversion: 0.1.0\ndependencies:\n  \
        - {name: millrace, alias: leads, version: '*'}\n  - {name: millrace, alias: audit, version: '*'}\n";
    fs::write(folder.path().join("Chart.yaml"), chart).expect("it can be written");
    let least = yaml(&read("tests/deploy/values/least.yaml")).remove(0);
    let values = json!({"leads": least, "audit": least}).to_string();
    fs::write(folder.path().join("values.yaml"), values).expect("it can be written");
    let parts = folder.path().join("charts");
    fs::create_dir(&parts).expect("a folder can be made");
    let parts = parts.display().to_string();
    let chart = repository("deploy/helm/millrace").display().to_string();
    run(tool("helm"), ["package", &chart, "--destination", &parts], "").expect_fine("helm package");
    let text = run(tool("helm"), ["template", "release", &umbrella], "").expect_fine("an umbrella");
    let manifests = Manifests(yaml(&text));
    let names: BTreeSet<_> = manifests
        .0
        .iter()
        .map(|manifest| (manifest["kind"].to_string(), manifest["metadata"]["name"].to_string()))
        .collect();
    assert_eq!(names.len(), manifests.0.len(), "{names:?}");
    let sets: Vec<_> = manifests.of_kind("StatefulSet").collect();
    assert_eq!(sets.len(), 2);
    let selectors = manifests.of_kind("Service").map(|it| &it["spec"]["selector"]);
    let budgets = manifests.of_kind("PodDisruptionBudget");
    let selectors = selectors.chain(budgets.map(|it| &it["spec"]["selector"]["matchLabels"]));
    for selector in selectors {
        let selector = selector.as_object().expect("it is a map");
        let selects = |set: &&&Value| {
            let labels = &set["spec"]["template"]["metadata"]["labels"];
            selector.iter().all(|(name, value)| labels[name] == *value)
        };
        assert_eq!(sets.iter().filter(selects).count(), 1, "{selector:?}");
    }
}

#[test]
fn the_token_endpoint_is_reached_from_outside_where_there_is_one() {
    let oauth = r#"config.oauth={"signing_keys_file":{"secret":"a","key":"b"}}"#;
    for (changes, is_there) in [(&[][..], false), (&[oauth], true)] {
        let manifests = manifests(INSTALLATIONS[2], changes);
        for kind in ["Ingress", "HTTPRoute"] {
            let text = manifests.the(kind).to_string();
            assert_eq!(text.contains("/oauth/token"), is_there, "{text}");
        }
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
    assert_eq!(monitor["relabelings"][1]["action"], "labeldrop");
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

#[test]
fn a_release_may_have_any_name_that_helm_takes_or_is_told_what_to_set() {
    for (release, expected) in
        [("1x", "millrace-1x"), ("my.x", "my-x"), ("millrace", "millrace"), ("x", "x")]
    {
        let text = named(release, &[]).expect_fine(release);
        let names: Vec<_> = yaml(&text)
            .iter()
            .filter(|manifest| manifest["kind"] == "StatefulSet")
            .map(|manifest| manifest["metadata"]["name"].as_str().expect("a name").to_owned())
            .collect();
        assert_eq!(names, [expected], "{release}");
    }
}

#[test]
fn each_series_of_a_release_says_whose_it_is() {
    for (files, kind, endpoints) in [
        (INSTALLATIONS[1], "ServiceMonitor", "endpoints"),
        (INSTALLATIONS[2], "PodMonitor", "podMetricsEndpoints"),
    ] {
        let manifests = manifests(files, &[]);
        let relabelings = &manifests.the(kind)["spec"][endpoints][0]["relabelings"];
        let name = &manifests.the("StatefulSet")["metadata"]["name"];
        assert_eq!(relabelings[0], json!({"targetLabel": "release", "replacement": name}));
    }
}

#[test]
fn the_package_has_every_file_that_its_readme_leads_to() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let chart = repository("deploy/helm/millrace").display().to_string();
    let to = folder.path().display().to_string();
    run(tool("helm"), ["package", &chart, "--destination", &to], "").expect_fine("helm package");
    let package = fs::read_dir(folder.path()).expect("it can be read").next();
    let package = package.expect("there is a package").expect("it can be read").path();
    let listed = run(
        std::process::Command::new("tar"),
        ["--list".as_ref(), "--file".as_ref(), package.as_os_str()],
        "",
    );
    let packaged = listed.expect_fine("tar");
    let readme = read("deploy/helm/millrace/README.md");
    let links = readme.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let mut count = 0;
    for link in links.filter(|link| !link.starts_with('#') && !link.contains("://")) {
        let file = link.split('#').next().unwrap_or(link);
        assert!(
            packaged.lines().any(|line| line == format!("millrace/{file}")),
            "{link} leads out of the package: write its full URL, or what it is called"
        );
        count += 1;
    }
    assert!(count > 0, "no link was found");
    // What a cluster does not need is left out of what each release stores there.
    assert!(!packaged.contains("/ci/"), "{packaged}");
}

#[test]
fn the_chart_says_where_it_comes_from_as_artifact_hub_asks() {
    let chart = &yaml(&read("deploy/helm/millrace/Chart.yaml"))[0];
    for field in ["home", "icon", "sources", "maintainers"] {
        assert!(!chart[field].is_null(), "Chart.yaml has no {field}");
    }
    for note in ["license", "links", "changes", "images", "prerelease"] {
        let name = format!("artifacthub.io/{note}");
        let text = chart["annotations"][&name].as_str();
        assert!(text.is_some_and(|text| !text.trim().is_empty()), "no annotation {name}");
    }
    let images = &yaml(chart["annotations"]["artifacthub.io/images"].as_str().expect("text"))[0];
    let tag = format!(":{}", chart["appVersion"].as_str().expect("it is text"));
    assert!(images[0]["image"].as_str().is_some_and(|image| image.ends_with(&tag)), "{images}");
}

#[test]
fn each_file_of_values_for_ci_is_one_that_installs() {
    let folder = repository("deploy/helm/millrace/ci");
    let files: Vec<_> = fs::read_dir(folder).expect("there are values for ci").collect();
    assert!(files.len() >= 2);
    for file in files {
        let path = file.expect("it can be listed").path().display().to_string();
        assert!(path.ends_with("-values.yaml"), "chart-testing does not find {path}");
        let said = lint(&[&path]).expect_fine(&path);
        assert_eq!(said.trim(), "", "{path}");
        assert!(manifests(&[&path], &[]).of_kind("StatefulSet").count() == 1, "{path}");
    }
}
