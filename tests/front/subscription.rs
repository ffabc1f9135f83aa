//! What the metrics say of a subscription, as its sender sees it.

use millrace::{source::SourceName, spool::AppendError};

use crate::support::{Front, TOKEN, post};

fn series(front: &Front, name: &str) -> f64 {
    let text = front.metrics.render();
    let line = text.lines().find(|line| line.starts_with(name));
    let value = line.and_then(|line| line.rsplit(' ').next()?.parse().ok());
    value.unwrap_or_else(|| panic!("{name} in\n{text}"))
}

const ACCEPTED: &str = r#"millrace_sender_tries{result="accepted",source="leads"}"#;
const FAILED: &str = r#"millrace_sender_tries{result="failed",source="leads"}"#;
const IN_A_ROW: &str = r#"millrace_sender_failed_in_a_row{source="leads"}"#;
const REPEATED: &str = r#"millrace_repeated_deliveries_total{source="leads"}"#;

#[tokio::test]
async fn tries_are_counted_as_the_sender_counts_them_and_probes_are_not() {
    let front = Front::start().await;
    front.metrics.announce("leads", "marketo-lead-activity");
    assert_eq!(front.ask("GET /v1/leads HTTP/1.1\r\nhost: here\r\n\r\n").await.status, 200);
    assert_eq!(front.deliver("{}").await.status, 200);
    assert_eq!(front.ask(&post("{}", "").replace(TOKEN, "wrong")).await.status, 401);
    front.store.refuse_with(|| AppendError::Closed { spool: SourceName::new("leads").unwrap() });
    assert_eq!(front.deliver("{}").await.status, 503);
    let seen = [ACCEPTED, FAILED, IN_A_ROW].map(|name| series(&front, name));
    assert_eq!(seen, [1.0, 2.0, 2.0]);
}

#[tokio::test]
async fn what_an_authenticated_sender_tries_again_is_a_repeat() {
    let front = Front::start().await;
    front.metrics.announce("leads", "marketo-lead-activity");
    let again = post("{}", "x-adobe-retry-count: 1\r\n");
    for request in [post("{}", ""), again.clone(), again.replace(TOKEN, "wrong")] {
        front.ask(&request).await;
    }
    assert_eq!(series(&front, REPEATED), 1.0);
}
