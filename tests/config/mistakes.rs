//! All mistakes at once, each with its key in both spellings and with what to do.

use millrace::config;

use crate::given::{Folder, bad, load, loaded, mistake, with_file};

#[test]
fn all_mistakes_are_listed_at_once() {
    let mistakes = load(&[
        ("MILLRACE_LISTEN__ADDRESS", "localhost"),
        ("MILLRACE_LISTEN__COLOUR", "red"),
        ("MILLRACE_SPOOL__SIZE_LIMIT", "10 cats"),
        ("MILLRACE_KAFKA__BOOTSTRAP_SERVERS", "a:b:c"),
        ("MILLRACE_KAFKA__PROPERTIES__ACKS", "1"),
        ("MILLRACE_TOPICS__NAME", "marketo.{colour}"),
        ("MILLRACE_TOPICS__DEAD_LETTER", "dead letter"),
        ("MILLRACE_SOURCES__LEADS__KIND", "facebook"),
        ("MILLRACE_SOURCES__LEADS__AUTH__HEADER_SCHEME", "Digest"),
        ("MILLRACE_SOURCES__LEADS__AUTH__TOKENS", "a,,b"),
        ("MILLRACE_SHUTDOWN__DELAY", "5"),
        ("MILLRACE_LOG__FORMAT", "xml"),
        ("MILLRACE_CATALOG__ACTIVITY_TYPES__SEVEN", "x"),
    ])
    .unwrap_err();
    let text = mistakes.to_string();
    assert_eq!(mistakes.len(), 13, "{text}");
    assert!(text.starts_with("13 mistakes in the configuration:\n"), "{text}");
    for key in [
        "listen.address (MILLRACE_LISTEN__ADDRESS)",
        "listen.colour (MILLRACE_LISTEN__COLOUR)",
        "spool.size_limit (MILLRACE_SPOOL__SIZE_LIMIT)",
        "kafka.bootstrap_servers (MILLRACE_KAFKA__BOOTSTRAP_SERVERS)",
        "kafka.properties.acks (MILLRACE_KAFKA__PROPERTIES__ACKS)",
        "topics.name (MILLRACE_TOPICS__NAME)",
        "topics.dead_letter (MILLRACE_TOPICS__DEAD_LETTER)",
        "sources.leads.kind (MILLRACE_SOURCES__LEADS__KIND)",
        "sources.leads.auth.header_scheme (MILLRACE_SOURCES__LEADS__AUTH__HEADER_SCHEME)",
        "sources.leads.auth.tokens (MILLRACE_SOURCES__LEADS__AUTH__TOKENS)",
        "shutdown.delay (MILLRACE_SHUTDOWN__DELAY)",
        "log.format (MILLRACE_LOG__FORMAT)",
        "catalog.activity_types.seven (MILLRACE_CATALOG__ACTIVITY_TYPES__SEVEN)",
    ] {
        assert_eq!(text.matches(key).count(), 1, "{key} in\n{text}");
    }
}

#[test]
fn what_is_missing_is_listed_at_once() {
    let none: [(&str, &str); 0] = [];
    let text = config::load(None, none).unwrap_err().to_string();
    assert!(text.contains("kafka.bootstrap_servers"), "{text}");
    assert!(text.contains("MILLRACE_SOURCES__LEADS__KIND=marketo-lead-activity"), "{text}");

    let text = bad(&[("MILLRACE_SOURCES__AUDIT__AUTH__QUERY_PARAMETER", "t")]);
    assert!(
        text.contains("sources.audit.kind (MILLRACE_SOURCES__AUDIT__KIND) is missing"),
        "{text}"
    );
    assert!(text.contains("sources.audit.auth.tokens"), "{text}");
    assert!(text.starts_with("2 mistakes"), "{text}");
}

#[test]
fn an_unknown_key_is_a_mistake_with_a_guess() {
    for (name, guess) in [
        ("MILLRACE_SPOOL__DIRECTROY", "MILLRACE_SPOOL__DIRECTORY"),
        ("MILLRACE_SPOOL_DIRECTORY", "MILLRACE_SPOOL__DIRECTORY"),
        ("MILLRACE_SPOOL__KEEP_DELIVERED_AGE", "MILLRACE_SPOOL__KEEP_DELIVERED__AGE"),
        ("MILLRACE_LISTEN__ADRESS", "MILLRACE_LISTEN__ADDRESS"),
        ("MILLRACE_KAFKA__BOOTSTRAP_SERVER", "MILLRACE_KAFKA__BOOTSTRAP_SERVERS"),
        ("MILLRACE_SOURCES__LEADS__TOKENS", "MILLRACE_SOURCES__LEADS__AUTH__TOKENS"),
        ("MILLRACE_SOURCES__LEADS__AUTH__TOKEN", "MILLRACE_SOURCES__LEADS__AUTH__TOKENS"),
    ] {
        let text = mistake(&[(name, "hunter3")]);
        assert!(text.contains(&format!("({name}) is no key of this program")), "{text}");
        assert!(text.contains("Did you mean") && text.contains(&format!("({guess})?")), "{text}");
        assert!(!text.contains("hunter3"), "{text}");
    }
}

