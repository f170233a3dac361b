//! Tells early that something changed below the sources. A hint only: events get lost, and some file systems send none,
//! so whoever waits must poll from time to time as well.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use notify::event::ModifyKind;
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};

use crate::discover::{Problem, glob_base};

/// Paths that are kept between two times that somebody asks; more of them are [`Told::Anything`].
const MAX_WRITTEN: usize = 1024;

/// What the system told since it was asked last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// Nothing can be concluded from what it tells: not all is watched.
    Blind,
    /// Anything may have happened.
    Anything,
    /// These files were written to, and no name came, went or changed; there may be none.
    Written(BTreeSet<PathBuf>),
}

/// Watches as long as it lives.
pub struct Wake {
    _watcher: Option<RecommendedWatcher>,
    told: Arc<Mutex<Told>>,
}

impl Wake {
    /// Calls `callback`, from a thread of its own, whenever something may have changed below one of `patterns`. Problems
    /// mean that polling alone has to do there.
    pub fn new(patterns: &[String], callback: impl Fn() + Send + 'static) -> (Self, Vec<Problem>) {
        let directories = watched(patterns);
        let roots: Vec<PathBuf> = directories.iter().map(|(directory, ..)| directory.clone()).collect();
        // (nobody has looked yet)
        let told = Arc::new(Mutex::new(Told::Anything));
        let kept = Arc::clone(&told);
        let handler = move |event: notify::Result<Event>| {
            // Overflow and errors also mean that something happened. Reading, our own too, changes nothing.
            if !matches!(event, Ok(Event { kind: EventKind::Access(_), .. })) {
                kept.lock().unwrap_or_else(PoisonError::into_inner).take_in(event, &roots);
                callback();
            }
        };
        let mut problems = Vec::new();
        let mut watcher = match notify::recommended_watcher(handler) {
            Ok(watcher) => watcher,
            Err(error) => {
                problems.push(Self::problem(Path::new("."), &error));
                return (Self { _watcher: None, told: Arc::new(Mutex::new(Told::Blind)) }, problems);
            }
        };
        let mut is_all = true;
        for (directory, mode, covers) in directories {
            is_all &= covers;
            if let Err(error) = watcher.watch(&directory, mode) {
                is_all = false;
                problems.push(Self::problem(&directory, &error));
            }
        }
        if !is_all {
            *told.lock().unwrap_or_else(PoisonError::into_inner) = Told::Blind;
        }
        (Self { _watcher: Some(watcher), told }, problems)
    }

    /// What was told since this was called last.
    pub fn told(&self) -> Told {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let next = if *told == Told::Blind { Told::Blind } else { Told::Written(BTreeSet::new()) };
        std::mem::replace(&mut *told, next)
    }

    fn problem(path: &Path, error: &notify::Error) -> Problem {
        Problem::new(path, format!("cannot be watched ({error})"), "new lines there are seen at the next poll")
    }
}

impl Told {
    fn take_in(&mut self, event: notify::Result<Event>, roots: &[PathBuf]) {
        match (&mut *self, event) {
            (Self::Blind, _) => {}
            (_, Ok(event)) if is_end(&event, roots) => *self = Self::Blind,
            (Self::Written(paths), Ok(Event { kind: EventKind::Modify(ModifyKind::Data(_)), paths: more, .. }))
                if paths.len() < MAX_WRITTEN =>
            {
                // (as `discover` has them)
                paths.extend(
                    more.into_iter().map(|path| path.strip_prefix(".").map_or_else(|_| path.clone(), Path::to_owned)),
                );
            }
            _ => *self = Self::Anything,
        }
    }
}

/// Whether a directory that is watched vanishes or moves: what stands in its place is not watched.
fn is_end(event: &Event, roots: &[PathBuf]) -> bool {
    let is_gone = matches!(event.kind, EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(_)));
    is_gone && event.paths.iter().any(|path| roots.contains(path))
}

/// Directories, never files: a rotated file's watch would follow the old one. Also whether all that the pattern can name is
/// below.
fn watched(patterns: &[String]) -> BTreeSet<(PathBuf, RecursiveMode, bool)> {
    patterns
        .iter()
        .map(|pattern| {
            let base = if Path::new(pattern).exists() { PathBuf::from(pattern) } else { glob_base(pattern) };
            if base.is_dir() {
                return (base, RecursiveMode::Recursive, true);
            }
            let parent = base.parent().filter(|parent| !parent.as_os_str().is_empty());
            let parent = parent.map_or_else(|| PathBuf::from("."), Path::to_owned);
            // (what is not there yet may become a directory)
            (parent, RecursiveMode::NonRecursive, base.is_file())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use notify::event::{CreateKind, DataChange, Flag, RemoveKind};

    use super::*;

    #[test]
    fn what_events_tell() {
        let roots = [PathBuf::from("logs")];
        let of = |kind| Event::new(kind).add_path("logs/a".into());
        let written =
            |n: usize| Event::new(EventKind::Modify(ModifyKind::Data(DataChange::Any))).add_path(n.to_string().into());
        let after = |events: Vec<notify::Result<Event>>| {
            let mut told = Told::Written(BTreeSet::new());
            for event in events {
                told.take_in(event, &roots);
            }
            told
        };
        assert_eq!(
            after(vec![Ok(written(1)), Ok(written(2)), Ok(written(1))]),
            Told::Written(["1".into(), "2".into()].into())
        );
        assert_eq!(after((0..=MAX_WRITTEN).map(|n| Ok(written(n))).collect()), Told::Anything);
        // The queue was full: events are lost.
        assert_eq!(after(vec![Ok(Event::new(EventKind::Other).set_flag(Flag::Rescan))]), Told::Anything);
        assert_eq!(after(vec![Err(notify::Error::generic("no watch left"))]), Told::Anything);
        assert_eq!(after(vec![Ok(of(EventKind::Create(CreateKind::File))), Ok(written(1))]), Told::Anything);
        assert_eq!(after(vec![Ok(of(EventKind::Remove(RemoveKind::File)))]), Told::Anything);
        let gone = Event::new(EventKind::Remove(RemoveKind::Folder)).add_path("logs".into());
        assert_eq!(after(vec![Ok(gone), Ok(written(1))]), Told::Blind);
    }
}
