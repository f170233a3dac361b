//! Where things stand: the repository, its files, the program, and the logs that may lie beside the repository.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The repository's root.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this crate lies in the repository")
}

/// The sample that the README's first command scans.
pub fn sample() -> PathBuf {
    root().join("datasets/samples/shop-api.log")
}

/// The program that was built beside this test.
pub fn program() -> PathBuf {
    let test = std::env::current_exe().expect("the test's own path");
    let program = test.ancestors().nth(2).expect("target/debug/deps").join("tripline");
    assert!(program.is_file(), "{} is not there: run tests/run, or cargo build first", program.display());
    program
}

/// A log of a real site, from the collection that lies beside the repository. `None`, with a message, where it does not;
/// in continuous integration (`CI=true`) it must.
pub fn real_log(name: &str) -> Option<PathBuf> {
    let path = root().join("../shared/corpus/real").join(name);
    if path.is_file() {
        return Some(path);
    }
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{} must be there when CI=true", path.display());
    eprintln!("skipped: {} is not there", path.display());
    None
}

/// The names of the real logs.
pub const REAL_LOGS: [&str; 2] = ["apache-combined-2015-10k.log.gz", "nasa-clf-1995-4k.log.gz"];

/// The repository's files, tracked or about to be, relative to its root. `None`, with a message, outside of git.
pub fn files() -> Option<Vec<PathBuf>> {
    let list = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"];
    match Command::new("git").args(list).current_dir(root()).output() {
        Ok(output) if output.status.success() => {
            let names = String::from_utf8(output.stdout).expect("file names in UTF-8");
            let paths = names.split_terminator('\0').map(PathBuf::from);
            Some(paths.filter(|path| root().join(path).is_file()).collect())
        }
        _ => {
            eprintln!("skipped: this is not a git repository");
            None
        }
    }
}

/// Every `rule.sql` under `rules/`, sorted.
pub fn rules() -> Vec<PathBuf> {
    let mut rules = Vec::new();
    let mut folders = vec![root().join("rules")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("the rules' folder") {
            let path = entry.expect("a folder's entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.ends_with("rule.sql") {
                rules.push(path);
            }
        }
    }
    rules.sort();
    rules
}

/// A config with what is in the tests of the shipped rules: lookups, what routes are worth, and how the logs are read.
pub fn tables() -> String {
    let sources = rules().into_iter().filter_map(|rule| {
        let folder = rule.with_file_name("tests");
        let text = std::fs::read_to_string(folder.join("tripline.toml")).ok()?;
        let path = format!("path = {:?}", folder.display().to_string());
        Some(text.replace("path = \".\"", &path))
    });
    let sources: String = sources.collect();
    let folders = rules().into_iter().map(|rule| rule.with_file_name("tests/lookups"));
    let files = folders.flat_map(|folder| std::fs::read_dir(folder).into_iter().flatten());
    let section = |entry: std::io::Result<std::fs::DirEntry>| {
        let path = entry.expect("a folder's entry").path();
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        if name != "routes" {
            return format!("[[lookup]]\nname = {name:?}\npath = {:?}\n", path.display().to_string());
        }
        let text = std::fs::read_to_string(&path).expect("a table");
        let cells = text.lines().skip(1).map(|line| line.split(',').collect::<Vec<_>>());
        cells.map(|c| format!("[[route]]\npath = {:?}\nsensitivity = {:?}\n", c[0], c[1])).collect::<Vec<_>>().concat()
    };
    sources + &files.map(section).collect::<String>()
}

/// The header of a rule: the TOML in the block comment that begins it.
pub fn header(rule: &Path) -> toml::Table {
    let text = std::fs::read_to_string(rule).expect("a rule");
    let comment = text.trim_start().strip_prefix("/*").and_then(|text| text.split_once("*/"));
    let (header, _) = comment.unwrap_or_else(|| panic!("{} has no header", rule.display()));
    header.parse().unwrap_or_else(|e| panic!("{}: {e}", rule.display()))
}

/// Whether a rule is a baseline: its rows are a table for other rules.
pub fn is_baseline(rule: &Path) -> bool {
    header(rule).get("kind").and_then(toml::Value::as_str) == Some("baseline")
}

/// The id of a shipped rule: its folder under `rules/`.
pub fn id(rule: &Path) -> String {
    let folder = rule.parent().and_then(|folder| folder.strip_prefix(root().join("rules")).ok());
    folder.expect("a rule's folder").to_string_lossy().into_owned()
}

/// The logs in `tests/` beside a rule: those that must fire it, and those that must not.
pub fn fixtures(rule: &Path) -> (Vec<PathBuf>, Vec<PathBuf>) {
    let entries = std::fs::read_dir(rule.with_file_name("tests")).into_iter().flatten();
    let logs = entries.filter_map(|entry| {
        let path = entry.expect("a folder's entry").path();
        let name = path.file_name()?.to_str()?;
        let stem = [".log", ".log.gz", ".log.zst"].iter().find_map(|end| name.strip_suffix(end))?;
        let expected = std::fs::read_to_string(path.with_file_name(format!("{stem}.expected.jsonl")));
        Some((expected.is_ok_and(|text| !text.trim().is_empty()), path))
    });
    let (firing, quiet): (Vec<_>, Vec<_>) = logs.partition(|(fires, _)| *fires);
    let paths = |logs: Vec<(bool, PathBuf)>| logs.into_iter().map(|(_, path)| path).collect();
    (paths(firing), paths(quiet))
}
