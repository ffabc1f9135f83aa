//! The values: what is refused, and that each is documented and does something.

use serde_json::Value;

use crate::{
    render::{INSTALLATIONS, template},
    tools::{read, yaml},
};

#[test]
fn a_wrong_value_is_refused_with_its_key() {
    for (change, key) in [
        (r#"image.repository="""#, "/image/repository"),
        (r#"image.digest="latest""#, "/image/digest"),
        ("replicaCount=-1", "/replicaCount"),
        (r#"replicas=3"#, "replicas"),
        (r#"config.kafka.bootstrap_servers="""#, "/config/kafka/bootstrap_servers"),
        ("config.sources=null", "sources"),
        (r#"config.sources.Leads={"kind":"marketo-lead-activity"}"#, "Leads"),
        ("config.sources.leads.kind=null", "/config/sources/leads"),
        (r#"config.listen.address="localhost""#, "/config/listen/address"),
        ("config.admin.console=false", "/config/admin/console"),
        (r#"config.admin.console="replay""#, "config.admin.tokens_file"),
        (r#"config.admin.tokens=["a-token"]"#, "config.admin.tokens"),
        (r#"config.admin.address="127.0.0.1:9090""#, "config.admin.address"),
        (r#"config.admin.address="[::1]:9090""#, "config.admin.address"),
        (r#"config.admin.address="0.0.0.0:8080""#, "config.admin.address"),
        (r#"config.spool.directory="spool""#, "/config/spool/directory"),
        (r#"config.shutdown.flush="soon""#, "/config/shutdown/flush"),
        (r#"config.sources.leads.auth.tokens_file={"secret":"a"}"#, "tokens_file"),
        (
            r#"config.sources.leads.auth.tokens_file={"secret":"a","key":"b","file":"c"}"#,
            "tokens_file",
        ),
        (r#"persistence.size="20GiB""#, "/persistence/size"),
        (r#"persistence.accessMode="ReadWriteMany""#, "/persistence/accessMode"),
        ("drain.deadlineSeconds=0", "/drain/deadlineSeconds"),
        ("ingress.enabled=true", "/ingress/host"),
        (r#"ingress={"enabled":true,"host":"a.example"}"#, "ingress.tlsSecretName"),
        (r#"persistence.size="9Gi""#, "persistence.size"),
        (r#"fullnameOverride="1x""#, "fullnameOverride"),
        (r#"nameOverride="My.x""#, "/nameOverride"),
        (r#"drain.priorityClass={"create":true,"name":"A"}"#, "/drain/priorityClass/name"),
        (r#"updateStrategy={"type":"Recreate"}"#, "/updateStrategy/type"),
        (r#"service.externalTrafficPolicy="local""#, "/service/externalTrafficPolicy"),
        (r#"service.loadBalancerSourceRanges="10.0.0.0/8""#, "/service/loadBalancerSourceRanges"),
        (r#"hostAliases=[{"hostnames":["a"]}]"#, "/hostAliases/0"),
        (r#"extraContainers=[{"image":"a"}]"#, "/extraContainers/0"),
        (r#"initContainers={"name":"a"}"#, "/initContainers"),
        (r#"dnsPolicy="first""#, "/dnsPolicy"),
        (r#"commonLabels={"a":1}"#, "/commonLabels/a"),
        (r#"monitor.relabelings=[{"targetlabel":"a"}]"#, "/monitor/relabelings/0"),
        (r#"networkPolicy.extraEgress={"ports":[]}"#, "/networkPolicy/extraEgress"),
        (r#"podDisruptionBudget.maxUnavailable="half""#, "/podDisruptionBudget/maxUnavailable"),
        (r#"ingress={"enabled":true,"host":"https://a.example"}"#, "/ingress/host"),
        (r#"prometheusRule.runbookUrl="wiki""#, "/prometheusRule/runbookUrl"),
        (r#"prometheusRule.alerts={"MillraceDown":{"off":true}}"#, "/prometheusRule/alerts"),
        ("httpRoute.enabled=true", "/httpRoute/hostnames"),
        (r#"monitor.kind="Probe""#, "/monitor/kind"),
        (r#"service.port="http""#, "/service/port"),
    ] {
        let rendered = template(INSTALLATIONS[0], &[change]);
        assert!(!rendered.fine, "{change} is taken:\n{}", rendered.out);
        assert!(rendered.errors.contains(key), "{change}:\n{}", rendered.errors);
    }
}

#[test]
fn a_secret_among_the_values_is_refused_with_the_key_that_takes_a_reference() {
    for (change, key) in [
        (r#"config.sources.leads.auth={"tokens":["hunter2"]}"#, "config.sources.leads.auth.tokens"),
        (r#"config.sources.leads.auth={"tokens":"hunter2"}"#, "config.sources.leads.auth.tokens"),
        (
            r#"config.sources.leads.auth.oauth={"client_secret":"hunter2"}"#,
            "config.sources.leads.auth.oauth.client_secret",
        ),
        (
            r#"config.kafka.properties={"sasl.password":"hunter2"}"#,
            "config.kafka.properties.sasl.password",
        ),
        (
            r#"config.kafka.properties={"ssl_key_pem":"hunter2"}"#,
            "config.kafka.properties.ssl_key_pem",
        ),
    ] {
        let rendered = template(INSTALLATIONS[0], &[change]);
        assert!(!rendered.fine, "{change} is taken:\n{}", rendered.out);
        assert!(rendered.errors.contains(&format!("{key}: everybody")), "{}", rendered.errors);
        assert!(!rendered.errors.contains("hunter2"), "{}", rendered.errors);
    }
}

#[test]
fn the_schema_knows_each_documented_value_and_no_other() {
    let schema: Value = serde_json::from_str(&read("deploy/helm/millrace/values.schema.json"))
        .expect("the schema is JSON");
    let values = yaml(&read("deploy/helm/millrace/values.yaml"));
    compare("", &values[0], &schema);
}

/// Maps whose names are the user's own end the comparison.
fn compare(path: &str, values: &Value, schema: &Value) {
    let (Some(values), Some(known)) = (values.as_object(), schema["properties"].as_object()) else {
        return;
    };
    for (name, value) in values {
        let Some(schema) = known.get(name) else {
            // Below `config` is what the program knows.
            assert!(path.starts_with(".config"), "{path}.{name} is not in the schema");
            continue;
        };
        compare(&format!("{path}.{name}"), value, schema);
    }
    for name in known.keys() {
        let is_documented = values.contains_key(name)
            || (path.is_empty() && name == "global")
            || path.starts_with(".config")
            || [".resources", ".dnsConfig", ".updateStrategy"].contains(&path);
        assert!(is_documented, "{path}.{name} is not in values.yaml");
    }
}

#[test]
fn each_value_does_something() {
    let templates: String =
        std::fs::read_dir(crate::tools::repository("deploy/helm/millrace/templates"))
            .expect("the folder is there")
            .map(|file| std::fs::read_to_string(file.expect("it can be listed").path()))
            .collect::<Result<_, _>>()
            .expect("they can be read");
    let values = yaml(&read("deploy/helm/millrace/values.yaml"));
    let mut names = Vec::new();
    leaves(&values[0], &mut names);
    assert!(names.len() > 50, "{names:?}");
    for name in names {
        let uses = [format!(".{name}"), format!("\"{name}\"")];
        assert!(uses.iter().any(|use_| templates.contains(use_)), "no template uses {name}");
    }
}

fn leaves(values: &Value, names: &mut Vec<String>) {
    for (name, value) in values.as_object().into_iter().flatten() {
        match name.as_str() {
            // Rendered as they are, whatever is in them.
            "config" | "resources" | "podSecurityContext" | "securityContext" => {
                names.push(name.clone());
            }
            _ if value.as_object().is_some_and(|map| !map.is_empty()) && name != "labels" => {
                leaves(value, names);
            }
            _ => names.push(name.clone()),
        }
    }
}
