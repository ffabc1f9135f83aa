//! Tokens for Kafka: what a provider and AWS need, each mistake at its key and in its line.

use millrace::config::{self, Login, Questions};

use crate::given::{environment, good};

const FILE: &str = "\
[kafka.properties]
security_protocol = 'SASL_SSL'
sasl_mechanism = 'OAUTHBEARER'
sasl_oauthbearer_method = 'oidc'
sasl_oauthbearer_token_endpoint_url = 'https://id.test/token'
sasl_oauthbearer_client_id = 'mill'
sasl_oauthbearer_client_secret = 'hunter2'
sasl_oauthbearer_scope = 'kafka'
sasl_oauthbearer_audience = 'brokers'
sasl_oauthbearer_extensions = 'logicalCluster=lkc-1,identityPoolId=pool-1'
";

const AWS: &str = "\
[kafka]
bootstrap_servers = 'b-1.x.y.c2.kafka.eu-west-1.amazonaws.com:9098'
[kafka.properties]
security_protocol = 'SASL_SSL'
sasl_mechanism = 'AWS_MSK_IAM'
";

/// What is wrong with this file, by this program and by the library.
fn problems(text: &str) -> Result<config::Config, String> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("millrace.toml");
    std::fs::write(&file, text).unwrap();
    let validate = |kafka: &config::Kafka| millrace::kafka::validate_properties(&kafka.properties);
    let questions = Questions { kafka: &validate, volume: None };
    // The servers of the environment would go over those of the file.
    let variables = environment(&[]).into_iter();
    let variables: Vec<_> = variables
        .filter(|(name, _)| {
            !text.contains("bootstrap_servers") || !name.to_string_lossy().contains("BOOTSTRAP")
        })
        .collect();
    let loaded = config::load_with(Some(&file), variables, &questions);
    loaded.map(|loaded| loaded.config).map_err(|mistakes| mistakes.to_string())
}

#[test]
fn client_credentials_are_read_under_librdkafkas_own_names_and_the_library_does_not_mind() {
    let config = problems(FILE).unwrap();
    let Some(Login::Oidc(oidc)) = config.kafka.login() else { panic!("no login") };
    assert_eq!(oidc.token_url.as_str(), "https://id.test/token");
    assert_eq!((oidc.client_id.as_str(), oidc.client_secret.expose()), ("mill", "hunter2"));
    assert_eq!((oidc.scope.as_deref(), oidc.audience.as_deref()), (Some("kafka"), Some("brokers")));
    assert_eq!(oidc.extensions[1], ("identityPoolId".to_owned(), "pool-1".to_owned()));
    assert!(!format!("{config:?} {:?}", config.kafka.login()).contains("hunter2"));
    let aliased = FILE
        .replace("bearer_client_id", "bearer_client_credentials_client_id")
        .replace("bearer_client_secret", "bearer_client_credentials_client_secret");
    assert_eq!(problems(&aliased).unwrap().kafka.login(), config.kafka.login());
}

#[test]
fn each_mistake_of_client_credentials_is_named_with_its_key_and_line() {
    let without = |name: &str| {
        let lines = FILE.lines().filter(|line| !line.contains(name));
        lines.collect::<Vec<_>>().join("\n")
    };
    let instead = |from: &str, to: &str| FILE.replace(from, to);
    let own = |what: &str| format!("{FILE}{what}\n");
    for (text, key, line, said) in [
        (without("client_secret"), "client.secret", 0, "is missing; OAUTHBEARER requires it"),
        (without("client_id"), "client.id", 0, "is missing"),
        (without("endpoint_url"), "token.endpoint.url", 0, "is missing"),
        (instead("https://id.test", "http://id.test"), "token.endpoint.url", 5, "is not https"),
        (
            instead("https://id", "https://a:hunter3@id"),
            "token.endpoint.url",
            5,
            "a user or a password",
        ),
        (instead("https://id.test/token", "id.test"), "token.endpoint.url", 5, "is no URL"),
        (instead("'oidc'", "'magic'"), "method", 4, "is `magic`"),
        (instead("logicalCluster=", "logical-cluster="), "extensions", 10, "not of letters alone"),
        (instead("logicalCluster=", "auth="), "extensions", 10, "the token's own"),
        (
            own("sasl_oauthbearer_grant_type = 'jwt-bearer'"),
            "grant.type",
            11,
            "no other grant of OpenID than client credentials",
        ),
        (
            own("https_ca_location = '/nowhere/ca.pem'"),
            "https.ca.location",
            11,
            "names `/nowhere/ca.pem`, which cannot be read",
        ),
        (
            own("aws_region = 'eu-west-1'"),
            "aws.region",
            11,
            "sasl.mechanism is OAUTHBEARER: it is not used",
        ),
        (instead("'SASL_SSL'", "'SSL'"), "token.endpoint.url", 5, "no token is used"),
        (instead("'OAUTHBEARER'", "'SCRAM-SHA-512'"), "audience", 9, "it is not used"),
    ] {
        let problem = problems(&text).unwrap_err();
        assert!(problem.contains(key) && problem.contains(said), "{problem}");
        assert!(line == 0 || problem.contains(&format!("line {line}")), "{line}: {problem}");
        assert!(!problem.contains("hunter"), "{problem}");
    }
}

