//! The program at work, and requests to it.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use reqwest::{Client, Method, StatusCode, header::HeaderMap};
use serde_json::Value;

use crate::wait;

pub const ADMIN_TOKEN: &str = "admin-token-of-the-tests";

const PATIENCE: Duration = Duration::from_secs(60);

/// Panics when it takes too long.
pub async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("it takes too long")
}

pub struct Service {
    child: Child,
    pub deliveries: String,
    pub admin: String,
    pub client: Client,
    log: Arc<Mutex<Vec<String>>>,
    _folder: tempfile::TempDir,
}

pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub text: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("{}", self.text))
    }
}

impl Service {
    /// Two sources of Marketo's and one of Adobe's; `more` are further variables.
    pub fn start(more: &[(&str, &str)]) -> Self {
        let mut service = Self::begin(tempfile::tempdir().unwrap(), more);
        service.deliveries = service.address("deliveries");
        service
    }

    /// The same, which need not come so far as to take deliveries. `folder` has the spools, and Adobe's keys.
    pub fn begin(folder: tempfile::TempDir, more: &[(&str, &str)]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_millrace"));
        command.arg("serve").env_clear().stderr(Stdio::piped()).stdout(Stdio::null());
        for (name, value) in [
            ("KAFKA__BOOTSTRAP_SERVERS", "127.0.0.1:1"),
            ("SPOOL__DIRECTORY", folder.path().to_str().unwrap()),
            ("SPOOL__SIZE_LIMIT", "300MiB"),
            ("SPOOL__RESERVE", "70MiB"),
            ("LISTEN__ADDRESS", "127.0.0.1:0"),
            ("ADMIN__ADDRESS", "127.0.0.1:0"),
            ("ADMIN__TOKENS", ADMIN_TOKEN),
            ("LOG__FORMAT", "json"),
            ("SOURCES__LEADS__KIND", "marketo-lead-activity"),
            ("SOURCES__LEADS__AUTH__TOKENS", "good-token,second-token"),
            ("SOURCES__AUDIT__KIND", "marketo-lead-activity"),
            ("SOURCES__AUDIT__AUTH__TOKENS", "audit-token"),
            ("SOURCES__ADOBE__KIND", "adobe-io"),
            ("SOURCES__ADOBE__AUTH__CLIENT_IDS", "our-client-id"),
            ("ADOBE__KEYS_FOLDER", folder.path().to_str().unwrap()),
        ] {
            command.env(format!("MILLRACE_{name}"), value);
        }
        for (name, value) in more {
            command.env(format!("MILLRACE_{name}"), value);
            if let Some(text) = name.strip_suffix("_FILE") {
                // Of the two only one may be given.
                command.env_remove(format!("MILLRACE_{text}"));
            }
            if *name == "ADOBE__KEYS_URL" {
                // A folder would be looked into instead.
                command.env_remove("MILLRACE_ADOBE__KEYS_FOLDER");
            }
        }
        let mut child = command.spawn().unwrap();
        let log = Arc::<Mutex<Vec<String>>>::default();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let written = log.clone();
        std::thread::spawn(move || {
            lines.map_while(Result::ok).for_each(|line| written.lock().unwrap().push(line));
        });
        let client = Client::builder().no_proxy().build().unwrap();
        let (deliveries, admin) = Default::default();
        let mut service = Self { child, deliveries, admin, client, log, _folder: folder };
        service.admin = service.address("admin");
        service
    }

    /// Where the listener of this name is, once it is there.
    fn address(&self, listener: &str) -> String {
        self.eventually(|log| {
            let mut lines = log.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            let line =
                lines.find(|it| it["message"] == "listening" && it["listener"] == listener)?;
            Some(line["address"].as_str()?.to_owned())
        })
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The banner of this kind, once it is there.
    pub async fn banner(&self, kind: &str) -> Value {
        let looks = async {
            loop {
                let status = self.get("/api/v1/status").await.json();
                let banners = status["banners"].as_array().cloned().unwrap_or_default();
                if let Some(banner) = banners.into_iter().find(|it| it["kind"] == kind) {
                    return banner;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let found = tokio::time::timeout(PATIENCE, looks).await;
        found.unwrap_or_else(|_| panic!("no banner is `{kind}`"))
    }

    /// What `look` finds in the log, once it does.
    pub fn eventually<T>(&self, look: impl Fn(&[String]) -> Option<T>) -> T {
        wait::until_some("a line of the log", PATIENCE, || look(&self.log.lock().unwrap()))
    }

    pub async fn deliver(&self, source: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let url = format!("http://{}/v1/{source}", self.deliveries);
        self.ask(Method::POST, &url, headers, body).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.admin(Method::GET, path, &[], "").await
    }

    /// A client that calls from the loopback address with this number, which is another one to the service.
    pub fn client_at(&self, number: u8) -> Client {
        let address = std::net::Ipv4Addr::new(127, 0, 0, number);
        Client::builder().no_proxy().local_address(Some(address.into())).build().unwrap()
    }

    pub async fn post(&self, path: &str, body: &str) -> Answer {
        let token = format!("Bearer {ADMIN_TOKEN}");
        let headers = [("authorization", &*token), ("content-type", "application/json")];
        self.admin(Method::POST, path, &headers, body).await
    }

    pub async fn admin(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        self.ask(method, &format!("http://{}{path}", self.admin), headers, body).await
    }

    async fn ask(&self, method: Method, url: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut request = self.client.request(method, url).body(body.to_owned());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = request.send().await.unwrap();
        let (status, headers) = (answer.status(), answer.headers().clone());
        Answer { status, headers, text: answer.text().await.unwrap() }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
