//! The console is off the Service for deliveries, and behind a token.

use serde_json::{Value, json};

use crate::render::{INSTALLATIONS, Manifests, manifests};

fn variable(manifests: &Manifests, name: &str) -> Option<Value> {
    let pods = manifests.pods();
    let env = pods[0]["containers"][0]["env"].as_array().expect("a list").clone();
    env.into_iter().find(|it| it["name"] == name).map(|it| it["value"].clone())
}

#[test]
fn what_takes_deliveries_from_outside_has_no_way_to_the_admin_port() {
    for files in INSTALLATIONS {
        let manifests = manifests(files, &[]);
        for service in manifests.of_kind("Service") {
            let name = service["metadata"]["name"].as_str().expect("a name");
            let ports: Vec<_> =
                service["spec"]["ports"].as_array().expect("a list").iter().collect();
            let targets: Vec<_> = ports.iter().map(|port| &port["targetPort"]).collect();
            match name.ends_with("-pods") {
                // No address of its own: it is not reached from outside of the cluster.
                true => assert_eq!(
                    (&service["spec"]["clusterIP"], &targets[..]),
                    (&json!("None"), &[&json!("admin")][..])
                ),
                false => assert_eq!(targets, [&json!("deliveries")], "{files:?} {name}"),
            }
        }
        let routes = manifests.of_kind("Ingress").chain(manifests.of_kind("HTTPRoute"));
        for route in routes {
            let text = route["spec"].to_string();
            assert!(!text.contains("-pods") && !text.contains("admin"), "{files:?} {text}");
        }
    }
}

#[test]
fn the_console_shows_unless_it_is_off_and_its_tokens_come_from_a_secret() {
    let least = manifests(INSTALLATIONS[0], &[]);
    assert_eq!(variable(&least, "MILLRACE_ADMIN__CONSOLE"), Some(json!("read")));
    assert_eq!(variable(&least, "MILLRACE_ADMIN__TOKENS_FILE"), None);
    let address = variable(&least, "MILLRACE_ADMIN__ADDRESS").expect("an address");
    assert_eq!(address, "0.0.0.0:9090", "not a loopback one, where reading needs no token");
    let off = manifests(INSTALLATIONS[0], &[r#"config.admin.console="off""#]);
    assert_eq!(variable(&off, "MILLRACE_ADMIN__CONSOLE"), Some(json!("off")));
    let replay = manifests(
        INSTALLATIONS[0],
        &[
            r#"config.admin.console="replay""#,
            r#"config.admin.tokens_file={"secret":"millrace-admin","key":"tokens"}"#,
        ],
    );
    let file = variable(&replay, "MILLRACE_ADMIN__TOKENS_FILE");
    assert_eq!(file, Some(json!("/etc/millrace/admin.tokens")));
    let volumes = replay.pods()[0]["volumes"].to_string();
    assert!(volumes.contains("millrace-admin") && volumes.contains("admin.tokens"), "{volumes}");
}
