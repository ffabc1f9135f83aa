//! Lines of the log that an operator counts on: none of many refusals is lost, and each comes after its cause.

use serde_json::Value;

use crate::support::Service;

fn parsed(log: &[String]) -> Vec<Value> {
    log.iter().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

#[tokio::test]
async fn of_refusals_within_a_second_each_is_in_a_line_or_in_a_count() {
    let service = Service::start(&[]);
    for _ in 0..11 {
        service.deliver("leads", &[("authorization", "Bearer wrong-token")], "{}").await;
    }
    // Nothing further is sent.
    service.eventually(|log| {
        let of_reason = parsed(log).into_iter().filter(|it| it["reason"] == "token-unknown");
        let told: u64 = of_reason
            .map(|line| {
                let own = u64::from(line["request_id"].is_string());
                own + line["left_out"].as_u64().unwrap_or_default()
            })
            .sum();
        assert!(told <= 11, "{told}");
        (told == 11).then_some(())
    });
}

#[tokio::test]
async fn a_method_that_no_sender_uses_is_counted_for_the_source_that_was_asked() {
    let service = Service::start(&[]);
    for (path, source) in [("leads", "leads"), ("leads/", "leads"), ("nowhere", "unknown")] {
        let url = format!("http://{}/v1/{path}", service.deliveries);
        let answer = service.client.delete(&url).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), 405);
        let listed = service.get("/api/v1/deliveries?outcome=method-not-allowed").await.json();
        assert_eq!(listed["deliveries"][0]["source"], source, "{listed}");
    }
    let metrics = service.get("/metrics").await.text;
    let row = "millrace_deliveries_total{outcome=\"method-not-allowed\",source=\"leads\"} 2";
    assert!(metrics.contains(row), "{metrics}");
}

#[test]
fn a_start_that_fails_says_why_and_not_that_it_is_no_longer_ready() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a-file");
    std::fs::write(&file, "").unwrap();
    let spool = file.to_str().unwrap().to_owned();
    let service = Service::begin(folder, &[("SPOOL__DIRECTORY", &spool)]);
    let log = service.eventually(|log| {
        let lines = parsed(log);
        let has_failed = |it: &Value| it["message"].to_string().contains("service failed");
        lines.iter().any(has_failed).then_some(lines)
    });
    let stopping = |it: &Value| it["message"].to_string().contains("no longer ready");
    assert!(!log.iter().any(stopping), "{log:#?}");
}
