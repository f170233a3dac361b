//! One stream of stamped lines, and the files it goes through.

use std::fs::{self, File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use tripline_tests::logs::{at, combined};
use tripline_tests::random::Random;

use super::ledger::{BodyId, Ledger, Name};

/// Bytes of a line that is just short enough not to be cut.
const LONG: usize = (1 << 20) - 4_000;

/// How a stream writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Plain,
    /// Lines end in CR LF, as IIS writes them.
    CrLf,
    /// W3C extended: every file begins with the same heading.
    W3c,
    /// The source names a symbolic link to the file, as Kubernetes has it.
    Linked,
}

/// An open file, and what of a line is still to be written to it.
pub struct Handle {
    pub file: File,
    pub body: BodyId,
    /// (`None`: a rest whose beginning is destroyed)
    rest: Option<(Vec<u8>, Option<Name>)>,
}

/// A file that was rotated.
pub struct Rotated {
    pub path: PathBuf,
    pub body: BodyId,
    pub compressed: bool,
}

/// See above.
pub struct Stream {
    pub kind: Kind,
    /// Where it is written to.
    pub path: PathBuf,
    pub handle: Handle,
    /// The file before, which is still written to.
    pub old: Option<Handle>,
    /// The newest first.
    pub rotated: Vec<Rotated>,
    /// How far its clock is off, s.
    pub clock: i64,
    index: usize,
    sequence: u64,
    salt: u64,
    second: i64,
}

/// What a line is stamped with, so that one can see whether it is whole.
pub fn stamp(salt: u64, (stream, sequence): Name) -> String {
    let mut crc = flate2::Crc::new();
    crc.update(format!("{salt}/{stream}/{sequence}").as_bytes());
    format!("{:08x}", crc.sum())
}

impl Stream {
    pub fn new(index: usize, kind: Kind, path: PathBuf, salt: u64, ledger: &mut Ledger, random: &mut Random) -> Self {
        let handle = create(&path, kind, true, ledger, random);
        let (old, rotated) = (None, Vec::new());
        Self { kind, path, handle, old, rotated, clock: 0, index, sequence: 0, salt, second: 0 }
    }

    /// The number of the next line.
    pub fn next(&self) -> u64 {
        self.sequence
    }

    /// Lets the handle before go: what was not finished there never will be.
    pub fn drop_old(&mut self, ledger: &mut Ledger) {
        if let Some((_, Some(name))) = self.old.take().and_then(|old| old.rest) {
            ledger.cut(name);
        }
    }

    /// Opens a new file at the stream's path and goes on there.
    pub fn reopen(&mut self, append: bool, ledger: &mut Ledger, random: &mut Random) {
        self.drop_old(ledger);
        let new = create(&self.path, self.kind, append, ledger, random);
        self.old = Some(std::mem::replace(&mut self.handle, new));
    }

    /// Opens the file anew, so that writing goes on where this handle is and not at the end, or the other way round.
    pub fn reopen_same(&mut self, append: bool) {
        let mut options = OpenOptions::new();
        let file = if append { options.append(true) } else { options.write(true) }.open(&self.path);
        let mut file = file.expect("the log");
        file.seek(SeekFrom::End(0)).expect("the log");
        self.handle.file = file;
    }

    /// Before the file is emptied: the line that was being written is cut in half.
    pub fn forget_half(&mut self, ledger: &mut Ledger) {
        if let Some(name) = self.handle.rest.as_mut().and_then(|(_, name)| name.take()) {
            ledger.cut(name);
        }
    }

    /// Begins anew after a truncation with what the server writes first.
    pub fn head(&mut self) {
        if self.kind == Kind::W3c {
            self.handle.file.write_all(HEADING.as_bytes()).expect("the log");
        }
    }

