//! Pictures of the pages in both themes, for eyes: `tests/console/pictures FOLDER` writes them.

use std::{env, fs, path::PathBuf};

use crate::{reach::all_pages, stage::Stage};

#[test]
fn pictures_are_written_to_a_folder_that_is_asked_for() {
    let stage = Stage::shared();
    let browser = stage.operator();
    let folder = env::var_os("TEST_PICTURES").map(PathBuf::from);
    if let Some(folder) = &folder {
        fs::create_dir_all(folder).expect("a folder can be made");
    }
    browser.wait_for("Refused, and why");
    browser.wait_for("1 of 1 broker");
    for theme in ["light", "dark"] {
        browser.prefer(theme);
        // Without a folder one is enough: that a picture can be taken.
        let pages = if folder.is_some() { all_pages(&browser) } else { vec!["/".to_owned()] };
        for page in pages {
            for (width, height) in [(1280, 900), (320, 1200)] {
                browser.be_wide(width, height);
                browser.open(&page);
                let picture = browser.picture();
                assert!(picture.starts_with(b"\x89PNG"));
                let Some(folder) = &folder else { continue };
                let name: String =
                    page.chars().map(|c| if c.is_alphanumeric() { c } else { '-' }).collect();
                let name = format!(
                    "{}-{theme}-{width}.png",
                    if page == "/" { "-overview" } else { &name }
                );
                fs::write(folder.join(name.trim_start_matches('-')), picture)
                    .expect("a picture can be written");
            }
        }
    }
}