#[test]
fn awss_tokens_need_a_region_and_tls_and_their_mistakes_have_lines_too() {
    let config = problems(AWS).unwrap();
    let Some(Login::Msk(msk)) = config.kafka.login() else { panic!("no login") };
    assert_eq!(msk.region, "eu-west-1");
    let config = problems(&format!("{AWS}aws_region = 'us-east-1'\n")).unwrap();
    let Some(Login::Msk(msk)) = config.kafka.login() else { panic!("no login") };
    assert_eq!(msk.region, "us-east-1");
    let private = AWS.replace(".amazonaws.com", ".private.test");
    for (text, key, line, said) in [
        (private, "aws.region", 0, "is missing; AWS_MSK_IAM requires it"),
        (format!("{AWS}aws_region = 'Ireland'\n"), "aws.region", 6, "is no region of AWS"),
        (AWS.replace("SASL_SSL", "SASL_PLAINTEXT"), "security.protocol", 4, "over TLS alone"),
        (AWS.replace("'SASL_SSL'", "'SSL'"), "sasl.mechanism", 5, "no token is used"),
        (
            format!("{AWS}sasl_oauthbearer_scope = 'x'\n"),
            "scope",
            6,
            "sasl.mechanism is AWS_MSK_IAM: it is not used",
        ),
    ] {
        let problem = problems(&text).unwrap_err();
        assert!(problem.contains(key) && problem.contains(said), "{problem}");
        assert!(line == 0 || problem.contains(&format!("line {line}")), "{line}: {problem}");
    }
}

#[test]
fn every_form_of_configuration_in_the_documents_is_accepted_by_the_library_too() {
    let folder = tempfile::tempdir().unwrap();
    let (secret, ca) = (folder.path().join("secret"), folder.path().join("ca.pem"));
    std::fs::write(&secret, "hunter2").unwrap();
    let pair = rcgen::generate_simple_self_signed(["id.test".to_owned()]).unwrap();
    std::fs::write(&ca, pair.cert.pem()).unwrap();
    let text = include_str!("../../deploy/KAFKA.md");
    let blocks: Vec<_> =
        text.split("```toml\n").skip(1).map(|it| it.split("```").next().unwrap()).collect();
    assert!(blocks.len() >= 8, "{}", blocks.len());
    for block in blocks {
        let block = block
            .replace("/run/secrets/kafka", &secret.to_string_lossy())
            .replace("/run/secrets/ca.pem", &ca.to_string_lossy());
        let config = problems(&block).unwrap_or_else(|problem| panic!("{block}: {problem}"));
        let tokens = block.contains("OAUTHBEARER") || block.contains("AWS_MSK_IAM");
        assert_eq!(config.kafka.login().is_some(), tokens, "{block}");
    }
}

#[test]
fn no_login_by_token_is_none() {
    assert_eq!(good(&[]).kafka.login(), None);
    let unsecured = [
        ("MILLRACE_KAFKA__PROPERTIES__SECURITY_PROTOCOL", "SASL_PLAINTEXT"),
        ("MILLRACE_KAFKA__PROPERTIES__SASL_MECHANISM", "OAUTHBEARER"),
        ("MILLRACE_KAFKA__PROPERTIES__ENABLE_SASL_OAUTHBEARER_UNSECURE_JWT", "true"),
    ];
    assert_eq!(good(&unsecured).kafka.login(), None);
}
