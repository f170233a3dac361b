//! Alerts that go together: when, in which message, once each, whatever is killed and whoever does not answer.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use tripline_alert::{Commit, Destination, Entry, GroupBy, Grouping, Outbox, Route, Sender, Settings, Store, Timeouts};

use crate::support::{Received, Receiver, commit, empty, finding, secret, settings};

const T0: i64 = 1_700_000_000_000;
const GROUPING: Grouping = Grouping { by: GroupBy::Rule, wait_ms: 10_000, interval_ms: 300_000, repeat_ms: 14_400_000 };

fn chat(receiver: &Receiver) -> Destination {
    Destination::new(&Settings { style: "slack".into(), ..settings("soc", &receiver.url()) }, secret).unwrap()
}

fn sender(store: &Store, receiver: &Receiver) -> Sender {
    Sender::new(store, vec![chat(receiver)], Timeouts::default()).unwrap()
}

/// A commit at a time for a destination that groups.
fn grouped(findings: Vec<tripline_alert::Finding>, watermark: i64, now_ms: i64) -> Commit {
    let route = Route { grouping: Some(GROUPING), ..Route::from("soc") };
    Commit { destinations: vec![route], ..commit(findings, watermark, now_ms) }
}

/// The messages that were delivered: which alerts each has, by status and sequence, in order.
fn messages(store: &Store) -> Vec<Vec<Entry>> {
    let mut messages: Vec<Vec<Entry>> = Vec::new();
    for entry in Outbox::open(store.dir()).unwrap().delivered().unwrap() {
        assert!(entry.batch.is_some());
        match messages.last_mut() {
            Some(last) if last[0].batch == entry.batch => last.push(entry),
            _ => messages.push(vec![entry]),
        }
    }
    messages
}

/// By definition: when messages go, and which alerts (by number) each has. `arrivals`: when alerts are committed, in order.
fn model(arrivals: &[i64]) -> Vec<(i64, Vec<usize>)> {
    let mut messages: Vec<(i64, bool, Vec<usize>)> = Vec::new();
    for (n, &now) in arrivals.iter().enumerate() {
        let waits = messages.last_mut().filter(|(at, ..)| *at >= now);
        if let Some((_, _, members)) = waits {
            members.push(n);
            continue;
        }
        let last = messages.last().filter(|(at, ..)| now - at < GROUPING.interval_ms);
        let (at, first) = match last {
            None => (now, true),
            Some((at, true, _)) => (now.max(at + GROUPING.wait_ms), false),
            Some((at, false, _)) => (now.max(at + GROUPING.interval_ms), false),
        };
        messages.push((at, first, vec![n]));
    }
    messages.into_iter().map(|(at, _, members)| (at, members)).collect()
}

#[test]
fn the_first_goes_at_once_and_others_are_gathered() {
    let s = 1_000;
    let expected = [(0, vec![0]), (10 * s, vec![1, 2]), (310 * s, vec![3]), (700 * s, vec![4])];
    assert_eq!(model(&[0, s, 9 * s, 60 * s, 700 * s]), expected);
}

