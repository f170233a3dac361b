//! What the system tells of changes: with it, looking may be rarer, and nothing depends on it.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use tripline_ingest::{Told, Wake};

use crate::hostile::{line, log};
use crate::tailing::Scene;

/// A poll so many tenths of a second after the first one, after this was told.
fn poll(scene: &mut Scene, tenths: u64, told: Told) -> &mut Scene {
    scene.tailer.hear(told);
    scene.notices.extend(scene.tailer.poll(Duration::from_millis(100 * tenths)));
    scene.drain();
    scene.commit();
    scene
}

fn nothing() -> Told {
    Told::Written(BTreeSet::new())
}

#[test]
fn where_nothing_is_told_looks_are_rare_and_come_all_the_same() {
    let mut scene = Scene::new();
    scene.append("access.log", &log(0..2));
    poll(&mut scene, 0, Told::Anything).expect(0..2);
    // An open file is always looked at, a new name only when somebody tells ..
    scene.append("access.log", &line(2));
    scene.append("access.log.new", &log(10..12));
    poll(&mut scene, 10, nothing()).expect(2..3);
    poll(&mut scene, 20, Told::Anything).expect(10..12);
    // .. or when nobody told anything for long.
    scene.append("access.log.other", &log(20..22));
    poll(&mut scene, 30, nothing()).expect([]);
    poll(&mut scene, 69, nothing()).expect([]);
    poll(&mut scene, 71, nothing()).expect(20..22);
}

#[test]
fn where_not_all_is_told_looks_are_as_frequent_as_ever() {
    let mut scene = Scene::new();
    scene.append("access.log", &log(0..2));
    poll(&mut scene, 0, Told::Blind).expect(0..2);
    scene.append("access.log.new", &log(10..12));
    poll(&mut scene, 10, Told::Blind).expect(10..12);
    // What is behind a symbolic link nobody tells of.
    fs::create_dir(scene.path("elsewhere")).expect("a folder");
    scene.append("elsewhere/one", &log(20..22));
    std::os::unix::fs::symlink(scene.path("elsewhere/one"), scene.path("access.log.link")).expect("a link");
    poll(&mut scene, 20, Told::Anything).expect(20..22);
    scene.append("elsewhere/two", &log(30..32));
    fs::rename(scene.path("elsewhere/two"), scene.path("elsewhere/one")).expect("takes its place");
    poll(&mut scene, 30, nothing()).expect(30..32);
}

#[test]
fn a_closed_file_that_was_written_to_is_read_at_once() {
    const FILES: usize = 600; // more than are open at a time
    let mut scene = Scene::new();
    let path = |scene: &Scene, n: usize| scene.path(&format!("access.log.{n}"));
    for n in 0..FILES {
        scene.append(&format!("access.log.{n}"), &line(n));
    }
    poll(&mut scene, 0, Told::Anything).expect(0..FILES);
    poll(&mut scene, 10, Told::Anything).expect([]);
    for n in 0..FILES {
        scene.append(&format!("access.log.{n}"), &line(FILES + n));
    }
    let written: BTreeSet<PathBuf> = (0..FILES).map(|n| path(&scene, n)).collect();
    poll(&mut scene, 20, Told::Written(written.clone())).expect(FILES..2 * FILES);
    // Told again, or of what is not there: nothing happens.
    let more = written.into_iter().chain([scene.path("nowhere")]).collect();
    poll(&mut scene, 30, Told::Written(more)).expect([]);
    scene.expect_no_warning();
}

/// Asks until it is told what `find` looks for.
fn wait_for(wake: &Wake, woken: &std::sync::mpsc::Receiver<()>, mut find: impl FnMut(&Told) -> bool) {
    while !find(&wake.told()) {
        // A minute is for a machine that is busy; it takes milliseconds.
        woken.recv_timeout(Duration::from_mins(1)).expect("is told");
    }
}

#[test]
fn the_system_tells_what_happened() {
    let scene = Scene::new();
    let logs = scene.path("logs");
    fs::create_dir(&logs).expect("a folder");
    scene.append("logs/access.log", &line(0));
    let watch = |pattern: String| {
        let (sender, woken) = std::sync::mpsc::channel();
        let (wake, problems) = Wake::new(&[pattern], move || {
            let _ = sender.send(());
        });
        assert_eq!(problems, []);
        (wake, woken)
    };
    let (wake, woken) = watch(logs.display().to_string());
    assert_eq!(wake.told(), Told::Anything, "nobody has looked yet");
    assert_eq!(wake.told(), nothing());

    scene.append("logs/access.log", &line(1));
    let log = scene.path("logs/access.log");
    wait_for(&wake, &woken, |told| matches!(told, Told::Written(paths) if paths.contains(&log)));
    fs::rename(&log, scene.path("logs/access.log.1")).expect("rotates");
    wait_for(&wake, &woken, |told| *told == Told::Anything);
    scene.append("logs/access.log", &line(2));
    wait_for(&wake, &woken, |told| *told == Told::Anything);

    // What takes the directory's place is not watched.
    fs::rename(&logs, scene.path("logs.old")).expect("moves");
    fs::create_dir(&logs).expect("a folder");
    wait_for(&wake, &woken, |told| *told == Told::Blind);
    assert_eq!(wake.told(), Told::Blind, "for good");
    let (wake, _) = watch(scene.path("not-there").display().to_string());
    assert_eq!(wake.told(), Told::Blind, "it may become a directory");
}
