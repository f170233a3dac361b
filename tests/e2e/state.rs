//! The state directory in trouble: a full disk stops reading, not the program; damage costs what it has hit.

use std::fs;
use std::process::Command;

use tripline_tests::logs::{at, combined};
use tripline_tests::program::Process;
use tripline_tests::receiver::{Message, Receiver};
use tripline_tests::repository;
use tripline_tests::site::{Site, firing, terminate};

const CLIENT: &str = "192.0.2.7";

/// Lines of [`CLIENT`] in an hour, each with a path of its own.
fn lines(hour: i64, numbers: std::ops::Range<i64>) -> String {
    numbers.map(|i| combined(at(hour * 3600 + i), CLIENT, &format!("GET /line/{hour}/{i}"), 200)).collect()
}

fn alert(receiver: &Receiver, number: usize) -> Message {
    let told = |messages: &[Message]| firing(messages, "count", CLIENT).get(number).copied().cloned();
    receiver.wait_for("an alert about the client", told)
}

/// The disk is full for two tries, before a segment is written or in the middle of the transaction.
fn full_for_a_while(failpoint: &str) {
    let receiver = Receiver::answering(200);
    let site = Site::counting(&receiver);
    let process = site.run_with_failpoint(Some(failpoint));
    site.append("access.log", lines(9, 0..1_000));
    process.wait_to_say("reading stops until the state can be written");
    site.append("access.log", lines(11, 0..1));
    process.wait_to_say("reading goes on");
    assert_eq!(alert(&receiver, 0).alert()["values"]["paths"], 1_000);
    let said = terminate(process).stderr;
    assert_eq!(said.matches("reading stops").count(), 1, "{said}");
    let line = said.lines().find(|line| line.contains("reading stops")).unwrap_or_default();
    for part in ["state", "the disk is full", "free some space"] {
        assert!(line.contains(part), "{line}");
    }
}

#[test]
fn a_full_disk_before_a_segment() {
    full_for_a_while("before-segment:full:2");
}

#[test]
fn a_full_disk_in_the_transaction() {
    full_for_a_while("before-commit:full:2");
}

/// On a file system of its own, which really is full; in a namespace, so that nobody else sees it.
#[test]
fn a_disk_that_is_full() {
    let receiver = Receiver::answering(200);
    let site = Site::counting(&receiver);
    fs::create_dir(site.path().join("state")).expect("a folder");
    let mut may = Command::new("unshare");
    may.args(["-rm", "mount", "-t", "tmpfs", "tmpfs"]).arg(site.path().join("state"));
    if !may.output().is_ok_and(|output| output.status.success()) {
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "CI must allow namespaces (unshare -rm)");
        eprintln!("skipped: this user may not mount in a namespace");
        return;
    }
    let script = "mount -t tmpfs -o size=3m tmpfs state && exec \"$0\" run -c tripline.toml";
    let mut command = Command::new("unshare");
    let process = Process::start(command.args(["-rm", "sh", "-c", script]).arg(repository::program()), site.path());
    process.wait_to_say("starting");
    site.append("access.log", lines(9, 0..100));
    site.mark(&receiver, "access.log", "before", at(9 * 3600 + 200));
    let seen = format!("/proc/{}/root{}/state/filler", process.pid(), site.path().display());
    let full = fs::File::create(&seen).and_then(|mut file| while_there_is_room(&mut file));
    assert_eq!(full.map_err(|error| error.kind()), Err(std::io::ErrorKind::StorageFull));
    site.append("access.log", lines(9, 300..3_000));
    process.wait_to_say("reading stops until the state can be written");
    site.append("access.log", lines(11, 0..1));
    fs::remove_file(&seen).expect("the file that fills the disk");
    process.wait_to_say("reading goes on");
    assert_eq!(alert(&receiver, 0).alert()["values"]["paths"], 2_800);
    terminate(process);
}

fn while_there_is_room(file: &mut fs::File) -> std::io::Result<()> {
    use std::io::Write as _;
    loop {
        file.write_all(&[b'x'; 1_000])?;
    }
}

/// An operator may stop the program, free space, and start it again.
#[test]
fn a_stop_while_the_disk_is_full() {
    let receiver = Receiver::answering(200);
    let site = Site::counting(&receiver);
    let process = site.run_with_failpoint(Some("before-commit:full:1000000"));
    site.append("access.log", lines(9, 0..50) + &lines(11, 0..1));
    process.wait_to_say("reading stops");
    terminate(process).says(&["is read again at the next start"]);
    assert!(receiver.messages().is_empty(), "what is not committed is not sent");
    let process = site.run();
    assert_eq!(alert(&receiver, 0).alert()["values"]["requests"], 50);
    terminate(process);
}

/// A rule whose state is damaged starts afresh, and says so; nothing else stops.
#[test]
fn damaged_state_costs_a_window() {
    let receiver = Receiver::answering(200);
    let site = Site::counting(&receiver);
    let process = site.run();
    site.append("access.log", lines(9, 0..1_000));
    site.mark(&receiver, "access.log", "one", at(9 * 3600 + 1_500));
    terminate(process);
    let segments: Vec<_> = fs::read_dir(site.path().join("state/segments")).expect("segments").collect();
    assert!(!segments.is_empty(), "large state is in segments");
    for segment in segments {
        let path = segment.expect("a folder's entry").path();
        let mut bytes = fs::read(&path).expect("a segment");
        bytes.iter_mut().skip(8).for_each(|byte| *byte ^= 0xa5);
        fs::write(&path, bytes).expect("a segment");
    }

    let process = site.run();
    site.append("access.log", lines(9, 2_000..2_050) + &lines(11, 0..70) + &lines(13, 0..1));
    let first = alert(&receiver, 0);
    assert_eq!(first.alert()["values"]["requests"], 70, "of the hour that was damaged nothing is told: {}", first.body);
    terminate(process).says(&["a part of the state is lost", ".seg: the bytes at", "starts fresh"]);

    // The loss is told once.
    let process = site.run();
    site.mark(&receiver, "access.log", "two", at(15 * 3600));
    let said = terminate(process).stderr;
    assert!(!said.contains("is lost"), "{said}");
}
