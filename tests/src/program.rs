//! Runs `tripline`, or any other program, and waits for what it says and how it ends.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::journal::Journal;
use crate::repository;

/// Runs `tripline` to its end, in the repository's root.
pub fn tripline<S: AsRef<std::ffi::OsStr>>(args: &[S]) -> Output {
    Process::tripline(args).end()
}

/// Its arguments from words and paths.
#[macro_export]
macro_rules! tripline {
    ($($arg:expr),+ $(,)?) => {
        $crate::program::tripline(&[$(::std::ffi::OsStr::new(&$arg)),+])
    };
}

/// A program whom permissions bind: root reads what it may not, unless that right is taken from it.
pub fn bound(program: &Path) -> Command {
    let setpriv = Path::new("/usr/bin/setpriv");
    if !setpriv.exists() {
        return Command::new(program);
    }
    let mut command = Command::new(setpriv);
    command.arg("--bounding-set=-dac_override,-dac_read_search").arg(program);
    command
}

/// How a program ended, and what it said.
#[derive(Debug)]
pub struct Output {
    /// The exit code; `None` if a signal ended it.
    pub code: Option<i32>,
    /// What it printed.
    pub stdout: String,
    /// What it printed beside.
    pub stderr: String,
}

impl Output {
    /// Asserts the exit code.
    #[expect(clippy::return_self_not_must_use, reason = "it asserts, and often that is all")]
    pub fn with_code(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "\n{}\n{}", self.stdout, self.stderr);
        self
    }

    /// Each line of stdout, which is JSON.
    pub fn json(&self) -> Vec<Value> {
        let parse = |line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e} in {line}"));
        self.stdout.lines().map(parse).collect()
    }

    /// Asserts that stderr says each of `parts`.
    pub fn says(&self, parts: &[&str]) {
        for part in parts {
            assert!(self.stderr.contains(part), "does not say {part:?}:\n{}", self.stderr);
        }
    }

    /// Asserts that stdout shows each of `parts`.
    pub fn shows(&self, parts: &[&str]) {
        for part in parts {
            assert!(self.stdout.contains(part), "does not show {part:?}:\n{}\n{}", self.stdout, self.stderr);
        }
    }
}

/// A program that was started. It is killed when this is dropped.
#[derive(Debug)]
pub struct Process {
    pid: u32,
    ended: Arc<Journal<ExitStatus>>,
    stdout: Option<thread::JoinHandle<Vec<u8>>>,
    stderr: Arc<Journal<String>>,
    reader: Option<thread::JoinHandle<()>>,
}

impl Process {
    /// Starts `tripline` in the repository's root.
    pub fn tripline<S: AsRef<std::ffi::OsStr>>(args: &[S]) -> Self {
        Self::start(Command::new(repository::program()).args(args), repository::root())
    }

    /// Starts a command in a folder, without what the tester's environment would change.
    pub fn start(command: &mut Command, folder: &Path) -> Self {
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy();
            if name.starts_with("TRIPLINE__") || name == "RUST_LOG" {
                command.env_remove(&*name);
            }
        }
        command.current_dir(folder).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|e| panic!("cannot start {command:?}: {e}"));
        let (mut out, err) = (child.stdout.take().expect("a pipe"), child.stderr.take().expect("a pipe"));
        let stdout = thread::spawn(move || {
            let mut bytes = Vec::new();
            out.read_to_end(&mut bytes).expect("the program's stdout");
            bytes
        });
        let stderr = Arc::new(Journal::default());
        let said = Arc::clone(&stderr);
        let reader = thread::spawn(move || {
            for line in BufReader::new(err).split(b'\n') {
                said.push(String::from_utf8_lossy(&line.expect("the program's stderr")).into_owned() + "\n");
            }
            said.complete();
        });
        let pid = child.id();
        let ended = Arc::new(Journal::default());
        let end = Arc::clone(&ended);
        thread::spawn(move || end.push(child.wait().expect("the program's end")));
        Self { pid, ended, stdout: Some(stdout), stderr, reader: Some(reader) }
    }

    /// Its number.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Sends a signal, such as `TERM`.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([format!("-{name}"), self.pid.to_string()]).status();
        assert!(sent.is_ok_and(|status| status.success()), "cannot send SIG{name}: has it ended?\n{}", self.said());
    }

    /// The same to a program that may have ended.
    pub fn signal_if_there(&self, name: &str) {
        let _ = Command::new("kill").args([format!("-{name}"), self.pid.to_string()]).stderr(Stdio::null()).status();
    }

    /// Waits for its end, at most for `limit`. Returns whether it has ended.
    pub fn ends_within(&self, limit: Duration) -> bool {
        self.ended.wait_at_most(limit, |ended| ended.first().copied()).is_some()
    }

    /// Waits for its end, at most for `limit`, then kills it. Returns whether it ended by itself.
    pub fn end_or_kill(self, limit: Duration) -> bool {
        let ended = self.ends_within(limit);
        if !ended {
            self.signal_if_there("KILL");
        }
        self.end();
        ended
    }

    /// Waits until a line of stderr contains `text`.
    pub fn wait_to_say(&self, text: &str) {
        let found = self.stderr.wait_for(|lines| lines.iter().any(|line| line.contains(text)).then_some(()));
        assert!(found.is_some(), "never said {text:?}:\n{}", self.said());
    }

    /// The same, or until it has ended.
    pub fn wait_to_say_or_end(&self, text: &str) {
        let said = |lines: &[String]| lines.iter().any(|line| line.contains(text)).then_some(());
        if self.stderr.wait_for(said).is_none() {
            assert!(self.ends_within(Duration::from_secs(5)), "never said {text:?}:\n{}", self.said());
        }
    }

    /// What it said on stderr so far.
    pub fn said(&self) -> String {
        self.stderr.entries().concat()
    }

    /// Waits for its end.
    pub fn end(mut self) -> Output {
        let status = self.ended.wait_for(|ended| ended.first().copied());
        let Some(status) = status else { panic!("did not end:\n{}", self.said()) };
        let stdout = self.stdout.take().expect("it ends once").join().expect("stdout was read");
        self.reader.take().expect("it ends once").join().expect("stderr was read");
        let stdout = String::from_utf8(stdout).expect("stdout is UTF-8");
        Output { code: status.code(), stdout, stderr: self.said() }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.ended.entries().is_empty() {
            self.signal_if_there("KILL");
        }
    }
}