#[test]
fn unknown_keys_of_the_file_are_found_at_every_level() {
    let file = "colour = 1\n[spool]\ncolour = 2\n[spool.keep_delivered]\ncolour = 3\n\
                [sources.leads.auth]\ncolour = 4\n[paint]\ncolour = 5\n";
    let mistakes = with_file(file, &[]).unwrap_err();
    assert_eq!(mistakes.len(), 5, "{mistakes}");
    let text = mistakes.to_string();
    for key in
        ["colour (", "spool.colour (", "spool.keep_delivered.colour (", "auth.colour (", "paint ("]
    {
        assert!(text.contains(key), "{key} in {text}");
    }
}

#[test]
fn a_mistake_of_a_file_names_the_file_and_the_line() {
    let folder = Folder::with(&[
        (
            "config.toml",
            "[spool]\nsize_limit = \"10 cats\"\n\n[shutdown]\ndelay = 5\nflush = 6\n\
             [kafka.properties]\nsecurity_protocol = \"\"\n[listen]\n\n colour = 1\n",
        ),
        ("tokens", "a\u{1}b\n"),
    ]);
    let tokens = folder.text("tokens");
    let more = [
        ("MILLRACE_SHUTDOWN__FLUSH", "7"),
        ("MILLRACE_SOURCES__OTHER__KIND", "marketo-lead-activity"),
        ("MILLRACE_SOURCES__OTHER__AUTH__TOKENS_FILE", &tokens),
    ];
    let text = loaded(Some(&folder), &more).unwrap_err().to_string();
    let file = folder.text("config.toml");
    for line in [
        format!("(MILLRACE_SPOOL__SIZE_LIMIT) in {file}, line 2, is `10 cats`"),
        format!("(MILLRACE_SHUTDOWN__DELAY) in {file}, line 5, is"),
        "(MILLRACE_SHUTDOWN__FLUSH) is `7`".to_owned(),
        format!("(MILLRACE_KAFKA__PROPERTIES__SECURITY_PROTOCOL) in {file}, line 8, is empty"),
        format!("(MILLRACE_LISTEN__COLOUR) in {file}, line 11, is no key"),
        format!("(MILLRACE_SOURCES__OTHER__AUTH__TOKENS) in {tokens}, holds a token with"),
    ] {
        assert!(text.contains(&line), "{line} in\n{text}");
    }
}

#[test]
fn a_mistake_says_what_to_do() {
    for (name, value, remedy) in [
        ("MILLRACE_SPOOL__SIZE_LIMIT", "10 cats", "`10GiB`"),
        ("MILLRACE_SHUTDOWN__DELAY", "5", "`10s`"),
        ("MILLRACE_LISTEN__ADDRESS", "localhost:8080", "no host names"),
        ("MILLRACE_TOPICS__CREATE", "yes", "`true` or `false`"),
        ("MILLRACE_TOPICS__PARTITIONS", "0", "-1 for the cluster's own default"),
        ("MILLRACE_TOPICS__REPLICATION_FACTOR", "40000", "-1 for the cluster's own default"),
        ("MILLRACE_TOPICS__LIMIT", "0", "at least 1"),
        ("MILLRACE_LOG__OUTAGE_INTERVAL", "1ms", "and must be at least 1s"),
        (
            "MILLRACE_KAFKA__BOOTSTRAP_SERVERS",
            "http://127.0.0.1:29792",
            "`, which has a scheme, and must be",
        ),
        ("MILLRACE_TOPICS__MODE", "batch", "`binary` or `structured`"),
        ("MILLRACE_TOPICS__NAME", "{type", "{activity_type_id}"),
        ("MILLRACE_SOURCES__LEADS__KIND", "x", "`marketo-lead-activity`"),
        ("MILLRACE_SOURCES__LEADS__AUTH__HEADER_SCHEME", "x", "`Bearer` or `Basic` or `bare`"),
        ("MILLRACE_LOG__FORMAT", "xml", "`auto` or `json` or `text`"),
        ("MILLRACE_LOG__FILTER", "millrace=loud", "`debug`"),
        ("MILLRACE_KAFKA__BOOTSTRAP_SERVERS", "a:9092,", "`kafka-1:9092,kafka-2:9092`"),
        ("MILLRACE_CATALOG__ACTIVITY_TYPES__13", "??", "letters or digits"),
        ("MILLRACE_CATALOG__ACTIVITY_TYPES__013", "x", "`13`"),
        ("MILLRACE_CATALOG__ACTIVITY_TYPES__0", "x", "ids from 1 to 99999"),
        ("MILLRACE_CATALOG__ACTIVITY_TYPES__100001", "x", "always called custom-<id>"),
        ("MILLRACE_CATALOG__ALIASES__100001", "x", "always called custom-<id>"),
        ("MILLRACE_CATALOG__ALIASES__13", "x,,y", "Take it away"),
        ("MILLRACE_TOPICS__NAME", TOO_LONG, "placeholders"),
    ] {
        let text = mistake(&[(name, value)]);
        assert!(text.contains(name) && text.contains(remedy), "{text}");
    }
}

