//! Finds the files that a PATH argument or a source names: a file, a directory with all below it, or a glob.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use globset::{GlobBuilder, GlobMatcher};
use walkdir::WalkDir;

/// What [`discover`] found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Discovered {
    /// Regular files, sorted by name, each once.
    pub files: Vec<PathBuf>,
    /// What could not be looked at.
    pub problems: Vec<Problem>,
    /// Whether a symbolic link leads to any of it.
    pub has_links: bool,
}

/// Something that a person has to look at.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Problem {
    /// Where.
    pub path: PathBuf,
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub todo: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; {}", self.path.display(), self.what, self.todo)
    }
}

impl Problem {
    pub(crate) fn new(path: impl Into<PathBuf>, what: impl Into<String>, todo: impl Into<String>) -> Self {
        Self { path: path.into(), what: what.into(), todo: todo.into() }
    }

    fn io(path: &Path, error: &io::Error) -> Self {
        let todo = match error.kind() {
            io::ErrorKind::NotFound => "check the spelling",
            io::ErrorKind::PermissionDenied => "make it readable for this user",
            _ => "see what the system says about it",
        };
        Self::new(path, describe(error), todo)
    }
}

/// What an error means, without its number.
pub(crate) fn describe(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "there is no such file or directory".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        _ => error.to_string(),
    }
}

/// The regular files that `pattern` names. A name that exists is itself, whatever characters it has.
pub fn discover(pattern: &str) -> Discovered {
    let mut found = Discovered::default();
    let path = Path::new(pattern);
    found.has_links = path.is_symlink();
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => walk(path, None, &mut found),
        Ok(metadata) if metadata.is_file() => found.files.push(path.to_owned()),
        Ok(_) => found.problems.push(Problem::new(path, "is not a regular file", "name a log file or a directory")),
        Err(error) if error.kind() == io::ErrorKind::NotFound && is_glob(pattern) => glob(pattern, &mut found),
        Err(error) => found.problems.push(Problem::io(path, &error)),
    }
    // (as bytes: comparing paths by their parts takes most of a look at very many files)
    found.files.sort_unstable_by(|one, other| one.as_os_str().cmp(other.as_os_str()));
    found.files.dedup();
    found
}

fn is_glob(pattern: &str) -> bool {
    pattern.contains(['*', '?', '[', '{'])
}

fn glob(pattern: &str, found: &mut Discovered) {
    let matcher = match GlobBuilder::new(pattern).literal_separator(true).build() {
        Ok(glob) => glob.compile_matcher(),
        Err(error) => {
            found.problems.push(Problem::new(pattern, error.kind().to_string(), "correct the pattern"));
            return;
        }
    };
    walk(&glob_base(pattern), Some(&matcher), found);
    if found.files.is_empty() && found.problems.is_empty() {
        found.problems.push(Problem::new(
            pattern,
            "matches no file",
            "check the pattern; `**` reaches into directories",
        ));
    }
}

/// The directory below which all matches lie.
pub(crate) fn glob_base(pattern: &str) -> PathBuf {
    let literal: PathBuf = Path::new(pattern)
        .components()
        .take_while(|component| !is_glob(&component.as_os_str().to_string_lossy()))
        .collect();
    if literal.as_os_str().is_empty() { PathBuf::from(".") } else { literal }
}

fn walk(directory: &Path, matcher: Option<&GlobMatcher>, found: &mut Discovered) {
    // `WalkDir` puts `./` before what it finds in `.`; the pattern and the reader have none.
    let plain = |path: &Path| path.strip_prefix(".").unwrap_or(path).to_owned();
    for entry in WalkDir::new(directory).follow_links(true) {
        found.has_links |= entry.as_ref().is_ok_and(walkdir::DirEntry::path_is_symlink);
        match entry {
            Ok(entry) if entry.file_type().is_file() => {
                let path = if matcher.is_some() { plain(entry.path()) } else { entry.into_path() };
                if matcher.is_none_or(|matcher| matcher.is_match(&path)) {
                    found.files.push(path);
                }
            }
            Ok(_) => {} // directories; sockets and pipes hold no log
            Err(error) => {
                let path = error.path().unwrap_or(directory).to_owned();
                found.problems.push(match error.io_error() {
                    Some(error) => Problem::io(&path, error),
                    None => Problem::new(path, "a symbolic link leads back to its own directory", "remove the link"),
                });
            }
        }
    }
}
