//! Narrow screens, the keyboard alone, and what axe-core finds.

use std::{path::Path, process::Command, sync::OnceLock};

use serde_json::{Value, json};

use crate::{
    browser::{Browser, PATIENCE},
    pages::PAGES,
    stage::{ADMIN, Stage},
    support::wait,
};

const TAB: char = '\u{e004}';
const ENTER: char = '\u{e007}';
const SPACE: char = ' ';

/// Every page, with one delivery of each source and a replay.
pub fn all_pages(browser: &Browser) -> Vec<String> {
    let mut pages: Vec<_> = PAGES.map(str::to_owned).to_vec();
    browser.open("/deliveries?source=leads&outcome=stored");
    let link = browser.run(
        "return document.querySelector('td[data-label=Position] a').getAttribute('href')",
        &[],
    );
    pages.push(link.as_str().expect("a link").to_owned());
    pages.push("/deliveries?outcome=refused".to_owned());
    pages.push("/deliveries?source=none".to_owned());
    pages.push("/deliveries/leads/999999999".to_owned());
    pages.push("/sign-in".to_owned());
    pages
}

#[test]
fn at_320_pixels_and_at_every_width_no_page_scrolls_sideways() {
    let stage = Stage::shared();
    let browser = stage.operator();
    let pages = all_pages(&browser);
    for width in [320, 480, 700, 800, 1000, 1920] {
        browser.be_wide(width, 700);
        for page in &pages {
            browser.open(page);
            let wide = browser.run("return document.documentElement.scrollWidth", &[]);
            assert!(
                wide.as_u64() <= Some(width.into()),
                "{page} at {width}: {wide}; too wide: {}",
                too_wide(&browser)
            );
        }
    }
}

fn too_wide(browser: &Browser) -> Value {
    browser.run(
        "return [...document.querySelectorAll('body *')].filter(it => it.getBoundingClientRect().right > innerWidth + 1)
           .slice(0, 5).map(it => it.tagName + '.' + it.className)",
        &[],
    )
}

#[test]
fn nothing_moves_when_a_page_is_brought_up_to_date() {
    let stage = Stage::shared();
    let browser = stage.browser();
    // Words may change with what they say, and a table may get a row; the figures stay where they are.
    for page in ["/", "/path"] {
        browser.open(page);
        let places = "return [...document.querySelectorAll('h1, .figure, .stage, .plot:not(td *)')].map(it => { const box = it.getBoundingClientRect(); const width = it.tagName === 'H1' ? 0 : box.width; return [box.left, box.top, width, box.height].map(Math.round).join() })";
        wait::until("a stream", PATIENCE, || browser.text("#live") == "live");
        let before = browser.run(places, &[]);
        let moved = browser.run_async(
            "const done = arguments[0]; let left = 2; document.addEventListener('brought', () => { if (--left === 0) done(true) })",
            &[],
        );
        assert_eq!(moved, json!(true));
        assert_eq!(browser.run(places, &[]), before, "{page}");
    }
}

#[test]
fn with_the_keyboard_alone_an_operator_signs_in_chooses_letters_and_tries_them() {
    let stage = Stage::shared();
    let browser = stage.browser();
    let focus = || {
        browser.run("const it = document.activeElement; return [it.tagName, it.name || '', it.textContent.trim().slice(0, 40), it.matches(':focus-visible')].join('|')", &[]).as_str().unwrap_or_default().to_owned()
    };
    let tab_to = |what: &str| {
        for _ in 0..80 {
            browser.press(TAB);
            if focus().contains(what) {
                assert!(focus().ends_with("|true"), "the focus is seen: {}", focus());
                return;
            }
        }
        panic!("no way to {what:?}; the focus is at {}", focus());
    };
    browser.open("/");
    // The first stop leads past the way between pages.
    browser.press(TAB);
    assert!(focus().contains("Skip to content"), "{}", focus());
    browser.press(ENTER);
    tab_to("Sign in");
    browser.press(ENTER);
    wait::until("the sign-in", PATIENCE, || browser.path() == "/sign-in");
    assert!(focus().starts_with("INPUT|token"), "{}", focus());
    for key in ADMIN.chars().chain([ENTER]) {
        browser.press(key);
    }
    browser.wait_for("Up for");
    tab_to("Dead letters");
    browser.press(ENTER);
    wait::until("the dead letters", PATIENCE, || browser.path() == "/dead-letters");
    browser.wait_for("Send again");
    tab_to("INPUT|chosen");
    browser.press(SPACE);
    browser.wait_for("1 letter is chosen");
    browser.run("document.getElementById('choose-matching').focus()", &[]);
    tab_to("Try");
    browser.press(ENTER);
    browser.wait_for("Dry run");
}

#[test]
fn the_switch_of_colours_holds_and_the_system_is_followed_without_it() {
    let stage = Stage::shared();
    let browser = stage.browser();
    browser.open("/");
    let ground = || browser.run("return getComputedStyle(document.body).backgroundColor", &[]);
    browser.prefer("light");
    let light = ground();
    browser.prefer("dark");
    let dark = ground();
    assert_ne!(light, dark);
    browser.click("[data-theme-choice=light]");
    assert_eq!(ground(), light);
    browser.open("/path");
    assert_eq!(ground(), light, "on the next page, too");
    assert_eq!(browser.count("[data-theme-choice=light][aria-pressed=true]"), 1);
}

#[test]
fn axe_finds_nothing_on_any_page_in_both_themes() {
    let stage = Stage::shared();
    let browser = stage.operator();
    for page in all_pages(&browser) {
        browser.open(&page);
        // A state that lasts: a page under way is the same with other numbers.
        for theme in ["light", "dark"] {
            browser.prefer(theme);
            for width in [1280, 320] {
                browser.be_wide(width, 800);
                assert_eq!(findings(&browser), json!([]), "{page}, {theme}, {width} wide");
            }
        }
    }
}

#[track_caller]
fn findings(browser: &Browser) -> Value {
    if browser.run("return typeof axe === 'undefined'", &[]) == json!(true) {
        browser.run(axe(), &[]);
    }
    browser.run_async(
        "const done = arguments[0];
         axe.run(document, { resultTypes: ['violations'] }).then(
           it => done(it.violations.map(it => [it.id, it.help, it.nodes.slice(0, 3).map(it => [it.html.slice(0, 200), it.failureSummary])])),
           error => done(String(error)))",
        &[],
    )
}

/// The script of axe-core.
fn axe() -> &'static str {
    static AXE: OnceLock<String> = OnceLock::new();
    AXE.get_or_init(|| {
        let setup = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/setup/node-packages");
        let output =
            Command::new(setup).output().expect("tests/setup/node-packages can be started");
        let folder = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let script = Path::new(&folder).join("node_modules/axe-core/axe.min.js");
        std::fs::read_to_string(&script)
            .unwrap_or_else(|error| panic!("{}: {error}", script.display()))
    })
}
