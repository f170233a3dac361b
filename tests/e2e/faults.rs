//! `tripline run` where the system fails it: reads that end with an error, notifications that get lost. Every line counts once.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use tripline_tests::debian;
use tripline_tests::journal::DEADLINE;
use tripline_tests::logs::{at, combined};
use tripline_tests::program::Process;
use tripline_tests::receiver::Receiver;
use tripline_tests::repository;
use tripline_tests::site::{Site, firing, terminate};

const CLIENT: &str = "192.0.2.7";
const LOG: &str = "access.log";
/// The read of the log, counted by thread, that fails, and so many after it: the log was found and is followed by then.
const FAILING: &str = "inject=read:error=EIO:when=30..32";

fn line(n: i64) -> String {
    combined(at(9 * 3600 + n / 100), CLIENT, &format!("GET /line/{n}"), 200)
}

/// All lines before `end` were counted once.
fn check(site: &Site, receiver: &Receiver, process: Process, end: i64) {
    site.append(LOG, combined(at(11 * 3600), "192.0.2.250", "GET /", 200));
    let alert =
        receiver.wait_for("the alert", |messages| firing(messages, "count", CLIENT).first().map(|m| m.alert().clone()));
    terminate(process);
    assert_eq!(alert["values"]["requests"], end);
    assert_eq!(alert["values"]["paths"], end);
}

/// As a disk or a network file system may have it. (The failure is strace's doing.)
#[test]
fn a_read_that_fails_is_done_again() {
    let Some(strace) = debian::program("strace", "/usr/bin/strace") else { return };
    let receiver = Receiver::answering(200);
    let site = Site::counting(&receiver);
    site.append(LOG, line(0));
    let log = site.logs().join(LOG);
    let mut command = Command::new(strace);
    // (as the tracee's grandchild: the process is the program)
    command.args(["-D", "-f", "-qq", "-o", "/dev/null", "-e", "trace=read", "-e", FAILING, "-P"]).arg(log);
    command.arg(repository::program()).args(["run", "-c", "tripline.toml"]);
    let process = Process::start(&mut command, site.path());
    process.wait_to_say("starting");
    let (mut written, started) = (1, Instant::now());
    while !process.said().contains("reading failed after") {
        site.append(LOG, line(written));
        written += 1;
        process.ends_within(Duration::from_millis(5));
        assert!(started.elapsed() < DEADLINE, "no read fails:\n{}", process.said());
    }
    for _ in 0..10 {
        site.append(LOG, line(written));
        written += 1;
    }
    site.mark(&receiver, LOG, "after", at(10 * 3600));
    assert!(process.said().contains("Input/output error"), "{}", process.said());
    check(&site, &receiver, process, written);
}

/// The kernel keeps so many notifications and drops the rest.
#[test]
fn notifications_that_get_lost_lose_no_line() {
    let receiver = Receiver::answering(200);
    let site = Site::counting(&receiver);
    site.append(LOG, line(0));
    let process = site.run();
    site.mark(&receiver, LOG, "before", at(9 * 3600));
    process.signal("STOP");
    let limit = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").expect("Linux says it");
    let limit: usize = limit.trim().parse().expect("a number");
    let noise = site.logs().join("noise");
    for _ in 0..=limit / 2 {
        fs::write(&noise, "").expect("a file"); // created, opened, closed ..
        fs::remove_file(&noise).expect("a file"); // .. deleted
    }
    // None of this is told.
    site.append(LOG, line(1));
    fs::rename(site.logs().join(LOG), site.logs().join("access.log.1")).expect("rotates");
    site.append(LOG, line(2));
    site.append("other.log", line(3));
    process.signal("CONT");
    site.mark(&receiver, LOG, "after", at(10 * 3600));
    site.mark(&receiver, "other.log", "other", at(10 * 3600 + 600));
    check(&site, &receiver, process, 4);
}
