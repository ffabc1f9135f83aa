//! The examples of the chart's README, each laid over the least values and rendered.

use std::fs;

use serde_json::Value;

use crate::{
    chart::expect_valid,
    render::manifests,
    support::documents,
    tools::{read, yaml},
};

const README: &str = "deploy/helm/millrace/README.md";

/// The blocks of YAML that are values of the chart.
fn examples() -> Vec<String> {
    let values = &yaml(&read("deploy/helm/millrace/values.yaml"))[0];
    let is_of_values = |text: &str| {
        let block = yaml(text);
        let names = block[0].as_object().into_iter().flat_map(|map| map.keys());
        names.into_iter().all(|name| values.get(name).is_some())
    };
    let blocks = documents::of(README).into_iter().filter(|block| block.language == "yaml");
    blocks.map(|block| block.text).filter(|text| is_of_values(text)).collect()
}

#[test]
fn each_example_of_the_readme_renders_to_what_kubernetes_takes() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let examples = examples();
    let mut found = Vec::new();
    for (number, example) in examples.iter().enumerate() {
        let file = folder.path().join(format!("{number}.yaml"));
        fs::write(&file, example).expect("it can be written");
        let file = file.display().to_string();
        let mut files = vec!["least.yaml"];
        // A part of an example: the host is that of the first one.
        let host = folder.path().join("host.yaml");
        fs::write(&host, "ingress: {host: hooks.example.com, tlsSecretName: hooks-tls}")
            .expect("it can be written");
        let host = host.display().to_string();
        if !example.contains("host:") {
            files.push(&host);
        }
        files.push(&file);
        let rendered = manifests(&files, &[]);
        expect_valid(&rendered);
        found.extend(rendered.kinds().into_iter().map(str::to_owned));
        if example.contains("className: nginx") {
            let annotations = &rendered.the("Ingress")["metadata"]["annotations"];
            assert_eq!(annotations["nginx.ingress.kubernetes.io/proxy-body-size"], "0");
        }
        for policy in ["BackendTrafficPolicy", "HealthCheckPolicy"] {
            for policy in rendered.of_kind(policy) {
                expect_target(policy, &rendered);
            }
        }
    }
    assert!(examples.len() >= 7, "{} examples", examples.len());
    for kind in ["Ingress", "HTTPRoute", "BackendTrafficPolicy", "HealthCheckPolicy"] {
        assert!(found.iter().any(|found| found == kind), "no example has {kind}");
    }
}

/// Asserts that what a policy is attached to is there.
fn expect_target(policy: &Value, rendered: &crate::render::Manifests) {
    let spec = &policy["spec"];
    let target =
        if spec["targetRef"].is_null() { &spec["targetRefs"][0] } else { &spec["targetRef"] };
    let is_target = |manifest: &&Value| {
        manifest["kind"] == target["kind"] && manifest["metadata"]["name"] == target["name"]
    };
    assert_eq!(rendered.0.iter().filter(is_target).count(), 1, "{policy}");
}