fn now() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// On a virtual clock, with a new process at random.
    #[test]
    fn messages_are_those_of_the_model(
        pauses in prop::collection::vec(prop_oneof![0..3_000_i64, 0..20_000_i64, 0..400_000_i64], 1..25),
        kills in prop::collection::vec(any::<bool>(), 60),
    ) {
        let arrivals: Vec<i64> = pauses.iter().scan(T0, |now, pause| { *now += pause; Some(*now) }).collect();
        let expected = model(&arrivals);
        let (delivered, requests) = now().block_on(async {
            let receiver = Receiver::with_status(200).await;
            let dir = tempfile::tempdir().unwrap();
            let mut store = Store::open(dir.path()).unwrap();
            let mut at_each: BTreeMap<i64, usize> = BTreeMap::new();
            let times: BTreeSet<i64> = arrivals.iter().copied().chain(expected.iter().map(|(at, _)| *at)).collect();
            for (time, kill) in times.into_iter().zip(kills.into_iter().cycle()) {
                // One before, nothing may go that was not due.
                let mut process = sender(&store, &receiver);
                let before = process.deliver_due(time - 1).await.delivered;
                assert_eq!(before, 0, "nothing is due a millisecond before anything happens");
                for (n, _) in arrivals.iter().enumerate().filter(|(_, at)| **at == time) {
                    store.commit(&grouped(vec![finding(&format!("client {n}"), 0, 5)], 5, time)).unwrap();
                }
                if kill {
                    drop(store);
                    store = Store::open(dir.path()).unwrap();
                    process = sender(&store, &receiver);
                }
                let sent = process.deliver_due(time).await.delivered;
                at_each.insert(time, usize::try_from(sent).unwrap());
            }
            at_each.retain(|_, sent| *sent > 0);
            let messages = messages(&store);
            let sizes: Vec<usize> = messages.iter().map(Vec::len).collect();
            (at_each.into_keys().zip(sizes).collect::<Vec<_>>(), receiver.received().len())
        });
        let expected: Vec<_> = expected.into_iter().map(|(at, members)| (at, members.len())).collect();
        prop_assert_eq!(requests, expected.len());
        prop_assert_eq!(delivered, expected);
    }

    /// A receiver that fails now and then, a process that is killed between the message and the note that it was taken: every
    /// message that comes again is the same, and all alerts come.
    #[test]
    fn a_message_is_the_same_in_every_try(
        clients in prop::collection::vec((0..6_u8, 0..60_000_i64), 1..20),
        fails in prop::collection::vec(any::<bool>(), 7),
        seed in 0..1_000_usize,
    ) {
        let received = now().block_on(async {
            let answer = move |n: usize, _: &Received| {
                let status = if fails[(n + seed) % 7] && n < 8 { 503 } else { 200 };
                async move { empty(status) }
            };
            let receiver = Receiver::start(answer).await;
            let dir = tempfile::tempdir().unwrap();
            let mut store = Store::open(dir.path()).unwrap();
            let mut now = T0;
            for (n, (client, pause)) in clients.iter().enumerate() {
                now += pause;
                let start = i64::try_from(n).unwrap() * 100;
                // The last episode of each client is over by the next commit.
                store.commit(&grouped(vec![finding(&format!("c{client}"), start, start + 5)], start + 5, now)).unwrap();
                sender(&store, &receiver).deliver_due(now).await;
                if n % 3 == seed % 3 {
                    // As if what became of the last tries had not been written down.
                    crate::store::sql(dir.path(), "UPDATE outbox SET state = 'pending', done_ms = NULL WHERE state = 'delivered' AND done_ms > 0
                        AND batch = (SELECT batch FROM outbox WHERE state = 'delivered' ORDER BY done_ms DESC, seq DESC LIMIT 1)");
                }
            }
            store.commit(&grouped(vec![], 100_000, now)).unwrap();
            let mut sender = sender(&store, &receiver);
            for _ in 0..200 {
                now += 600_000;
                sender.deliver_due(now).await;
            }
            let outbox = Outbox::open(dir.path()).unwrap();
            let left = (outbox.pending().unwrap().len(), outbox.dead_letters().unwrap().len());
            assert_eq!((left, outbox.delivered().unwrap().len()), ((0, 0), 2 * clients.len()), "all of it came");
            receiver.received()
        });
        let mut bodies: BTreeMap<String, axum::body::Bytes> = BTreeMap::new();
        for message in received {
            let first = bodies.entry(message.id()).or_insert_with(|| message.body.clone());
            prop_assert_eq!(&*first, &message.body, "the same id, another message");
        }
    }
}

/// A chat hears of an alert that goes on no more often than it wants to, and of its end at once.
#[test]
fn an_alert_that_goes_on_is_repeated_seldom() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(dir.path()).unwrap();
    for hour in 0..10 {
        let start = hour * 61;
        let hop = tripline_alert::Finding { quiet: i64::from(u32::MAX) * 1_000, ..finding("c", start, start + 5) };
        store.commit(&grouped(vec![hop], start + 5, T0 + hour * 3_660_000)).unwrap();
    }
    let pending = Outbox::open(dir.path()).unwrap().pending().unwrap();
    let told: Vec<_> = pending.iter().map(|e| (e.status.as_str(), (e.created_ms - T0) / 3_600_000)).collect();
    // (of updates that wait the newest is left)
    assert_eq!(told, [("firing", 0), ("updated", 8)]);
}

/// A clock that was ahead and is set back holds nothing up.
#[tokio::test]
async fn a_clock_that_is_set_back() {
    let receiver = Receiver::with_status(200).await;
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(dir.path()).unwrap();
    let year = 365 * 86_400_000;
    store.commit(&grouped(vec![finding("a", 0, 5)], 5, T0 + year)).unwrap();
    store.commit(&grouped(vec![finding("b", 0, 5)], 5, T0 + year + 1_000)).unwrap();
    store.commit(&commit(vec![finding("c", 0, 5)], 5, T0 + year)).unwrap();
    let mut sender = sender(&store, &receiver);
    assert!(sender.deliver_due(T0).await.delivered > 0);
    store.commit(&grouped(vec![finding("d", 0, 5)], 5, T0 + 1_000)).unwrap();
    sender.deliver_due(T0 + 1_000).await;
    assert_eq!(Outbox::open(dir.path()).unwrap().pending().unwrap(), []);
    // While it runs, too.
    store.commit(&commit(vec![finding("e", 0, 5)], 5, T0 + 2_000)).unwrap();
    sender.deliver_due(T0 - year).await;
    assert_eq!(Outbox::open(dir.path()).unwrap().pending().unwrap(), []);
}
