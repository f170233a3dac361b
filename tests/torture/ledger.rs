//! What the writer wrote, where each line stood, and which lines it destroyed before anyone can have had to read them.
//!
//! A *body* is the content of one file, whatever its name. A line that stands in no body within the program's reach any
//! more, and was not known to have been read before, is *excused*: it may be missing. Every other line must be there, and
//! none may be there twice.

use std::collections::{BTreeMap, BTreeSet};

/// Who wrote a line, and which of its lines it is.
pub type Name = (usize, u64);

/// A file's content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct BodyId(usize);

/// How lines were destroyed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    Truncated,
    CutInHalf,
    Deleted,
    /// Renamed to a name that the source does not name before the program met the file: not one of its lines was read.
    OutOfSight,
    /// Compressed to a name that the source does not name, and removed.
    PackedOutOfSight,
    /// Its directory was moved away.
    DirectoryMoved,
}

#[derive(Debug, Default)]
struct Body {
    lines: Vec<Name>,
    /// Whether the program has met it for certain: what it has met it must find again.
    known: bool,
    /// Whether it went out of sight before that. If any of its lines was read all the same, all must be.
    out_of_sight: bool,
    /// Why nobody need find it.
    gone: Option<Cause>,
}

#[derive(Debug, Default)]
struct Line {
    /// Bodies within reach that have it.
    copies: usize,
    /// It was read for certain.
    read: bool,
    excuse: Option<Cause>,
}

/// See above.
#[derive(Debug, Default)]
pub struct Ledger {
    bodies: Vec<Body>,
    lines: BTreeMap<Name, Line>,
}

/// What a comparison showed.
#[derive(Debug, Default)]
pub struct Verdict {
    pub written: u64,
    pub lost: Vec<Name>,
    pub doubled: Vec<Name>,
    /// Rows of lines that nobody wrote.
    pub invented: Vec<Name>,
    /// Lines that are missing and may be, and those that may have been.
    pub excused: BTreeMap<Cause, (u64, u64)>,
}

impl Verdict {
    pub fn is_good(&self) -> bool {
        self.lost.is_empty() && self.doubled.is_empty() && self.invented.is_empty()
    }
}

impl Ledger {
    /// A new file.
    pub fn body(&mut self) -> BodyId {
        self.bodies.push(Body::default());
        BodyId(self.bodies.len() - 1)
    }

    /// A whole line stands in a file.
    pub fn wrote(&mut self, body: BodyId, name: Name) {
        let body = &mut self.bodies[body.0];
        let line = self.lines.entry(name).or_default();
        match body.gone {
            None => {
                body.lines.push(name);
                line.copies += 1;
            }
            Some(cause) => line.excuse = Some(cause),
        }
    }

    /// A line will never be whole in any file.
    pub fn cut(&mut self, name: Name) {
        self.lines.entry(name).or_default().excuse = Some(Cause::CutInHalf);
    }

    /// A file within the program's sight has the lines of another one.
    pub fn copied(&mut self, from: BodyId) -> BodyId {
        let to = self.body();
        let lines = self.bodies[from.0].lines.clone();
        for name in &lines {
            self.lines.entry(*name).or_default().copies += 1;
        }
        self.bodies[to.0].lines = lines;
        to
    }

    /// A file's content is no more; lines written to it from now on are not there.
    pub fn destroyed(&mut self, body: BodyId, cause: Cause) {
        self.emptied(body, cause);
        self.bodies[body.0].gone.get_or_insert(cause);
    }

    /// A file's content is no more; it goes on empty.
    pub fn emptied(&mut self, body: BodyId, cause: Cause) {
        self.bodies[body.0].known = false;
        for name in std::mem::take(&mut self.bodies[body.0].lines) {
            let line = self.lines.entry(name).or_default();
            line.copies -= 1;
            if line.copies == 0 && !line.read {
                line.excuse = Some(cause);
            }
        }
    }

    /// The source does not name the file any more. If the program has met it, it must read it to the end all the same.
    pub fn out_of_sight(&mut self, body: BodyId) {
        let body = &mut self.bodies[body.0];
        body.out_of_sight = !body.known;
    }

    /// All that can be read has been read, but for files that may not be opened.
    pub fn synced(&mut self, denied: &BTreeSet<BodyId>) {
        for (at, body) in self.bodies.iter_mut().enumerate() {
            if body.gone.is_some() || body.out_of_sight || denied.contains(&BodyId(at)) {
                continue;
            }
            body.known |= !body.lines.is_empty();
            for name in &body.lines {
                self.lines.entry(*name).or_default().read = true;
            }
        }
    }

    /// Compares with how often each line was found.
    pub fn verdict(&self, found: &BTreeMap<Name, u64>) -> Verdict {
        let mut verdict = Verdict { written: self.lines.len() as u64, ..Verdict::default() };
        let unmet = self.unmet(found);
        for (name, line) in &self.lines {
            let times = found.get(name).copied().unwrap_or(0);
            let destroyed = line.excuse.filter(|_| line.copies == 0 && !line.read);
            let excuse = destroyed.or_else(|| unmet.contains(name).then_some(Cause::OutOfSight));
            if let Some(cause) = excuse {
                let (missing, possible) = verdict.excused.entry(cause).or_default();
                *missing += u64::from(times == 0);
                *possible += 1;
            } else if times == 0 {
                verdict.lost.push(*name);
            }
            if times > 1 {
                verdict.doubled.push(*name);
            }
        }
        verdict.invented = found.keys().filter(|name| !self.lines.contains_key(name)).copied().collect();
        verdict
    }

    /// Lines that stand only in files that went out of sight and of which nothing was read.
    fn unmet(&self, found: &BTreeMap<Name, u64>) -> BTreeSet<Name> {
        let stands_there_alone = |name: &Name| self.lines.get(name).is_some_and(|line| line.copies == 1 && !line.read);
        let alone =
            |body: &Body| body.lines.iter().filter(|name| stands_there_alone(name)).copied().collect::<Vec<_>>();
        let bodies = self.bodies.iter().filter(|body| body.out_of_sight && body.gone.is_none()).map(alone);
        bodies.filter(|lines| !lines.iter().any(|name| found.contains_key(name))).flatten().collect()
    }
}
