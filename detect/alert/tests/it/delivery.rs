//! The way from a commit to a receiver: order, crashes, several destinations, start and end.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tripline_alert::{Commit, Outbox, Outcome, Sender, Store, Timeouts};

use crate::store::sql;
use crate::support::{Received, Receiver, commit, destination, empty, finding, now_ms};

fn sender(store: &Store, receiver: &Receiver) -> Sender {
    Sender::new(store, vec![receiver.destination("soc")], Timeouts::default()).unwrap()
}

fn kinds(received: &[Received]) -> Vec<(String, u64)> {
    received.iter().map(|r| (r.kind(), r.json()["data"]["sequence"].as_u64().unwrap())).collect()
}

/// Firing, an update, resolved.
fn life(client: &str) -> Commit {
    commit(vec![finding(client, 0, 60), finding(client, 60, 120)], 1_000, 0)
}

#[tokio::test]
async fn one_alert_in_order_others_beside_it() {
    let answer = |_: usize, got: &Received| {
        let down = got.json()["data"]["entity"]["client"] == "192.0.2.1";
        async move { empty(if down { 503 } else { 200 }) }
    };
    let receiver = Receiver::start(answer).await;
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(dir.path()).unwrap();
    store.commit(&life("192.0.2.1")).unwrap();
    store.commit(&life("192.0.2.2")).unwrap();
    let outcome = sender(&store, &receiver).deliver_due(0).await;
    assert_eq!(outcome, Outcome { delivered: 3, retrying: 1, ..Outcome::default() });
    let of = |client: &str| {
        receiver.received().into_iter().filter(|r| r.json()["data"]["entity"]["client"] == client).collect::<Vec<_>>()
    };
    let expected: Vec<_> =
        [("alert.firing", 1), ("alert.updated", 2), ("alert.resolved", 3)].map(|(k, n)| (k.to_owned(), n)).into();
    assert_eq!(kinds(&of("192.0.2.2")), expected);
    assert_eq!(kinds(&of("192.0.2.1")), expected[..1], "what follows waits for the first");
}

#[tokio::test]
async fn more_than_one_batch_and_every_id_once() {
    let receiver = Receiver::with_status(200).await;
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(dir.path()).unwrap();
    let clients: Vec<String> = (0..50).map(|n| format!("192.0.2.{n}")).collect();
    store.commit(&commit(clients.iter().map(|c| finding(c, 0, 5)).collect(), 5, 0)).unwrap();
    assert_eq!(sender(&store, &receiver).deliver_due(0).await.delivered, 50);
    let ids: BTreeSet<String> = receiver.received().iter().map(Received::id).collect();
    assert_eq!((ids.len(), receiver.received().len()), (50, 50));
    assert!(Outbox::open(dir.path()).unwrap().pending().unwrap().is_empty());
}

/// With a full disk it is not known afterwards that a message was delivered: the receiver must not get it every few seconds.
#[tokio::test]
async fn what_cannot_be_recorded_is_not_sent_again() {
    let receiver = Receiver::with_status(200).await;
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(dir.path()).unwrap();
    store.commit(&life("192.0.2.1")).unwrap();
    sql(dir.path(), "CREATE TRIGGER t BEFORE UPDATE ON outbox BEGIN SELECT raise(ABORT, 'not now'); END");
    let mut sender = sender(&store, &receiver);
    for time in 0..3 {
        assert_eq!(sender.deliver_due(time).await.store_errors, 1);
        assert_eq!(receiver.received().len(), 1);
    }
    sql(dir.path(), "DROP TRIGGER t");
    assert_eq!(sender.deliver_due(3).await.delivered, 2);
    assert_eq!(receiver.received().len(), 3);
    assert!(Outbox::open(dir.path()).unwrap().pending().unwrap().is_empty());
}

