//! One request and its reply: status codes, pauses, redirects, receivers that hang or flood.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::response::{IntoResponse, Response};
use futures::stream;
use tripline_alert::{Destination, Outbox, Outcome, Sender, Store, Timeouts};

use crate::support::{Receiver, commit, destination, empty, finding, now_ms, with_header};

const T0: i64 = 1_700_000_000_000; // Tue, 14 Nov 2023 22:13:20 GMT

/// A store with one message, and a sender for it.
struct Setup {
    dir: tempfile::TempDir,
    store: Store,
    sender: Sender,
}

impl Setup {
    fn new(destination: Destination, timeouts: Timeouts) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::open(dir.path()).unwrap();
        store.commit(&commit(vec![finding("192.0.2.1", 0, 5)], 5, T0)).unwrap();
        let sender = Sender::new(&store, vec![destination], timeouts).unwrap();
        Self { dir, store, sender }
    }

    fn outbox(&self) -> Outbox {
        Outbox::open(self.dir.path()).unwrap()
    }
}

fn impatient() -> Timeouts {
    Timeouts { connect: Duration::from_millis(300), whole: Duration::from_millis(300), ..Timeouts::default() }
}

#[tokio::test]
async fn status_times_policy() {
    let delivered = Outcome { delivered: 1, ..Outcome::default() };
    let retrying = Outcome { retrying: 1, ..Outcome::default() };
    let dead = Outcome { dead: 1, ..Outcome::default() };
    let gone = Outcome { refused: 1, ..Outcome::default() };
    for (statuses, expected, pending, dead_letters) in [
        (vec![200, 202, 204, 299], delivered, 0, 0),
        (vec![400, 413, 415, 422], dead, 0, 1),
        (vec![300, 304, 401, 403, 404, 408, 409, 429, 500, 502, 503, 504, 599], retrying, 1, 0),
    ] {
        for status in statuses {
            let receiver = Receiver::with_status(status).await;
            let mut setup = Setup::new(receiver.destination("soc"), Timeouts::default());
            assert_eq!(setup.sender.deliver_due(T0).await, expected, "{status}");
            assert_eq!(receiver.received().len(), 1, "{status}");
            let (waiting, given_up) = (setup.outbox().pending().unwrap(), setup.outbox().dead_letters().unwrap());
            assert_eq!((waiting.len(), given_up.len()), (pending, dead_letters), "{status}");
            for entry in waiting.iter().chain(&given_up) {
                assert_eq!(
                    (entry.attempts, entry.last_error.clone()),
                    (1, Some(format!("the receiver answered {status}")))
                );
            }
        }
    }
    let receiver = Receiver::with_status(410).await;
    let mut setup = Setup::new(receiver.destination("soc"), Timeouts::default());
    assert_eq!(setup.sender.deliver_due(T0).await, gone);
    assert_eq!(setup.sender.deliver_due(i64::MAX).await, Outcome::default(), "nothing is sent to it any more");
    assert_eq!(receiver.received().len(), 1);
    assert_eq!(setup.outbox().pending().unwrap()[0].attempts, 0, "and the message is kept");
}

#[tokio::test]
async fn eleven_tries_over_a_day_then_a_dead_letter_that_can_be_revived() {
    let receiver = Receiver::start(|n, _| async move { empty(if n < 11 { 503 } else { 204 }) }).await;
    let mut setup = Setup::new(receiver.destination("soc"), Timeouts::default());
    let mut now = T0;
    for attempt in 1..=10 {
        assert_eq!(setup.sender.deliver_due(now).await.retrying, 1);
        assert_eq!(setup.sender.deliver_due(now).await, Outcome::default(), "not due yet");
        let entry = setup.outbox().pending().unwrap().remove(0);
        assert_eq!(entry.attempts, attempt);
        now = entry.due_ms;
    }
    assert_eq!(setup.sender.deliver_due(now).await.dead, 1);
    let letter = setup.outbox().dead_letters().unwrap().remove(0);
    assert!(setup.outbox().retry(&letter.id, now).unwrap());
    assert!(!setup.outbox().retry("msg_unknown", now).unwrap());
    assert_eq!(setup.sender.deliver_due(now).await.delivered, 1);
    let ids: Vec<_> = receiver.received().iter().map(crate::support::Received::id).collect();
    assert_eq!(ids, vec![letter.id; 12], "one id through all of it");
}

