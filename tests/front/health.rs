//! `/livez`, `/readyz` and `/metrics`, and what load balancers are told on the deliveries' port.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, atomic::Ordering},
};

use millrace::{
    config,
    observe::{
        admin::{self, Health},
        api::access::Access,
        metrics::Metrics,
    },
    runtime::shutdown::{Phase, Shutdown},
};
use tokio::{net::TcpListener, task::JoinHandle};

use crate::support::{Front, Raw, Reply, within};

struct Admin {
    address: SocketAddr,
    health: Arc<Mutex<Health>>,
    shutdown: Shutdown,
    served: JoinHandle<()>,
}

impl Admin {
    async fn start() -> Self {
        let health = Arc::new(Mutex::new(Health::default()));
        let state = {
            let health = health.clone();
            Arc::new(move || health.lock().unwrap().clone())
        };
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let (address, shutdown) = (listener.local_addr().unwrap(), Shutdown::new());
        let serving = admin::serve(
            listener,
            state,
            Metrics::new(),
            Arc::new(Access::new(&config::Admin::default(), address)),
            shutdown.clone(),
        );
        Self { address, health, shutdown, served: tokio::spawn(serving) }
    }

    /// By a name that is none of ours, as a kubelet and Prometheus ask.
    async fn get(&self, path: &str) -> Reply {
        self.get_by("here", path).await
    }

    async fn get_by(&self, host: &str, path: &str) -> Reply {
        let mut raw = Raw::connect(self.address).await;
        raw.send(format!("GET {path} HTTP/1.1\r\nhost: {host}\r\n\r\n")).await;
        raw.reply().await
    }

    async fn live_and_ready(&self) -> (u16, u16) {
        (self.get("/livez").await.status, self.get("/readyz").await.status)
    }

    fn set(&self, change: impl FnOnce(&mut Health)) {
        let mut health = Health::default();
        change(&mut health);
        *self.health.lock().unwrap() = health;
    }
}

#[tokio::test]
async fn each_reason_fails_what_it_should_and_is_told() {
    let admin = Admin::start().await;
    assert_eq!(admin.live_and_ready().await, (200, 200));
    assert_eq!(admin.get("/readyz").await.text(), "{\"status\":\"ok\"}\n");
    admin.set(|health| health.starting = Some("spools are being opened".into()));
    assert_eq!(admin.live_and_ready().await, (200, 503));
    admin.set(|health| health.below_reserve = Some("/var/lib/millrace".into()));
    assert_eq!(admin.live_and_ready().await, (200, 503));
    admin.set(|health| health.poisoned = Some("spool of `leads`".into()));
    assert_eq!(admin.live_and_ready().await, (503, 503));
    let reason = "{\"status\":\"unavailable\",\"reasons\":[\"spool of `leads`\"]}\n";
    assert_eq!(admin.get("/livez").await.text(), reason);
}

#[tokio::test]
async fn readiness_fails_as_soon_as_the_stop_begins_and_health_is_told_until_the_end() {
    let admin = Admin::start().await;
    admin.shutdown.advance(Phase::Draining);
    assert_eq!(admin.live_and_ready().await, (200, 503));
    admin.shutdown.advance(Phase::Closing);
    assert_eq!(admin.live_and_ready().await, (200, 503));
    admin.shutdown.advance(Phase::Stopped);
    within(admin.served).await.unwrap();
}

#[tokio::test]
async fn metrics_are_prometheus_text_and_nothing_else_is_there() {
    let admin = Admin::start().await;
    let reply = admin.get("/metrics").await;
    assert_eq!(reply.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    assert!(reply.text().contains("millrace_build_info{version="));
    assert_eq!(admin.get_by(&admin.address.to_string(), "/v1/leads").await.status, 404);
    assert_eq!(admin.get("/v1/leads").await.status, 403, "a name that is none of ours");
    let mut raw = Raw::connect(admin.address).await;
    raw.send("POST /livez HTTP/1.1\r\nhost: here\r\ncontent-length: 0\r\n\r\n").await;
    assert_eq!(raw.reply().await.status, 405);
}

#[tokio::test]
async fn a_load_balancer_is_told_on_the_deliveries_port_whether_to_send_and_nothing_more() {
    let front = Front::start().await;
    let ask = async |method: &str| {
        let request = format!("{method} / HTTP/1.1\r\nhost: here\r\nconnection: close\r\n\r\n");
        let mut raw = front.connect().await;
        raw.send(request).await;
        String::from_utf8(raw.rest().await).unwrap()
    };
    for (ready, status, text) in [(true, "200", "ready"), (false, "503", "not ready")] {
        front.ready.store(ready, Ordering::SeqCst);
        let answer = ask("GET").await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
        assert!(answer.ends_with(&format!("\r\n\r\n{text}")), "{answer}");
        let head = ask("HEAD").await;
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
        assert!(head.ends_with("\r\n\r\n"), "{head}");
    }
    assert!(ask("POST").await.starts_with("HTTP/1.1 404 "));
    // Load balancers ask all the time: these are no deliveries.
    assert!(!front.metrics.render().contains("ready\""), "{}", front.metrics.render());
}