    /// Some lines, to the current file or to the one before; the last may not be whole yet.
    pub fn write(&mut self, to_old: bool, ledger: &mut Ledger, random: &mut Random) {
        let count = if random.one_in(6) { 20 + random.below(60) } else { 1 + random.below(4) };
        let splits = random.one_in(3);
        let mut bytes = Vec::new();
        let mut whole = Vec::new();
        let handle = if to_old { self.old.as_mut() } else { Some(&mut self.handle) };
        if let Some((rest, name)) = handle.and_then(|handle| handle.rest.take()) {
            bytes.extend(rest);
            whole.extend(name);
        }
        let mut half = None;
        for n in 0..count {
            // (A file whose first KiB holds no request is not known again in a copy that is shorter than what was read.)
            if n > 0 && random.one_in(12) {
                bytes.extend(junk(self.kind, random));
            }
            let name = (self.index, self.sequence);
            self.sequence += 1;
            let line = self.line(name, random);
            if splits && n + 1 == count {
                // In the middle of the line, or within or before its line end.
                let end = line.len() as u64;
                let cut = if random.one_in(3) { end - 1 - random.below(2) } else { 1 + random.below(end - 1) };
                let (begin, rest) = line.split_at(usize::try_from(cut).expect("fits"));
                bytes.extend(begin);
                half = Some((rest.to_vec(), Some(name)));
            } else {
                bytes.extend(line);
                whole.push(name);
            }
        }
        let handle = if to_old { self.old.as_mut() } else { Some(&mut self.handle) };
        let Some(handle) = handle else { return };
        handle.file.write_all(&bytes).expect("the log");
        for name in whole {
            ledger.wrote(handle.body, name);
        }
        handle.rest = half;
    }

    /// What was begun is finished.
    pub fn finish_line(&mut self, ledger: &mut Ledger) {
        for handle in [Some(&mut self.handle), self.old.as_mut()].into_iter().flatten() {
            if let Some((rest, name)) = handle.rest.take() {
                handle.file.write_all(&rest).expect("the log");
                if let Some(name) = name {
                    ledger.wrote(handle.body, name);
                }
            }
        }
    }

    fn line(&mut self, name: Name, random: &mut Random) -> Vec<u8> {
        self.second += i64::try_from(random.below(20)).expect("small");
        let ts = at(9 * 3600 + self.second + self.clock);
        let path = format!("/t/{}/{}/{}", name.0, name.1, stamp(self.salt, name));
        let client = format!("192.0.2.{}", 10 + self.index);
        let long = random.one_in(150);
        if self.kind == Kind::W3c {
            let time = ts.strftime("%Y-%m-%d %H:%M:%S");
            let agent = if long { "x".repeat(LONG) } else { "agent".to_owned() };
            return format!("{time} {client} GET {path} 200 {agent}\n").into_bytes();
        }
        let mut line = combined(ts, &client, &format!("GET {path}"), 200);
        if long {
            line = line.replace("Mozilla", &"x".repeat(LONG));
        }
        if self.kind == Kind::CrLf {
            line = line.replace('\n', "\r\n");
        }
        let mut line = line.into_bytes();
        if random.one_in(20) {
            // (within the agent: no UTF-8)
            let at = line.len() - 20;
            line[at] = 0xFF;
        }
        line
    }
}

const HEADING: &str = "#Software: A server\n#Version: 1.0\n#Date: 2026-03-02 09:00:00\n\
    #Fields: date time c-ip cs-method cs-uri-stem sc-status cs(User-Agent)\n";

/// A new file with what the server writes first.
fn create(path: &Path, kind: Kind, append: bool, ledger: &mut Ledger, random: &mut Random) -> Handle {
    let mut options = OpenOptions::new();
    let mut file = options.create(true).append(append).write(true).open(path).expect("a log");
    if kind == Kind::CrLf && random.one_in(2) {
        file.write_all(b"\xEF\xBB\xBF").expect("the log");
    }
    if kind == Kind::W3c {
        file.write_all(HEADING.as_bytes()).expect("the log");
    }
    Handle { file, body: ledger.body(), rest: None }
}

/// What is no line of this stream's: a line that is no request, a blank one, a hole, one that is far too long.
fn junk(kind: Kind, random: &mut Random) -> Vec<u8> {
    match random.below(if kind == Kind::W3c { 3 } else { 4 }) {
        0 => b"\n".to_vec(),
        1 => b"what is this\n".to_vec(),
        2 if random.one_in(6) => [vec![b'y'; 3 << 20], b"\n".to_vec()].concat(),
        2 => vec![0; 500],
        _ => b"\"\" - [] \"GET / HTTP/1.1\n".to_vec(),
    }
}

/// The bytes of a file, compressed as chance has it, and the ending that its name gets.
pub fn compressed(path: &Path, random: &mut Random) -> (Vec<u8>, &'static str) {
    let content = fs::read(path).expect("a log");
    if random.one_in(3) {
        return (zstd::encode_all(content.as_slice(), 1).expect("memory"), "zst");
    }
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    (out.write_all(&content).and_then(|()| out.finish()).expect("memory"), "gz")
}
