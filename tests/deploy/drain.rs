//! The Jobs that empty retained volumes.

use serde_json::json;

use crate::{
    cluster::{self, Cluster},
    render::{INSTALLATIONS, manifests, manifests_for},
};

#[test]
fn a_drain_job_is_made_for_each_retained_volume_beyond_the_replicas_and_for_no_other() {
    // Ordinals 1, 3 and 4 with three replicas: the first is a replica's.
    let with_three = manifests(INSTALLATIONS[2], &[]);
    let claims: Vec<_> = with_three
        .of_kind("Job")
        .map(|job| &job["spec"]["template"]["spec"]["volumes"][0])
        .collect();
    let claim = |name: &str| json!({"name": "spool", "persistentVolumeClaim": {"claimName": name}});
    assert_eq!(claims, [&claim("spool-bridge-3"), &claim("spool-bridge-4")]);
    assert_eq!(manifests(INSTALLATIONS[2], &["replicaCount=5"]).of_kind("Job").count(), 0);
    assert_eq!(manifests(INSTALLATIONS[2], &["drain.enabled=false"]).of_kind("Job").count(), 0);
}

#[test]
fn an_upgrade_finds_the_releases_own_volumes_and_drains_those_beyond_the_replicas() {
    let cluster = Cluster::with_claims(&[
        "spool-release-0",
        "spool-release-1",
        "spool-release-10",
        "spool-release-other-1",
        "spool-other-2",
        "data-release-3",
    ]);
    let manifests = manifests_for(&cluster, INSTALLATIONS[0]);
    let jobs: Vec<_> = manifests.of_kind("Job").map(|job| &job["metadata"]["name"]).collect();
    assert_eq!(jobs, ["release-drain-1", "release-drain-10"]);
}

#[test]
fn a_job_that_failed_goes_with_its_release() {
    // Helm leaves the Jobs of failed hooks alone; Kubernetes deletes what belongs to a set that is gone.
    let cluster = Cluster::with_claims(&["spool-release-1"]);
    let manifests = manifests_for(&cluster, INSTALLATIONS[0]);
    let owner = json!([{
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "name": "release",
        "uid": cluster::UID,
        "blockOwnerDeletion": false,
    }]);
    assert_eq!(manifests.the("Job")["metadata"]["ownerReferences"], owner);
    // Without a cluster to ask there is no identity to name.
    let rendered = crate::render::manifests(INSTALLATIONS[0], &["drain.ordinals=[1]"]);
    assert!(rendered.the("Job")["metadata"]["ownerReferences"].is_null());
}

#[test]
fn a_drain_job_comes_after_the_scaling_and_gives_way_to_the_spools_own_pod() {
    let manifests = manifests(INSTALLATIONS[2], &[r#"drain.deadlineSeconds=100"#]);
    let job = manifests.of_kind("Job").next().expect("there are two");
    let hooks = &job["metadata"]["annotations"]["helm.sh/hook"];
    assert_eq!(*hooks, "post-upgrade,post-rollback");
    let pod = &job["spec"]["template"]["spec"];
    assert_eq!(pod["containers"][0]["args"], json!(["drain", "--deadline=100s"]));
    let rule = &job["spec"]["podFailurePolicy"]["rules"][0];
    assert_eq!(rule["action"], "FailJob");
    assert_eq!(rule["onPodConditions"][0]["type"], "DisruptionTarget");
    // The scheduler puts a pod out for one of a higher class that wants the same volume.
    let class = manifests.the("PriorityClass");
    assert_eq!(pod["priorityClassName"], class["metadata"]["name"]);
    assert!(class["value"].as_i64().expect("a number") < 0, "pods without a class have 0");
    // It forwards with the same configuration and the same credentials.
    let service = manifests.pods()[0];
    assert_eq!(pod["containers"][0]["env"], service["containers"][0]["env"]);
    assert_eq!(pod["volumes"][1], service["volumes"][0]);
}

#[test]
fn a_job_ends_before_helm_gives_up_and_after_the_program_may_take() {
    // Helm waits 5 minutes for a hook, unless it is told otherwise.
    let cases = [(&["drain.ordinals=[1]"][..], 10), (&[r#"config.shutdown.flush="1m""#], 60)];
    for (changes, flush) in cases {
        let changes: Vec<_> = changes.iter().copied().chain(["drain.ordinals=[1]"]).collect();
        let manifests = manifests(INSTALLATIONS[0], &changes);
        let job = &manifests.the("Job")["spec"];
        let most = job["activeDeadlineSeconds"].as_i64().expect("it has a deadline");
        let argument = job["template"]["spec"]["containers"][0]["args"][1].as_str();
        let argument = argument.and_then(|text| text.strip_prefix("--deadline="));
        let forwarding = argument.and_then(|text| text.strip_suffix('s')?.parse::<i64>().ok());
        let forwarding = forwarding.expect("the program has a deadline");
        assert!(most >= forwarding + flush + 30, "{most} s for {forwarding} s and {flush} s");
        assert!(flush > 10 || most < 300, "{most} s");
        // Helm does not delete the Job of a hook that failed, not even with the release.
        assert!(job["ttlSecondsAfterFinished"].is_i64());
    }
}

#[test]
fn a_job_tries_again_only_where_that_can_help() {
    let manifests = manifests(INSTALLATIONS[0], &["drain.ordinals=[1]"]);
    let rules = &manifests.the("Job")["spec"]["podFailurePolicy"]["rules"];
    let action_of = |code: i64| {
        let rules = rules.as_array().expect("a list").iter();
        let mut of_code = rules.filter(|rule| {
            let on = &rule["onExitCodes"];
            on["operator"] == "In"
                && on["values"].as_array().is_some_and(|values| values.contains(&json!(code)))
        });
        of_code.next().map(|rule| rule["action"].clone())
    };
    // Left over at the deadline, a wrong configuration, an operator is needed.
    for code in [1, 2, 4] {
        assert_eq!(action_of(code), Some(json!("FailJob")), "{code}");
    }
    // Another process holds the folder: it may be the pod that is just ending.
    assert_eq!(action_of(3), Some(json!("Ignore")));
    assert_eq!(action_of(101), None, "a crash is tried again");
}

#[test]
fn no_service_sends_deliveries_to_a_drain_job() {
    let manifests = manifests(INSTALLATIONS[2], &[]);
    let job = manifests.of_kind("Job").next().expect("there are two");
    let labels = &job["spec"]["template"]["metadata"]["labels"];
    let set = &manifests.the("StatefulSet")["spec"];
    let selectors = manifests.of_kind("Service").map(|service| &service["spec"]["selector"]);
    let budget = &manifests.the("PodDisruptionBudget")["spec"]["selector"]["matchLabels"];
    for selector in selectors.chain([budget, &set["selector"]["matchLabels"]]) {
        let selector = selector.as_object().expect("it is a map");
        assert!(selector.iter().any(|(name, value)| labels[name] != *value), "{selector:?}");
        let pod = &set["template"]["metadata"]["labels"];
        assert!(selector.iter().all(|(name, value)| pod[name] == *value), "{selector:?}");
    }
    // The network policy holds for both.
    let policy = &manifests.the("NetworkPolicy")["spec"]["podSelector"]["matchLabels"];
    let policy = policy.as_object().expect("it is a map");
    assert!(policy.iter().all(|(name, value)| labels[name] == *value), "{policy:?}");
}
