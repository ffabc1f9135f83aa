//! The chart as Helm renders it, over files of values in tests/deploy/values.

use std::process::Command;

use serde_json::Value;

use crate::{
    cluster::Cluster,
    tools::{Ended, repository, run, tool, yaml},
};

/// Files that are laid over each other, for one installation.
pub const INSTALLATIONS: [&[&str]; 3] =
    [&["least.yaml"], &["least.yaml", "other-ways.yaml"], &["everything.yaml"]];

/// Runs `helm template`, with `--set-json` for each of `changes`.
#[track_caller]
pub fn template(files: &[&str], changes: &[&str]) -> Ended {
    helm(tool("helm"), &["template", "release"], files, changes)
}

/// `helm template` of the least installation under another name than `release`.
#[track_caller]
pub fn named(release: &str, changes: &[&str]) -> Ended {
    helm(tool("helm"), &["template", release], INSTALLATIONS[0], changes)
}

/// Runs `helm lint`; what is said is what is wrong.
#[track_caller]
pub fn lint(files: &[&str]) -> Ended {
    helm(tool("helm"), &["lint", "--strict", "--quiet"], files, &[])
}

fn helm(helm: Command, arguments: &[&str], files: &[&str], changes: &[&str]) -> Ended {
    let mut all: Vec<String> = arguments.iter().map(|&argument| argument.into()).collect();
    all.push(repository("deploy/helm/millrace").display().to_string());
    all.extend(["--namespace".into(), "space".into()]);
    for file in files {
        let file = repository("tests/deploy/values").join(file);
        all.extend(["--values".into(), file.display().to_string()]);
    }
    for change in changes {
        all.extend(["--set-json".into(), (*change).into()]);
    }
    run(helm, all, "")
}

/// The manifests of one installation.
pub struct Manifests(pub Vec<Value>);

#[track_caller]
pub fn manifests(files: &[&str], changes: &[&str]) -> Manifests {
    let text = template(files, changes).expect_fine(&format!("{files:?} {changes:?}"));
    Manifests(yaml(&text))
}

/// As an upgrade in `cluster` would render them.
#[track_caller]
pub fn manifests_for(cluster: &Cluster, files: &[&str]) -> Manifests {
    let mut command = tool("helm");
    command.env("KUBECONFIG", cluster.kubeconfig());
    let arguments = ["template", "release", "--dry-run=server", "--disable-openapi-validation"];
    let rendered = helm(command, &arguments, files, &[]);
    Manifests(yaml(&rendered.expect_fine("a cluster")))
}

impl Manifests {
    pub fn of_kind(&self, kind: &'static str) -> impl Iterator<Item = &Value> {
        self.0.iter().filter(move |manifest| manifest["kind"] == kind)
    }

    /// The one of its kind.
    #[track_caller]
    pub fn the(&self, kind: &'static str) -> &Value {
        let found: Vec<_> = self.of_kind(kind).collect();
        assert_eq!(found.len(), 1, "{kind} in {:?}", self.kinds());
        found[0]
    }

    /// The one of its kind with this name.
    #[track_caller]
    pub fn named(&self, kind: &'static str, name: &str) -> &Value {
        let mut found = self.of_kind(kind).filter(|manifest| manifest["metadata"]["name"] == name);
        found.next().unwrap_or_else(|| panic!("no {kind} {name} in {:?}", self.kinds()))
    }

    pub fn kinds(&self) -> Vec<&str> {
        let mut kinds: Vec<_> = self.0.iter().filter_map(|m| m["kind"].as_str()).collect();
        kinds.sort_unstable();
        kinds
    }

    /// The specifications of all pods, the service's and the Jobs'.
    pub fn pods(&self) -> Vec<&Value> {
        let of = |kind| self.of_kind(kind).map(|manifest| &manifest["spec"]["template"]["spec"]);
        of("StatefulSet").chain(of("Job")).collect()
    }
}
