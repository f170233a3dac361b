//! Tells early that something changed below the sources. A hint only: events get lost, and some file systems send none,
//! so whoever waits must poll from time to time as well.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};

use crate::discover::{Problem, glob_base};

/// Watches as long as it lives.
pub struct Wake {
    _watcher: Option<RecommendedWatcher>,
}

impl Wake {
    /// Calls `callback`, from a thread of its own, whenever something may have changed below one of `patterns`. Problems
    /// mean that polling alone has to do there.
    pub fn new(patterns: &[String], callback: impl Fn() + Send + 'static) -> (Self, Vec<Problem>) {
        let handler = move |event: notify::Result<Event>| {
            // Overflow and errors also mean that something happened. Reading, our own too, changes nothing.
            if !matches!(event, Ok(Event { kind: EventKind::Access(_), .. })) {
                callback();
            }
        };
        let mut problems = Vec::new();
        let mut watcher = match notify::recommended_watcher(handler) {
            Ok(watcher) => watcher,
            Err(error) => {
                problems.push(Self::problem(Path::new("."), &error));
                return (Self { _watcher: None }, problems);
            }
        };
        for (directory, mode) in watched(patterns) {
            if let Err(error) = watcher.watch(&directory, mode) {
                problems.push(Self::problem(&directory, &error));
            }
        }
        (Self { _watcher: Some(watcher) }, problems)
    }

    fn problem(path: &Path, error: &notify::Error) -> Problem {
        Problem::new(path, format!("cannot be watched ({error})"), "new lines there are seen at the next poll")
    }
}

/// Directories, never files: a rotated file's watch would follow the old one.
fn watched(patterns: &[String]) -> BTreeSet<(PathBuf, RecursiveMode)> {
    patterns
        .iter()
        .map(|pattern| {
            let base = if Path::new(pattern).exists() { PathBuf::from(pattern) } else { glob_base(pattern) };
            if base.is_dir() {
                return (base, RecursiveMode::Recursive);
            }
            let parent = base.parent().filter(|parent| !parent.as_os_str().is_empty());
            (parent.map_or_else(|| PathBuf::from("."), Path::to_owned), RecursiveMode::NonRecursive)
        })
        .collect()
}
