//! One request and its reply: status codes, pauses, redirects, receivers that hang or flood.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::response::{IntoResponse, Response};
use futures::stream;
use tripline_alert::deliver::try_out;
use tripline_alert::outbox::{Again, LeftAlone};
use tripline_alert::{Destination, Outbox, Outcome, Sender, Settings, Store, Timeouts};

use crate::support::{Received, Receiver, commit, destination, empty, finding, now_ms, secret, settings, with_header};

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
    assert_eq!(setup.outbox().left_alone().unwrap(), [left_alone(T0, true)], "which the other destinations are told");
    assert_eq!(setup.store.failing_destinations().unwrap(), ["soc"]);
}

/// Which client a message is about.
fn client(got: &Received) -> String {
    got.json()["data"]["entity"]["client"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn eleven_tries_over_a_day_then_a_dead_letter_that_can_be_revived() {
    // It chokes on one message, eleven times; others it takes, so that it is not left alone.
    let answer = |n, got: &Received| {
        let status = if n < 21 && client(got) == "192.0.2.1" { 503 } else { 204 };
        async move { empty(status) }
    };
    let receiver = Receiver::start(answer).await;
    let mut setup = Setup::new(receiver.destination("soc"), Timeouts::default());
    let mut now = T0;
    for attempt in 1..=10 {
        assert_eq!(setup.sender.deliver_due(now).await.retrying, 1);
        assert_eq!(setup.sender.deliver_due(now).await, Outcome::default(), "not due yet");
        let entry = setup.outbox().pending().unwrap().remove(0);
        assert_eq!(entry.attempts, attempt);
        setup.store.commit(&commit(vec![finding(&format!("192.0.2.10{attempt}"), 0, 5)], 5, now)).unwrap();
        assert_eq!(setup.sender.deliver_due(now).await.delivered, 1);
        now = entry.due_ms;
    }
    assert_eq!(setup.sender.deliver_due(now).await.dead, 1);
    let letter = setup.outbox().dead_letters().unwrap().remove(0);
    assert!(setup.outbox().retry(&letter.id, now).unwrap());
    assert!(!setup.outbox().retry("msg_unknown", now).unwrap());
    assert_eq!(setup.sender.deliver_due(now).await.delivered, 1);
    let all = receiver.received();
    let ids: Vec<_> = all.iter().filter(|got| client(got) == "192.0.2.1").map(Received::id).collect();
    assert_eq!(ids, vec![letter.id.clone(); 12], "one id through all of it");

    // Every try can be looked at, and what was delivered can be sent once more.
    let kept = setup.outbox().message(&letter.id[..12]).unwrap().unwrap();
    let tries = kept.attempts;
    assert_eq!((kept.entry.state.as_str(), kept.content.is_some(), tries.len()), ("delivered", true, 12));
    assert!(tries[..11].iter().all(|t| t.status == Some(503) && t.error.is_some()), "{tries:?}");
    assert_eq!((tries[11].status, &tries[11].error), (Some(204), &None));
    assert_eq!(setup.outbox().replay(&letter.id, now).unwrap(), Again::Due);
    assert_eq!(setup.outbox().replay(&letter.id, now).unwrap(), Again::NotNow);
    assert_eq!(setup.outbox().replay("msg_unknown", now).unwrap(), Again::Unknown);
    assert_eq!(setup.sender.deliver_due(now).await.delivered, 1);
    assert_eq!(receiver.received().last().unwrap().id(), letter.id);
    // A day later its content is gone.
    setup.store.commit(&commit(vec![], 5, now + 2 * 86_400_000)).unwrap();
    assert_eq!(setup.outbox().replay(&letter.id, now).unwrap(), Again::Forgotten);
}

#[tokio::test]
async fn a_receiver_that_fails_is_left_alone_and_no_message_pays_for_it() {
    let down = Arc::new(AtomicBool::new(true));
    let state = down.clone();
    let answer = move |_, _: &_| {
        let status = if state.load(Ordering::Relaxed) { 500 } else { 200 };
        async move { empty(status) }
    };
    let receiver = Receiver::start(answer).await;
    let mut setup = Setup::new(receiver.destination("soc"), Timeouts::default());
    setup.store.commit(&commit((2..=20).map(|n| finding(&format!("192.0.2.{n}"), 0, 5)).collect(), 5, T0)).unwrap();
    // Eight at a time: five open the breaker, others were under way.
    let tried = setup.sender.deliver_due(T0).await.retrying;
    assert!((5..=12).contains(&tried), "{tried}");
    assert_eq!(setup.outbox().left_alone().unwrap(), [left_alone(T0, false)]);
    let mut now = T0;
    for pause_s in [30, 60, 120, 240, 480, 600, 600] {
        assert_eq!(setup.sender.deliver_due(now + pause_s * 1_000 - 1).await, Outcome::default());
        now += pause_s * 1_000;
        assert_eq!(setup.sender.deliver_due(now).await.retrying, 1, "one probe after {pause_s} s");
    }
    let pending = setup.outbox().pending().unwrap();
    assert_eq!(pending.iter().map(|e| e.attempts).sum::<u32>(), 5, "probes cost no tries");
    down.store(false, Ordering::Relaxed);
    now += 600_000;
    assert_eq!(setup.sender.deliver_due(now).await.delivered, 20, "all of it once a probe succeeds");
    assert_eq!(setup.outbox().left_alone().unwrap(), []);
}

fn left_alone(since_ms: i64, gone: bool) -> LeftAlone {
    LeftAlone { destination: "soc".into(), since_ms, gone }
}

/// What a receiver that is down for three days was not told is given up: counted by the time in which it was tried, and not by a
/// clock that jumps or a machine that was off.
#[tokio::test]
async fn three_days_of_vain_tries_end_and_a_jump_of_the_clock_is_not_days() {
    const DAY: i64 = 86_400_000;
    let receiver = Receiver::with_status(503).await;
    let mut setup = Setup::new(receiver.destination("soc"), Timeouts::default());
    setup.store.commit(&commit((2..=9).map(|n| finding(&format!("192.0.2.{n}"), 0, 5)).collect(), 5, T0)).unwrap();
    let mut now = T0;
    let pending = |setup: &Setup| setup.outbox().pending().unwrap().len();
    // At work for so long, look by look.
    let work = async |setup: &mut Setup, now: &mut i64, ms: i64| {
        let end = *now + ms;
        while *now < end {
            *now += 60_000;
            setup.sender.deliver_due(*now).await;
        }
    };
    work(&mut setup, &mut now, DAY).await;
    // The clock jumps, the machine sleeps, nothing runs.
    now += 400 * DAY;
    work(&mut setup, &mut now, DAY).await;
    now += 30 * DAY;
    setup.sender = Sender::new(&setup.store, vec![receiver.destination("soc")], Timeouts::default()).unwrap();
    setup.store.commit(&commit(vec![finding("192.0.2.99", 0, 5)], 5, now)).unwrap();
    // A new process has to find out again that the receiver is down.
    work(&mut setup, &mut now, DAY / 2).await;
    assert_eq!((pending(&setup), setup.outbox().dead_letters().unwrap().len()), (10, 0));
    work(&mut setup, &mut now, DAY).await;
    assert_eq!((pending(&setup), setup.outbox().dead_letters().unwrap().len()), (1, 9), "but the newest");
    let so_far = setup.sender.tries().so_far();
    assert_eq!(so_far["soc"].dead, 9);
    // Revived, they have three days again.
    let letter = setup.outbox().dead_letters().unwrap().remove(0);
    assert!(setup.outbox().retry(&letter.id, now).unwrap());
    work(&mut setup, &mut now, DAY / 2).await;
    assert_eq!(pending(&setup), 2);
}

#[tokio::test]
async fn a_receiver_gets_no_more_a_minute_than_it_asked_for() {
    let receiver = Receiver::with_status(200).await;
    let settings = Settings { per_minute: Some(3), ..settings("soc", &receiver.url()) };
    let mut setup = Setup::new(Destination::new(&settings, secret).unwrap(), Timeouts::default());
    setup.store.commit(&commit((2..=8).map(|n| finding(&format!("192.0.2.{n}"), 0, 5)).collect(), 5, T0)).unwrap();
    for (at, delivered) in [(0, 3), (59_999, 0), (60_000, 3), (119_999, 0), (120_000, 2)] {
        assert_eq!(setup.sender.deliver_due(T0 + at).await.delivered, delivered, "after {at} ms");
    }
}

#[tokio::test]
async fn a_key_goes_into_the_header_or_the_body() {
    let receiver = Receiver::with_status(202).await;
    for style in ["ecs", "pagerduty"] {
        let settings =
            Settings { style: style.into(), key_env: Some("KEY".into()), ..settings("soc", &receiver.url()) };
        let env = |name: &str| Some(if name == "KEY" { "ApiKey c2VjcmV0\n".to_owned() } else { secret(name)? });
        let mut setup = Setup::new(Destination::new(&settings, env).unwrap(), Timeouts::default());
        assert_eq!(setup.sender.deliver_due(T0).await.delivered, 1);
    }
    let [elastic, pagerduty] = receiver.received().try_into().unwrap();
    assert_eq!(elastic.headers["authorization"], "ApiKey c2VjcmV0");
    assert!(!elastic.json().to_string().contains("c2VjcmV0"));
    assert_eq!(pagerduty.json()["routing_key"], "ApiKey c2VjcmV0");
    assert!(!pagerduty.headers.contains_key("authorization"));
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

/// A reply that comes byte by byte is left when its time is up: what it says has been read before.
#[tokio::test]
async fn a_byte_now_and_then() {
    let answer = |_, _: &_| async {
        let drip = stream::unfold((), |()| async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            Some((Ok::<_, std::io::Error>(Bytes::from_static(b"x")), ()))
        });
        Body::from_stream(drip).into_response()
    };
    let receiver = Receiver::start(answer).await;
    let mut setup = Setup::new(receiver.destination("soc"), impatient());
    assert_eq!(setup.sender.deliver_due(T0).await.delivered, 1);
}

#[tokio::test]
async fn a_name_that_resolves_to_nothing_is_tried_again() {
    let mut setup = Setup::new(destination("soc", "https://nothing.invalid/canary"), Timeouts::default());
    assert_eq!(setup.sender.deliver_due(T0).await.retrying, 1);
    let error = setup.outbox().pending().unwrap().remove(0).last_error.unwrap();
    assert!(!error.is_empty() && !error.contains("canary"), "{error}");
}

/// The address is looked at when it is called, whatever the name said before.
#[tokio::test]
async fn a_name_that_leads_where_nobody_may_go_is_not_called() {
    let receiver = Receiver::with_status(200).await;
    let url = format!("http://localhost:{}/canary", receiver.address.port());
    let strict = Settings { network: "public".into(), ..settings("soc", &url) };
    let mut setup = Setup::new(Destination::new(&strict, secret).unwrap(), Timeouts::default());
    assert_eq!(setup.sender.deliver_due(T0).await.retrying, 1);
    let error = setup.outbox().pending().unwrap().remove(0).last_error.unwrap();
    assert!(error.contains("never called") && !error.contains("canary"), "{error}");
    assert_eq!(receiver.received().len(), 0);
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

/// Who tries a destination out is told what the receiver wrote, unless that repeats what is secret.
#[tokio::test]
async fn a_test_shows_the_reply() {
    for (reply, shown) in [("no such\n\u{1b}[2Jchannel", true), ("no webhook at /T0/canary-canary", false)] {
        let answer = move |_, _: &_| async move { (axum::http::StatusCode::NOT_FOUND, reply).into_response() };
        let receiver = Receiver::start(answer).await;
        let url = format!("http://{}/T0/canary-canary", receiver.address);
        let alert = tripline_alert::Lifecycle::default().observe(finding("192.0.2.1", 0, 5)).unwrap();
        let tested = try_out(destination("soc", &url), &[alert], Timeouts::default(), T0).await.unwrap();
        let error = tested[0].attempt.error.clone().unwrap();
        let line = if shown { ": no such \u{1b}[2Jchannel" } else { "" };
        assert_eq!(error, format!("the receiver answered 404{line}"));
    }
}