#[tokio::test]
async fn a_crash_between_commit_and_send() {
    let receiver = Receiver::with_status(200).await;
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(dir.path()).unwrap();
    store.commit(&life("192.0.2.1")).unwrap();
    let committed: Vec<String> =
        Outbox::open(dir.path()).unwrap().pending().unwrap().into_iter().map(|e| e.id).collect();
    drop(store);

    let mut store = Store::open(dir.path()).unwrap();
    // The engine goes back to its last checkpoint too, and may tell the same once more.
    store.commit(&life("192.0.2.1")).unwrap();
    assert_eq!(sender(&store, &receiver).deliver_due(0).await.delivered, 3);
    assert_eq!(receiver.received().iter().map(Received::id).collect::<Vec<_>>(), committed);
}

#[tokio::test]
async fn a_crash_between_send_and_record() {
    let arrived = Arc::new(Notify::new());
    let tell = arrived.clone();
    let answer = move |n, _: &Received| {
        let tell = tell.clone();
        async move {
            if n == 0 {
                tell.notify_one();
                std::future::pending::<()>().await;
            }
            empty(200)
        }
    };
    let receiver = Receiver::start(answer).await;
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(dir.path()).unwrap();
    store.commit(&commit(vec![finding("192.0.2.1", 0, 5)], 5, 0)).unwrap();
    let mut first = sender(&store, &receiver);
    tokio::select! {
        _ = first.deliver_due(0) => panic!("it was never answered"),
        () = arrived.notified() => {}
    }
    drop((first, store));

    let store = Store::open(dir.path()).unwrap();
    assert_eq!(sender(&store, &receiver).deliver_due(0).await.delivered, 1);
    let got = receiver.received();
    assert_eq!(got.len(), 2);
    assert_eq!((got[0].id(), &got[0].body), (got[1].id(), &got[1].body), "the same message under the same id");
}

#[tokio::test]
async fn destinations_are_told_apart() {
    let receiver = Receiver::with_status(200).await;
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(dir.path()).unwrap();
    let both = |c: Commit| Commit { destinations: vec!["soc".into(), "chat".into()], ..c };
    store.commit(&both(commit(vec![finding("192.0.2.1", 0, 5)], 5, 0))).unwrap();
    let twice = vec![receiver.destination("soc"), receiver.destination("soc")];
    assert!(Sender::new(&store, twice, Timeouts::default()).unwrap_err().to_string().contains("another destination"));
    assert_eq!(sender(&store, &receiver).deliver_due(0).await.delivered, 1);
    let left = Outbox::open(dir.path()).unwrap().pending().unwrap();
    assert_eq!(
        left.iter().map(|e| e.destination.as_str()).collect::<Vec<_>>(),
        ["chat"],
        "it waits for its destination"
    );
    assert_ne!(left[0].id, receiver.received()[0].id());
}

#[tokio::test]
async fn one_that_hangs_delays_none_of_nine_others_and_the_end_comes() {
    let hangs = Receiver::start(|_, _| std::future::pending()).await;
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let works = Receiver::start(move |_, got| {
        tell.send(got.id()).unwrap();
        async { empty(200) }
    })
    .await;
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(dir.path()).unwrap();
    // The one that hangs is given up only after the test would have been.
    let timeouts = Timeouts { whole: Duration::from_hours(1), drain: Duration::from_secs(1), ..Timeouts::default() };
    let healthy: Vec<String> = (1..=9).map(|n| format!("works-{n}")).collect();
    let destinations =
        [hangs.destination("hangs")].into_iter().chain(healthy.iter().map(|name| works.destination(name)));
    let sender = Sender::new(&store, destinations.collect(), timeouts).unwrap();
    let waker = sender.waker();
    let (shutdown, ended) = watch::channel(false);
    let running = tokio::spawn(sender.run(ended, Arc::new(now_ms)));
    // The lanes look at the outbox, find nothing and wait: the first commit below finds them asleep.
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
    for n in 0..20 {
        let names = ["hangs"].into_iter().chain(healthy.iter().map(String::as_str)).map(Into::into).collect();
        store
            .commit(&Commit {
                destinations: names,
                ..commit(vec![finding(&format!("192.0.2.{n}"), 0, 5)], 5, now_ms())
            })
            .unwrap();
        waker.wake();
        // Nobody who was not woken looks before half a minute has passed: this is no measurement.
        for _ in &healthy {
            tokio::time::timeout(Duration::from_secs(20), told.recv()).await.unwrap().unwrap();
        }
    }
    drop(shutdown);
    // The lane that hangs is cut off.
    running.await.unwrap();
    let left = Outbox::open(dir.path()).unwrap().pending().unwrap();
    assert_eq!(left.iter().filter(|e| e.destination != "hangs").count(), 0);
    assert_eq!(left.iter().filter(|e| e.destination == "hangs").count(), 20);
}

