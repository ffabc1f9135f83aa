//! The Dockerfile, instruction by instruction, so that what is checked is what it says.

use std::{
    fs,
    os::unix::fs::chown,
    path::{Path, PathBuf},
};

use crate::tools::read;

/// `("RUN", "apt-get update && …")`: continued lines are joined, comments are gone.
pub type Instruction = (String, String);

/// One `FROM …` and what follows it.
pub struct Stage {
    pub from: String,
    pub instructions: Vec<Instruction>,
}

/// The stages of deploy/Dockerfile.
#[track_caller]
pub fn stages() -> Vec<Stage> {
    let text = read("deploy/Dockerfile");
    let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    let joined = lines.collect::<Vec<_>>().join("\n").replace("\\\n", " ");
    let mut stages = Vec::<Stage>::new();
    for line in joined.lines().filter(|line| !line.trim().is_empty()) {
        let (keyword, rest) = line.split_once(' ').expect("an instruction has arguments");
        let rest = rest.split_whitespace().collect::<Vec<_>>().join(" ");
        match (keyword, stages.last_mut()) {
            ("FROM", _) => stages.push(Stage { from: rest, instructions: Vec::new() }),
            (_, Some(stage)) => stage.instructions.push((keyword.to_owned(), rest)),
            ("ARG", None) => {}
            (other, None) => panic!("{other} before the first FROM"),
        }
    }
    stages
}

impl Stage {
    /// The arguments of each instruction of a kind.
    pub fn of_kind(&self, keyword: &str) -> impl Iterator<Item = &str> {
        let found = self.instructions.iter().filter(move |(found, _)| found == keyword);
        found.map(|(_, rest)| rest.as_str())
    }

    /// The arguments of the only instruction of a kind.
    #[track_caller]
    pub fn the(&self, keyword: &str) -> &str {
        let found: Vec<_> = self.of_kind(keyword).collect();
        assert_eq!(found.len(), 1, "{keyword}: {found:?}");
        found[0]
    }

    /// Puts what this stage copies out of the first one below `root`. `built` stands for that one's /out.
    #[track_caller]
    pub fn copy(&self, built: &Path, root: &Path) {
        for copy in self.of_kind("COPY") {
            let words: Vec<_> = copy.split(' ').collect();
            let [options @ .., from, to] = &words[..] else { panic!("COPY {copy}") };
            let mut owner = (0, 0);
            for option in options {
                match option.split_once('=') {
                    Some(("--from", "build")) => {}
                    Some(("--chown", given)) => owner = numbers(given),
                    _ => panic!("COPY {copy}: what is {option}?"),
                }
            }
            let from = built.join(from.strip_prefix("/out/").expect("the build leaves it in /out"));
            let to = below(root, to, &from);
            fs::create_dir_all(to.parent().expect("not the root")).expect("a folder can be made");
            if from.is_dir() {
                assert_eq!(fs::read_dir(&from).expect("a folder").count(), 0, "{}", from.display());
                fs::create_dir(&to).expect("a folder can be made");
            } else {
                fs::copy(&from, &to).unwrap_or_else(|error| panic!("COPY {copy}: {error}"));
            }
            chown(&to, Some(owner.0), Some(owner.1)).expect("root can give files away");
        }
    }
}

/// A destination that ends with a slash is a folder that keeps the name.
fn below(root: &Path, to: &str, from: &Path) -> PathBuf {
    let place = root.join(to.trim_start_matches('/'));
    if to.ends_with('/') { place.join(from.file_name().expect("it has a name")) } else { place }
}

/// `65532:65532`
#[track_caller]
pub fn numbers(user: &str) -> (u32, u32) {
    let (user, group) = user.split_once(':').expect("user and group");
    (user.parse().expect("a number"), group.parse().expect("a number"))
}