#[tokio::test]
async fn retry_after_holds_the_whole_destination() {
    for (header, pause_s) in [
        ("120", 120),
        ("Tue, 14 Nov 2023 22:15:20 GMT", 120),
        ("86400", 3_600),
        ("Fri, 17 Nov 2023 00:00:00 GMT", 3_600),
        // Sooner than the schedule, in the past, nonsense: the schedule holds.
        ("1", 5),
        ("Tue, 14 Nov 2023 22:00:00 GMT", 5),
        ("soon", 5),
    ] {
        let answer = move |n, _: &_| async move {
            if n == 0 { with_header(429, Some(("retry-after", header.into()))) } else { empty(200) }
        };
        let receiver = Receiver::start(answer).await;
        let mut setup = Setup::new(receiver.destination("soc"), Timeouts::default());
        assert_eq!(setup.sender.deliver_due(T0).await.retrying, 1);
        let due = setup.outbox().pending().unwrap()[0].due_ms;
        assert!((T0 + pause_s * 1_000..=T0 + pause_s * 1_200).contains(&due), "{header}: {due}");
        if pause_s > 5 {
            // Another alert is due at once, but the destination asked for a pause.
            setup.store.commit(&commit(vec![finding("192.0.2.2", 0, 5)], 5, T0)).unwrap();
            assert_eq!(setup.sender.deliver_due(T0 + pause_s * 1_000 - 1).await, Outcome::default(), "{header}");
            assert_eq!(setup.sender.deliver_due(T0 + pause_s * 1_000).await.delivered, 2, "{header}");
        }
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    for status in [301, 302, 303, 307, 308] {
        let elsewhere = Receiver::with_status(200).await;
        let target = elsewhere.url();
        let answer = move |_, _: &_| {
            let target = target.clone();
            async move { with_header(status, Some(("location", target))) }
        };
        let receiver = Receiver::start(answer).await;
        let mut setup = Setup::new(receiver.destination("soc"), Timeouts::default());
        assert_eq!(setup.sender.deliver_due(T0).await.retrying, 1, "{status}");
        assert_eq!((receiver.received().len(), elsewhere.received().len()), (1, 0), "{status}");
    }
}

#[tokio::test]
async fn a_receiver_that_never_answers_is_left() {
    let receiver = Receiver::start(|_, _| std::future::pending::<Response>()).await;
    let mut setup = Setup::new(receiver.destination("soc"), impatient());
    assert_eq!(setup.sender.deliver_due(T0).await.retrying, 1);
    let error = setup.outbox().pending().unwrap().remove(0).last_error.unwrap();
    assert_eq!(error, "no answer within 300ms");
}

#[tokio::test]
async fn a_body_that_hangs_changes_nothing() {
    for (status, delivered) in [(200, 1), (500, 0)] {
        let answer = move |_, _: &_| async move {
            let mut response = Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>()).into_response();
            *response.status_mut() = axum::http::StatusCode::from_u16(status).unwrap();
            response
        };
        let receiver = Receiver::start(answer).await;
        let mut setup = Setup::new(receiver.destination("soc"), impatient());
        assert_eq!(setup.sender.deliver_due(T0).await.delivered, delivered);
    }
}

#[tokio::test]
async fn of_an_endless_reply_little_is_read() {
    let sent = Arc::new(AtomicUsize::new(0));
    let count = sent.clone();
    let answer = move |_, _: &_| {
        let count = count.clone();
        async move {
            let chunks = stream::repeat_with(move || {
                count.fetch_add(64 << 10, Ordering::Relaxed);
                Ok::<_, std::io::Error>(Bytes::from(vec![b'x'; 64 << 10]))
            });
            Body::from_stream(chunks).into_response()
        }
    };
    let receiver = Receiver::start(answer).await;
    // Whoever reads it all reads for a minute.
    let mut setup =
        Setup::new(receiver.destination("soc"), Timeouts { whole: Duration::from_mins(1), ..Timeouts::default() });
    assert_eq!(setup.sender.deliver_due(T0).await.delivered, 1);
    // The sockets' buffers take some megabytes.
    assert!(sent.load(Ordering::Relaxed) < 64 << 20, "{} bytes", sent.load(Ordering::Relaxed));
}

#[tokio::test]
async fn nobody_there() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let mut setup = Setup::new(destination("soc", &format!("http://{address}/canary")), Timeouts::default());
    assert_eq!(setup.sender.deliver_due(T0).await.retrying, 1);
    let error = setup.outbox().pending().unwrap().remove(0).last_error.unwrap();
    assert!(error.contains("refused") && !error.contains("canary"), "{error}");
}

#[tokio::test]
async fn plain_http_where_tls_is_wanted_fails_and_is_kept() {
    let receiver = Receiver::with_status(200).await;
    let url = receiver.url().replace("http://", "https://");
    let mut setup = Setup::new(destination("soc", &url), Timeouts::default());
    assert_eq!(setup.sender.deliver_due(T0).await.retrying, 1);
    assert_eq!(receiver.received().len(), 0);
}

#[tokio::test]
async fn the_signature_is_what_standard_webhooks_says() {
    let receiver = Receiver::with_status(200).await;
    let mut destination = receiver.destination("soc");
    let newer = format!("whsec_{}", "QUJD".repeat(10));
    destination.secrets.extend(tripline_alert::Secret::parse_all(&newer).unwrap());
    let mut setup = Setup::new(destination, Timeouts::default());
    assert_eq!(setup.sender.deliver_due(now_ms()).await.delivered, 1);
    let got = receiver.received().remove(0);
    assert_eq!(got.headers["content-type"], "application/json");
    assert_eq!(got.kind(), "alert.firing");
    for secret in [crate::support::SECRET, &newer] {
        let oracle = standardwebhooks::Webhook::new(secret).unwrap();
        oracle.verify(&got.body, &got.headers).unwrap();
        let mut forged = got.body.to_vec();
        forged[10] ^= 1;
        oracle.verify(&forged, &got.headers).unwrap_err();
    }
    let other = standardwebhooks::Webhook::new(&format!("whsec_{}", "QUJE".repeat(10))).unwrap();
    other.verify(&got.body, &got.headers).unwrap_err();
}
