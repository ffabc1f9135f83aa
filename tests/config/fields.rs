//! Rules on fields: what is read, what is refused, and that no key is shown.

use millrace::{
    config::{Config, Questions},
    deliver::decode::fields::{Action, Target},
    source::SourceName,
};

use crate::given::Folder;

const SOURCE: &str = "[kafka]\nbootstrap_servers = \"b:9092\"\n[sources.leads]\n\
                      kind = \"marketo-lead-activity\"\nauth.tokens = [\"hunter2\"]\n";
const KEY: &str = "0123456789abcdef0123456789abcdef";

/// The configuration of a file, and how it is shown; or its mistakes.
fn of(rules: &str, key: &str) -> Result<(Config, String), String> {
    let folder = Folder::with(&[("config.toml", ""), ("key", key)]);
    let file = format!("{SOURCE}{rules}").replace("KEY", &folder.text("key"));
    std::fs::write(folder.path("config.toml"), file).unwrap();
    let none: [(&str, &str); 0] = [];
    let loaded =
        millrace::config::load_with(Some(&folder.path("config.toml")), none, &Questions::NONE);
    loaded
        .map(|loaded| (loaded.config.clone(), format!("{loaded} {:?}", loaded.config)))
        .map_err(|it| it.to_string())
}

#[test]
fn rules_are_read_and_their_keys_are_not_shown() {
    let (config, shown) = of(
        "[fields.ip]\nattribute = \"Client IP Address\"\naction = \"hmac\"\nkey_file = \"KEY\"\n\
         encoding = \"base64url\"\nsources = [\"leads\"]\ntypes = [\"custom-*\"]\n\
         [fields.page]\npath = \"attributes.Webpage URL\"\naction = \"drop\"\n",
        KEY,
    )
    .unwrap_or_else(|mistakes| panic!("{mistakes}"));
    let rules: Vec<_> = config.fields.rules.iter().collect();
    let [ip, page] = &rules[..] else { panic!("{rules:?}") };
    assert_eq!(ip.target, Target::attribute("client ip address").unwrap());
    assert!(matches!(ip.action, Action::Hmac(..)));
    assert!(ip.is_for_source(&SourceName::new("leads").unwrap()));
    assert_eq!(page.action, Action::Drop);
    assert!(shown.contains("/key") && !shown.contains("0123456789abcdef"), "{shown}");
}

#[test]
fn every_mistake_is_named_at_once_with_its_key_and_what_to_do() {
    let text = of(
        "[fields.a]\naction = \"hmac\"\n\
         [fields.b]\npath = \"leadId\"\nattribute = \"x\"\naction = \"mask\"\nkey_file = \"KEY\"\n\
         [fields.c]\nattribute = \"--\"\naction = \"hide\"\ntypes = [\"Click Link\"]\n\
         [fields.d]\npath = \"x\"\nattribute = \"x\"\naction = \"drop\"\nencoding = \"hex\"\n\
         [fields.e]\npath = \"x\"\naction = \"drop\"\nsources = [\"nowhere\"]\ncolour = 1\n\
         [fields.f]\npath = \"x\"\n",
        KEY,
    )
    .unwrap_err();
    for part in [
        "fields.a.path (MILLRACE_FIELDS__A__PATH)",
        "fields.a.key_file (",
        "openssl rand -hex 32",
        "which the event's key is made of",
        "fields.c.attribute (",
        "fields.c.action (",
        "fields.c.types (",
        "fields.d.attribute (",
        "fields.d.encoding (",
        "fields.e.colour (",
        "fields.f.action (",
    ] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
    let unknown = of("[fields.e]\npath = \"x\"\naction = \"drop\"\nsources = [\"nowhere\"]\n", KEY);
    let unknown = unknown.unwrap_err();
    assert!(unknown.contains("holds `nowhere`, and there is no such source"), "{unknown}");
}

#[test]
fn a_key_that_is_none_is_refused_and_not_quoted() {
    let rule = "[fields.a]\npath = \"x\"\naction = \"hmac\"\nkey_file = \"KEY\"\n";
    for (key, what) in [
        ("", "is empty"),
        ("tooshort", "holds a key of less than 32 bytes"),
        ("***", "***"),
        ("# a remark\n0123456789abcdef0123456789abcdef", "no comments"),
    ] {
        let text = of(rule, key).unwrap_err();
        assert!(text.contains("fields.a.key_file (") && text.contains(what), "{text}");
        assert!(!text.contains("tooshort") && !text.contains("0123456789abcdef"), "{text}");
    }
    let text = of(&rule.replace("KEY", "/nowhere/at/all"), KEY).unwrap_err();
    assert!(text.contains("/nowhere/at/all") && text.contains("cannot be read"), "{text}");
    assert!(of(rule, &format!("{KEY}\n")).is_ok());
}
