//! A real browser, driven by WebDriver: JSON over HTTP, so a dozen calls of it need no crate of their own (those that
//! there are bring some thirty others with them).
//!
//! `tests/setup/packages` installs Debian's `chromium` and `chromium-driver`. A browser ends with its handle, and with the
//! test process whatever happens.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _},
    net::SocketAddr,
    os::unix::fs::PermissionsExt as _,
    process::Stdio,
    sync::OnceLock,
    thread,
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{
    http::Client,
    process::{self, Process},
    wait,
};

/// A browser on a machine that is busy.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// How WebDriver names an element.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// The driver of all browsers of this process.
struct Driver {
    address: SocketAddr,
    /// What starts a browser.
    start: std::path::PathBuf,
    _folder: TempDir,
    _process: Process,
}

fn driver() -> &'static Driver {
    static DRIVER: OnceLock<Driver> = OnceLock::new();
    DRIVER.get_or_init(|| {
        let folder = tempfile::Builder::new().prefix("millrace-test-browser-").tempdir();
        let folder = folder.expect("a temporary folder can be made");
        // A driver that is killed leaves its browsers behind, so that the kernel has to end them.
        let start = folder.path().join("chromium");
        fs::write(
            &start,
            "#!/bin/sh\nexec setpriv --pdeathsig KILL -- chromium \"$@\" 2>/dev/null\n",
        )
        .expect("a temporary file can be written");
        fs::set_permissions(&start, fs::Permissions::from_mode(0o755)).expect("rights can be set");
        let mut command = process::tied("chromedriver");
        command
            .args(["--port=0"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut process = process::spawn(command);
        let mut lines = BufReader::new(process.child().stdout.take().expect("it is piped"));
        let mut said = String::new();
        let port = loop {
            let mut line = String::new();
            let read = lines.read_line(&mut line).expect("a pipe can be read");
            said += &line;
            assert!(
                read > 0,
                "chromedriver does not start (tests/setup/packages installs it): {said}"
            );
            let port = line.split("on port ").nth(1).filter(|_| line.contains("successfully"));
            if let Some(port) = port.and_then(|rest| rest.trim().trim_end_matches('.').parse().ok())
            {
                break port;
            }
        };
        thread::spawn(move || lines.read_to_end(&mut Vec::new()));
        Driver {
            address: SocketAddr::from(([127, 0, 0, 1], port)),
            start,
            _folder: folder,
            _process: process,
        }
    })
}

pub struct Browser {
    session: String,
    origin: String,
}

impl Browser {
    /// A browser for the pages of `admin`, 1280 wide.
    #[track_caller]
    pub fn start(admin: SocketAddr) -> Self {
        let driver = driver();
        let mut arguments = vec![
            "--headless=new",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--window-size=1280,900",
        ];
        // The sandbox of Chromium is not for root.
        if rustix::process::geteuid().is_root() {
            arguments.push("--no-sandbox");
        }
        let options = json!({ "binary": driver.start, "args": arguments });
        let wanted = json!({ "capabilities": { "alwaysMatch": {
            "browserName": "chrome", "goog:chromeOptions": options, "unhandledPromptBehavior": "ignore",
        } } });
        let begun = call("POST", "/session", &wanted);
        let session = begun["sessionId"].as_str().expect("a session has an id").to_owned();
        Self { session, origin: format!("http://{admin}") }
    }

    #[track_caller]
    fn post(&self, path: &str, body: &Value) -> Value {
        call("POST", &format!("/session/{}{path}", self.session), body)
    }

    #[track_caller]
    fn get(&self, path: &str) -> Value {
        call("GET", &format!("/session/{}{path}", self.session), &Value::Null)
    }

    /// Opens the page at this path of the console.
    #[track_caller]
    pub fn open(&self, path: &str) {
        self.open_address(&format!("{}{path}", self.origin));
    }

    #[track_caller]
    pub fn open_address(&self, address: &str) {
        self.post("/url", &json!({ "url": address }));
    }

    /// The path and query that are shown.
    #[track_caller]
    pub fn path(&self) -> String {
        let address = self.get("/url");
        let address = address.as_str().expect("an address is a text");
        address.strip_prefix(&self.origin).unwrap_or(address).to_owned()
    }

    /// What `script` returns; `arguments` are its arguments.
    #[track_caller]
    pub fn run(&self, script: &str, arguments: &[Value]) -> Value {
        self.post("/execute/sync", &json!({ "script": script, "args": arguments }))
    }

    /// What `script` gives to its last argument, a function.
    #[track_caller]
    pub fn run_async(&self, script: &str, arguments: &[Value]) -> Value {
        self.post("/execute/async", &json!({ "script": script, "args": arguments }))
    }

    /// A command of the browser's own protocol.
    #[track_caller]
    pub fn command(&self, name: &str, parameters: &Value) -> Value {
        self.post("/goog/cdp/execute", &json!({ "cmd": name, "params": parameters }))
    }

    #[track_caller]
    pub fn be_wide(&self, width: u32, height: u32) {
        let metrics =
            json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.command("Emulation.setDeviceMetricsOverride", &metrics);
    }

    /// What the system prefers: `light` or `dark`.
    #[track_caller]
    pub fn prefer(&self, theme: &str) {
        let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": theme }] });
        self.command("Emulation.setEmulatedMedia", &features);
    }

    #[track_caller]
    pub fn run_no_scripts(&self) {
        self.command("Emulation.setScriptExecutionDisabled", &json!({ "value": true }));
    }

    #[track_caller]
    fn elements(&self, selector: &str) -> Vec<String> {
        let found = self.post("/elements", &json!({ "using": "css selector", "value": selector }));
        let found = found.as_array().expect("elements are a list");
        found.iter().filter_map(|it| Some(it[ELEMENT].as_str()?.to_owned())).collect()
    }

    #[track_caller]
    fn element(&self, selector: &str) -> String {
        wait::until_some(&format!("an element {selector}"), PATIENCE, || {
            self.elements(selector).into_iter().next()
        })
    }

    /// Of the first of these elements; a page that is brought up to date may take one away meanwhile.
    #[track_caller]
    fn of_element(&self, selector: &str, method: &str, what: &str, body: &Value) -> Value {
        wait::until_some(&format!("an element {selector} that stays"), PATIENCE, || {
            let element = self.element(selector);
            let path = format!("/session/{}/element/{element}/{what}", self.session);
            match try_call(method, &path, body) {
                Ok(value) => Some(value),
                Err(error) if error.starts_with("stale element") => None,
                Err(error) => panic!("{method} {path}: {error}"),
            }
        })
    }

    #[track_caller]
    pub fn count(&self, selector: &str) -> usize {
        self.elements(selector).len()
    }

    /// The text of the page's content, as it is seen.
    #[track_caller]
    pub fn content(&self) -> String {
        self.text("main")
    }

    /// The text of the first of these elements.
    #[track_caller]
    pub fn text(&self, selector: &str) -> String {
        let text = self.of_element(selector, "GET", "text", &Value::Null);
        text.as_str().expect("a text").to_owned()
    }

    #[track_caller]
    pub fn click(&self, selector: &str) {
        self.of_element(selector, "POST", "click", &json!({}));
    }

    #[track_caller]
    pub fn write(&self, selector: &str, text: &str) {
        self.of_element(selector, "POST", "value", &json!({ "text": text }));
    }

    /// Presses a key, wherever the focus is.
    #[track_caller]
    pub fn press(&self, key: char) {
        let actions = json!([{ "type": "keyDown", "value": key.to_string() }, { "type": "keyUp", "value": key.to_string() }]);
        self.post(
            "/actions",
            &json!({ "actions": [{ "type": "key", "id": "keyboard", "actions": actions }] }),
        );
    }

    /// Waits until the page's content has this text, and prints the page when it never does.
    #[track_caller]
    pub fn wait_for(&self, text: &str) {
        let what = format!("{text:?} on {}", self.path());
        wait::until(&what, PATIENCE, || self.content().contains(text));
    }

    /// A PNG of the page: of what is seen, or of all of it.
    #[track_caller]
    pub fn picture(&self) -> Vec<u8> {
        let picture = self.get("/screenshot");
        STANDARD.decode(picture.as_str().expect("a text")).expect("base64")
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let path = format!("/session/{}", self.session);
        let _ = Client::new(driver().address).request("DELETE", &path, &[], b"");
    }
}

#[track_caller]
fn call(method: &str, path: &str, body: &Value) -> Value {
    try_call(method, path, body).unwrap_or_else(|error| panic!("{method} {path}: {error}"))
}

/// An error is WebDriver's own word and its first line.
#[track_caller]
fn try_call(method: &str, path: &str, body: &Value) -> Result<Value, String> {
    let text = if method == "GET" { String::new() } else { body.to_string() };
    let headers = ["content-type: application/json".to_owned()];
    let answer = Client::new(driver().address).request(method, path, &headers, text.as_bytes());
    let answer = answer.unwrap_or_else(|error| panic!("{method} {path}: {error}"));
    let said: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let value = &said["value"];
    if answer.status == 200 {
        return Ok(value.clone());
    }
    let message = value["message"].as_str().unwrap_or_default().lines().next().unwrap_or_default();
    Err(format!("{}: {message}", value["error"].as_str().unwrap_or_default()))
}