/// Nor does one request that hangs delay other alerts' at the same receiver: each that is answered makes room for the next.
#[tokio::test]
async fn a_request_that_hangs_delays_no_other_alert() {
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let receiver = Receiver::start(move |_, got| {
        let hangs = got.json()["data"]["entity"]["client"] == "192.0.2.0";
        tell.send(got.id()).unwrap();
        async move {
            if hangs {
                std::future::pending::<()>().await;
            }
            empty(200)
        }
    })
    .await;
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(dir.path()).unwrap();
    let timeouts = Timeouts { whole: Duration::from_hours(1), drain: Duration::from_secs(1), ..Timeouts::default() };
    let sender = Sender::new(&store, vec![receiver.destination("soc")], timeouts).unwrap();
    let clients = (0..40).map(|n| finding(&format!("192.0.2.{n}"), 0, 5));
    store.commit(&commit(clients.collect(), 1_000, now_ms())).unwrap();
    let (shutdown, ended) = watch::channel(false);
    let running = tokio::spawn(sender.run(ended, Arc::new(now_ms)));
    // All but the end of the one that hangs.
    for _ in 0..79 {
        tokio::time::timeout(Duration::from_secs(20), told.recv()).await.unwrap().unwrap();
    }
    drop(shutdown);
    running.await.unwrap();
    let left = Outbox::open(dir.path()).unwrap().pending().unwrap();
    assert_eq!(left.iter().map(|e| e.sequence).collect::<Vec<_>>(), [1, 2], "of the one that hangs");
}

#[tokio::test]
async fn a_message_that_cannot_be_read_is_a_dead_letter_and_blocks_nothing() {
    let receiver = Receiver::with_status(200).await;
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(dir.path()).unwrap();
    store.commit(&life("192.0.2.1")).unwrap();
    let db = rusqlite::Connection::open(dir.path().join("state.db")).unwrap();
    db.execute("UPDATE outbox SET alert = '{}' WHERE status = 'firing'", []).unwrap();
    let outcome = sender(&store, &receiver).deliver_due(0).await;
    assert_eq!(outcome, Outcome { delivered: 2, dead: 1, ..Outcome::default() });
}

#[tokio::test]
async fn a_name_is_resolved_and_called() {
    let receiver = Receiver::with_status(200).await;
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(dir.path()).unwrap();
    store.commit(&commit(vec![finding("192.0.2.1", 0, 5)], 5, 0)).unwrap();
    let url = format!("http://localhost:{}/hook", receiver.address.port());
    let mut sender = Sender::new(&store, vec![destination("soc", &url)], Timeouts::default()).unwrap();
    assert_eq!(sender.deliver_due(0).await.delivered, 1);
}

#[tokio::test]
async fn what_is_due_at_the_end_is_sent_once_more() {
    let receiver = Receiver::with_status(200).await;
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(dir.path()).unwrap();
    store.commit(&commit(vec![finding("192.0.2.1", 0, 5)], 5, 0)).unwrap();
    let (_shutdown, ended) = watch::channel(true);
    sender(&store, &receiver).run(ended, Arc::new(now_ms)).await;
    assert_eq!(receiver.received().len(), 1);
}
