//! As much of a Kubernetes API as Helm asks for when it renders for a cluster: which kinds there are,
//! which claims of volumes, and the set of the release. Nothing else exists there.

use std::{
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    thread,
};

use serde_json::{Value, json};
use tempfile::TempDir;

const KINDS: [(&str, &[&str]); 5] = [
    ("", &["PersistentVolumeClaim", "Service", "ServiceAccount"]),
    ("apps", &["StatefulSet"]),
    ("batch", &["Job"]),
    ("policy", &["PodDisruptionBudget"]),
    ("scheduling.k8s.io", &["PriorityClass"]),
];

/// Of the release's set.
pub const UID: &str = "3f0d4a52-5b0c-4c3a-9d2e-6a1f6f0b7c11";

pub struct Cluster {
    folder: TempDir,
}

impl Cluster {
    /// A cluster with these claims in the namespace `space`. It answers until the tests end.
    pub fn with_claims(claims: &'static [&'static str]) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("there is a free port");
        let address = listener.local_addr().expect("it is bound");
        thread::spawn(move || {
            for connection in listener.incoming().map_while(Result::ok) {
                // One that hangs up has what it wanted.
                let _ = answer(connection, claims);
            }
        });
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let cluster = Self { folder };
        let config = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "c", "cluster": {"server": format!("http://{address}")}}],
            "users": [{"name": "u", "user": {}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
            "current-context": "c",
        });
        std::fs::write(cluster.kubeconfig(), config.to_string()).expect("it can be written");
        cluster
    }

    pub fn kubeconfig(&self) -> PathBuf {
        Path::new(self.folder.path()).join("kubeconfig")
    }
}

fn answer(mut connection: TcpStream, claims: &[&str]) -> std::io::Result<()> {
    let mut lines = BufReader::new(connection.try_clone()?).lines();
    let first = lines.next().unwrap_or_else(|| Ok(String::new()))?;
    while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
    let path = first.split([' ', '?']).nth(1).unwrap_or_default();
    let (status, body) = match resource(path, claims) {
        Some(body) => ("200 OK", body),
        None => ("404 Not Found", json!({"kind": "Status", "status": "Failure", "code": 404})),
    };
    let body = body.to_string();
    write!(
        connection,
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
         connection: close\r\n\r\n{body}",
        body.len()
    )
}

fn resource(path: &str, claims: &[&str]) -> Option<Value> {
    let named = KINDS.iter().filter(|(group, _)| !group.is_empty());
    Some(match path {
        "/version" => json!({"major": "1", "minor": "33", "gitVersion": "v1.33.0"}),
        "/api" => json!({"kind": "APIVersions", "versions": ["v1"]}),
        "/apis" => {
            let group = |(name, _): &(&str, _)| {
                let version = json!({"groupVersion": format!("{name}/v1"), "version": "v1"});
                json!({"name": name, "versions": [version], "preferredVersion": version})
            };
            let groups: Vec<_> = named.map(group).collect();
            json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
        }
        "/api/v1/namespaces/space/persistentvolumeclaims" => {
            let claim = |name: &&str| {
                json!({
                    "apiVersion": "v1",
                    "kind": "PersistentVolumeClaim",
                    "metadata": {"name": name, "namespace": "space"},
                })
            };
            let items: Vec<_> = claims.iter().map(claim).collect();
            json!({"kind": "PersistentVolumeClaimList", "apiVersion": "v1", "items": items})
        }
        "/apis/apps/v1/namespaces/space/statefulsets/release" => json!({
            "apiVersion": "apps/v1",
            "kind": "StatefulSet",
            "metadata": {
                "name": "release",
                "namespace": "space",
                "uid": UID,
                // It is Helm's, or Helm would not touch it.
                "labels": {"app.kubernetes.io/managed-by": "Helm"},
                "annotations": {
                    "meta.helm.sh/release-name": "release",
                    "meta.helm.sh/release-namespace": "space",
                },
            },
        }),
        "/api/v1" => kinds("v1", KINDS[0].1),
        _ => {
            let group = path.strip_prefix("/apis/")?.strip_suffix("/v1")?;
            let (_, known) = KINDS.iter().find(|(name, _)| *name == group)?;
            kinds(&format!("{group}/v1"), known)
        }
    })
}

fn kinds(version: &str, kinds: &[&str]) -> Value {
    let resource = |kind: &&str| {
        let name = kind.to_lowercase();
        json!({
            "name": if name.ends_with('s') { format!("{name}es") } else { format!("{name}s") },
            "singularName": name,
            "namespaced": *kind != "PriorityClass",
            "kind": kind,
            "verbs": ["get", "list"],
        })
    };
    let resources: Vec<_> = kinds.iter().map(resource).collect();
    json!({"kind": "APIResourceList", "groupVersion": version, "resources": resources})
}
