use http::HeaderMap;

use super::*;

fn oidc() -> Oidc {
    Oidc {
        token_url: "https://id.test/token?x=hunter3".parse().unwrap(),
        client_id: "mill".into(),
        client_secret: Secret::new("hunter2").unwrap(),
        scope: None,
        audience: None,
        extensions: Vec::new(),
        authorities: None,
    }
}

fn answer(status: u16, body: &str) -> Answer {
    let status = StatusCode::from_u16(status).unwrap();
    Answer { status, headers: HeaderMap::new(), body: body.to_owned().into() }
}

#[test]
fn a_refusal_says_what_the_provider_said_and_what_to_do_and_no_secret() {
    let said = |status, error: &str| {
        let body = format!(r#"{{"error":"{error}","error_description":"no: hunter2\n1"}}"#);
        refusal(&oidc(), &answer(status, &body))
    };
    for (status, error, remedy) in [
        (401, "invalid_client", "client.secret"),
        (400, "invalid_scope", "oauthbearer.scope"),
        (400, "invalid_target", "oauthbearer.audience"),
        (403, "access_denied", "oauthbearer.audience"),
        (400, "unauthorized_client", "client_credentials"),
        (429, "slow_down", "how often"),
    ] {
        let text = said(status, error);
        assert!(text.starts_with("https://id.test/token gives no token: "), "{text}");
        assert!(text.contains(&format!("{error}, no: *** 1; ")), "{text}");
        assert!(text.contains(remedy) && !text.contains("hunter"), "{text}");
    }
    let text = refusal(&oidc(), &answer(404, "<html>"));
    assert!(text.contains("404") && text.contains("token.endpoint.url"), "{text}");
    let text = refusal(&oidc(), &answer(503, ""));
    assert!(text.contains("the provider's trouble"), "{text}");
}

#[test]
fn the_end_of_a_token_is_what_the_provider_says_or_the_token_itself() {
    let asked = UNIX_EPOCH + Duration::from_secs(1000);
    let ends = |body: &str| {
        let token = granted(&oidc(), &answer(200, body), asked)?;
        Ok::<_, String>(token.ends.duration_since(UNIX_EPOCH).unwrap().as_secs())
    };
    assert_eq!(ends(r#"{"access_token":"t","expires_in":60}"#), Ok(1060));
    assert_eq!(ends(r#"{"access_token":"t","expires_in":"60"}"#), Ok(1060));
    let claims = URL_SAFE_NO_PAD.encode(r#"{"exp":5000}"#);
    assert_eq!(ends(&format!(r#"{{"access_token":"h.{claims}.s"}}"#)), Ok(5000));
    assert_eq!(
        ends(r#"{"access_token":"t","expires_in":99999999999}"#),
        Ok(1000 + MAX_LIFETIME.as_secs())
    );
    for strange in ["", "{}", r#"{"access_token":""}"#, r#"{"access_token":"hunter2"}"#] {
        let problem = ends(strange).unwrap_err();
        assert!(!problem.contains("hunter2"), "{problem}");
    }
}
