use std::collections::HashMap;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::*;

const HANDED: &str = r#"{"AccessKeyId":"ASIAX","SecretAccessKey":"hunter2","Token":"hunter3",
    "Expiration":"2015-08-30T13:36:00Z"}"#;

/// Answers each request by its first line; returns the address. Each connection has one request.
async fn played(answer: fn(&str) -> (u16, String)) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            let mut piece = [0; 4096];
            loop {
                let read = stream.read(&mut piece).await.unwrap();
                request.extend_from_slice(&piece[..read]);
                let text = String::from_utf8_lossy(&request);
                let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
                let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
                if body.len() >= length.map_or(0, |length| length.parse().unwrap()) || read == 0 {
                    break;
                }
            }
            let (status, body) = answer(&String::from_utf8_lossy(&request));
            let head = format!(
                "HTTP/1.1 {status} Played\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
                body.len()
            );
            stream.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
        }
    });
    address
}

async fn found(variables: &[(&str, &str)], places: &Places) -> Result<Credentials, String> {
    let variables: HashMap<String, String> =
        variables.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
    find(&|name| variables.get(name).cloned(), "eu-west-1", places).await
}

fn leaked(text: String) -> &'static str {
    Box::leak(text.into_boxed_str())
}

#[tokio::test]
async fn the_environment_comes_first_and_is_complete_or_refused() {
    let all = [
        ("AWS_ACCESS_KEY_ID", "AKIA"),
        ("AWS_SECRET_ACCESS_KEY", "hunter2"),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", "/nowhere"),
    ];
    let credentials = found(&all, &Places::REAL).await.unwrap();
    assert_eq!(credentials.access_key_id, "AKIA");
    assert!(credentials.ends.is_none() && !format!("{credentials:?}").contains("hunter2"));
    let problem = found(&all[..1], &Places::REAL).await.unwrap_err();
    assert!(problem.contains("AWS_SECRET_ACCESS_KEY is not"), "{problem}");
}

#[tokio::test]
async fn a_service_accounts_token_is_exchanged_at_sts() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "the-jwt\n").unwrap();
    let sts = played(|request| {
        let right = ["POST / ", "Action=AssumeRoleWithWebIdentity", "WebIdentityToken=the-jwt"];
        if !right.iter().all(|part| request.contains(part)) || request.contains("role%2Fother") {
            let body = "<ErrorResponse><Error><Code>AccessDenied</Code><Message>Not authorized: the-jwt\
                        </Message></Error></ErrorResponse>";
            return (403, body.into());
        }
        let body = "<AssumeRoleWithWebIdentityResponse><Credentials><AccessKeyId>ASIAX</AccessKeyId>\
                    <SecretAccessKey>hunter2</SecretAccessKey><SessionToken>hunter3</SessionToken>\
                    <Expiration>2015-08-30T13:36:00Z</Expiration></Credentials></AssumeRoleWithWebIdentityResponse>";
        (200, body.into())
    })
    .await;
    let places = Places { sts: Some(leaked(sts)), ..Places::REAL };
    let file = file.to_str().unwrap();
    let asked = |role| [("AWS_WEB_IDENTITY_TOKEN_FILE", file), ("AWS_ROLE_ARN", role)];
    let credentials = found(&asked("arn:aws:iam::1:role/mill"), &places).await.unwrap();
    assert_eq!(credentials.session_token.unwrap().expose(), "hunter3");
    assert_eq!(credentials.ends, Some(SystemTime::UNIX_EPOCH + Duration::from_secs(1_440_941_760)));
    let problem = found(&asked("arn:aws:iam::1:role/other"), &places).await.unwrap_err();
    assert!(
        problem.contains("403") && problem.contains("AccessDenied, Not authorized: ***"),
        "{problem}"
    );
    assert!(problem.contains("AWS_ROLE_ARN"), "{problem}");
    let problem = found(&asked("x")[..1], &places).await.unwrap_err();
    assert!(problem.contains("AWS_ROLE_ARN is not"), "{problem}");
}

#[tokio::test]
async fn an_agent_of_a_task_or_a_pod_is_shown_the_token_of_its_file() {
    let agent =
        played(|request| match request.to_ascii_lowercase().contains("authorization: pod-token") {
            true => (200, HANDED.into()),
            false => (401, "who are you".into()),
        })
        .await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "pod-token\n").unwrap();
    let url = format!("{agent}/v1/credentials");
    let variables = [
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", url.as_str()),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", file.to_str().unwrap()),
    ];
    assert_eq!(found(&variables, &Places::REAL).await.unwrap().access_key_id, "ASIAX");
    let problem = found(&variables[..1], &Places::REAL).await.unwrap_err();
    assert!(problem.contains("401") && problem.contains("who are you"), "{problem}");

    let places = Places { ecs: leaked(agent), ..Places::REAL };
    let relative = [
        ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2/x"),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN", "pod-token"),
    ];
    assert_eq!(found(&relative, &places).await.unwrap().access_key_id, "ASIAX");
    let elsewhere = [("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://192.0.2.1/x?y=hunter2")];
    let problem = found(&elsewhere, &places).await.unwrap_err();
    assert!(problem.contains("neither https") && !problem.contains("hunter2"), "{problem}");
}

#[tokio::test]
async fn the_machines_metadata_are_asked_in_their_second_version() {
    let machine = played(|request| {
        let request = request.to_ascii_lowercase();
        let with_session = request.contains("x-aws-ec2-metadata-token: a-session");
        match request.split(' ').nth(1).unwrap() {
            "/latest/api/token" if request.starts_with("put") => (200, "a-session".into()),
            "/latest/meta-data/iam/security-credentials/" if with_session => {
                (200, "a-role\n".into())
            }
            "/latest/meta-data/iam/security-credentials/a-role" if with_session => {
                (200, HANDED.into())
            }
            _ => (401, String::new()),
        }
    })
    .await;
    let variables = [("AWS_EC2_METADATA_SERVICE_ENDPOINT", machine.as_str())];
    assert_eq!(
        found(&variables, &Places::REAL).await.unwrap().secret_access_key.expose(),
        "hunter2"
    );
}

#[tokio::test]
async fn without_any_credentials_every_place_is_named() {
    let off = [("AWS_EC2_METADATA_DISABLED", "true")];
    let problem = found(&off, &Places::REAL).await.unwrap_err();
    for name in
        ["AWS_ACCESS_KEY_ID", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_FULL_URI"]
    {
        assert!(problem.contains(name), "{problem}");
    }
    let places = Places { machine: "http://127.0.0.1:1", ..Places::REAL };
    let problem = found(&[], &places).await.unwrap_err();
    assert!(problem.contains("http://127.0.0.1:1/latest/api/token"), "{problem}");
}
