//! Asks the linker for packed relocations, where the C library can read them: the program is a megabyte smaller. And
//! tells the program of what it is built, for `--version --verbose`.

use std::{env, fs, process::Command};

/// The first version of glibc that reads them.
const SINCE: (u32, u32) = (2, 36);

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let of = |name: &str| env::var(name).unwrap_or_default();
    let is_native = of("HOST") == of("TARGET");
    if is_native && of("CARGO_CFG_TARGET_ENV") == "gnu" && glibc().is_some_and(|it| it >= SINCE) {
        println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
    // None begins with `MILLRACE_`: a program that cargo runs has them too, and those are configuration.
    println!("cargo::rustc-env=BUILD_COMMIT={}", commit(&of("PROFILE")));
    println!("cargo::rustc-env=BUILD_OPENSSL={}", openssl(&of("DEP_OPENSSL_VERSION_NUMBER")));
    println!("cargo::rustc-env=BUILD_TARGET={}", of("TARGET"));
    println!("cargo::rustc-env=BUILD_PROFILE={}", of("PROFILE"));
}

/// The commit: as `BUILD_COMMIT` says (a build without the repository), as `cargo package` wrote it down, or as git
/// says. A development build would be compiled again with each commit, and is not told.
fn commit(profile: &str) -> String {
    println!("cargo::rerun-if-env-changed=BUILD_COMMIT");
    let is_commit = |text: &str| text.len() >= 7 && text.bytes().all(|b| b.is_ascii_hexdigit());
    if let Some(given) = env::var("BUILD_COMMIT").ok().filter(|text| is_commit(text.trim())) {
        return given.trim().to_owned();
    }
    if let Ok(packed) = fs::read_to_string(".cargo_vcs_info.json") {
        let found = packed.split('"').find(|word| word.len() == 40 && is_commit(word));
        return found.unwrap_or("unknown").to_owned();
    }
    if profile != "release" {
        return "unknown (a development build)".to_owned();
    }
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    // Each commit and each checkout adds a line to it.
    if let Some(path) = git(&["rev-parse", "--git-path", "logs/HEAD"]) {
        println!("cargo::rerun-if-changed={path}");
    }
    let Some(commit) = git(&["rev-parse", "HEAD"]) else {
        return "unknown (built without its repository)".to_owned();
    };
    let is_changed = git(&["status", "--porcelain", "--untracked-files=no"]);
    match is_changed.is_some_and(|changes| !changes.is_empty()) {
        true => format!("{commit}, with changes"),
        false => commit,
    }
}

/// `30600030` is 3.6.3.
fn openssl(number: &str) -> String {
    let Ok(number) = u64::from_str_radix(number, 16) else { return String::new() };
    format!("{}.{}.{}", number >> 28, number >> 20 & 0xff, number >> 4 & 0xff)
}

/// Of this machine: what is built here runs with this version or a later one.
fn glibc() -> Option<(u32, u32)> {
    let output = Command::new("getconf").arg("GNU_LIBC_VERSION").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?; // `glibc 2.36`
    let (major, minor) = text.trim().strip_prefix("glibc ")?.split_once('.')?;
    Some((major.parse().ok()?, minor.split('.').next()?.parse().ok()?))
}
