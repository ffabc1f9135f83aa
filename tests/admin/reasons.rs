//! Each refusal has its reason in the log, in the metric and in the API, and the sender learns none of it.

use serde_json::Value;

use crate::support::Service;

const SIGNATURE: &str = "AAAA";

#[tokio::test]
async fn each_reason_is_in_the_log_in_the_metric_and_in_the_api_and_the_answer_does_not_tell_it() {
    let service = Service::start(&[]);
    let twice = [("authorization", "Bearer good-token"), ("authorization", "Bearer good-token")];
    let signed = [
        ("x-adobe-digital-signature-1", SIGNATURE),
        ("x-adobe-public-key1-path", "/prod/keys/none.pem"),
    ];
    let foreign = [signed[0], ("x-adobe-public-key1-path", "https://evil.example/key.pem")];
    let cases: &[(&str, &[(&str, &str)], u16, &str)] = &[
        ("leads", &[], 401, "no-authorization"),
        ("leads", &[("authorization", "Basic abcdefgh")], 401, "wrong-scheme"),
        ("leads", &twice, 401, "two-tokens"),
        ("leads", &[("authorization", "Bearer wrong-token")], 401, "token-unknown"),
        ("leads", &[("authorization", "Bearer audit-token")], 401, "token-of-other-source"),
        ("adobe", &[], 401, "no-signature"),
        ("adobe", &[signed[0]], 401, "signature-unreadable"),
        ("adobe", &foreign, 503, "key-path-foreign"),
        ("adobe", &signed, 503, "key-unavailable"),
        ("nowhere", &[], 503, "unknown-source"),
    ];
    let mut answers = Vec::new();
    for (source, headers, status, reason) in cases {
        let answer = service.deliver(source, headers, "{}").await;
        assert_eq!(answer.status.as_u16(), *status, "{reason}");
        assert!(!answer.text.contains(reason), "{}", answer.text);
        answers.push((
            source,
            status,
            answer.text.clone(),
            answer.headers.get("www-authenticate").cloned(),
        ));
    }
    // Those with one outcome are answered alike.
    let of_leads: Vec<_> = answers.iter().filter(|(source, ..)| **source == "leads").collect();
    assert!(
        of_leads.iter().all(|it| (&it.2, &it.3) == (&of_leads[0].2, &of_leads[0].3)),
        "{of_leads:?}"
    );

    let metrics = service.get("/metrics").await.text;
    let listed = service.get("/api/v1/deliveries?outcome=refused").await.json();
    let words = service.get("/api/v1/words").await.json();
    for (source, _, _, reason) in cases {
        let known = if *source == "nowhere" { "unknown" } else { source };
        service.eventually(|log| {
            let is_it = |line: &&String| {
                let line: Value = serde_json::from_str(line).unwrap_or_default();
                line["reason"] == *reason && line["source"] == known
            };
            log.iter().find(is_it).map(|_| ())
        });
        let row = format!("millrace_refusals_total{{reason=\"{reason}\",source=\"{known}\"}} 1");
        assert!(metrics.contains(&row), "{row}");
        let found = listed["deliveries"].as_array().unwrap();
        let found = found.iter().find(|it| it["reason"] == *reason).unwrap();
        assert_eq!(found["source"], known);
        let of_words = words["reasons"].as_array().unwrap();
        assert!(of_words.iter().any(|it| it["reason"] == *reason), "{reason}");
    }
    for secret in ["wrong-token", "audit-token", "good-token", "abcdefgh", "evil.example"] {
        assert!(!listed.to_string().contains(secret), "{secret}");
        service.eventually(|log| (!log.iter().any(|line| line.contains(secret))).then_some(()));
    }
}