/// Of letters that Kafka takes, but for a topic there must be room for the placeholder.
const TOO_LONG: &str = concat!(
    "mmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmm",
    "mmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmm",
    "mmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmm",
    "{type}"
);

#[test]
fn what_the_catalogue_refuses_is_a_mistake_at_its_key() {
    let text = bad(&[
        ("MILLRACE_CATALOG__ALIASES__13", "Datenwert"),
        ("MILLRACE_CATALOG__ALIASES__14", "daten wert"),
    ]);
    assert!(
        text.contains("catalog.aliases.14 (MILLRACE_CATALOG__ALIASES__14) contains `daten wert`")
    );
    assert!(text.contains("activity_types.14 (MILLRACE_CATALOG__ACTIVITY_TYPES__14) is missing"));
    assert!(text.starts_with("2 mistakes"), "{text}");
}

#[test]
fn servers_are_hosts_with_or_without_a_port() {
    let servers = "MILLRACE_KAFKA__BOOTSTRAP_SERVERS";
    for good in ["a:9092", "10.0.0.1:9092,b:1", "[::1]:9092", r#"["a:1","b:2"]"#] {
        assert!(load(&[(servers, good)]).is_ok(), "{good}");
    }
    for bad in ["", ",", "a:", "a:x", "a:0", "a:70000", ":9092", "a b:9092", "a:9092;b:9092"] {
        assert!(load(&[(servers, bad)]).is_err(), "{bad}");
    }
}

#[test]
fn names_of_sources_are_lower_case_letters_digits_and_hyphens() {
    for name in ["9LIVES", "_X", "A.B", &"X".repeat(64)] {
        let kind = format!("MILLRACE_SOURCES__{name}__KIND");
        let tokens = format!("MILLRACE_SOURCES__{name}__AUTH__TOKENS");
        let text = bad(&[(&kind, "marketo-lead-activity"), (&tokens, "t")]);
        assert!(text.contains("is no name for a source"), "{name}: {text}");
    }
}

#[test]
fn the_number_of_ids_that_are_known_is_bounded() {
    for (ids, problem) in
        [("0", "nothing is recognised"), ("100000001", "more than 100000000"), ("many", "no whole")]
    {
        let text = mistake(&[("MILLRACE_DEDUPLICATE__IDS", ids)]);
        assert!(text.starts_with("deduplicate.ids (MILLRACE_DEDUPLICATE__IDS)"), "{text}");
        assert!(text.contains(problem), "{text}");
    }
    let text = mistake(&[("MILLRACE_DEDUPLICATE__WINDOW", "26")]);
    assert!(text.starts_with("deduplicate.window"), "{text}");
}

#[test]
fn a_journal_is_whole_spoken_to_in_secret_and_only_of_adobe() {
    let journal = [
        ("MILLRACE_SOURCES__LEADS__KIND", "adobe-io"),
        ("MILLRACE_SOURCES__LEADS__AUTH__CLIENT_IDS", "us"),
        ("MILLRACE_SOURCES__LEADS__JOURNAL__URL", "http://events.adobe.io/x"),
        ("MILLRACE_SOURCES__LEADS__JOURNAL__CLIENT_ID", "id"),
    ];
    let text = bad(&journal);
    for missing in ["organization_id", "client_secret"] {
        assert!(text.contains(&format!("sources.leads.journal.{missing} ")), "{text}");
    }
    assert!(text.contains("which is not encrypted"), "{text}");

    let text = bad(&[("MILLRACE_SOURCES__LEADS__JOURNAL__CLIENT_SECRET", "hunter2")]);
    assert!(text.contains("sources.leads.journal (") && text.contains("adobe-io"), "{text}");
    assert!(!text.contains("hunter2"), "{text}");
}
