//! A canary in every secret, searched for in everything that the crate writes or says.

use std::io;
use std::sync::{Arc, Mutex};

use tripline_alert::{Destination, Outbox, Sender, Settings, Store, Timeouts};

use crate::support::{Receiver, commit, finding, with_header};

/// As text, and as the base64 of it (24 bytes: no padding) that a secret is written in.
const CANARY: &str = "canary-canary-canary-24b";
const ENCODED: &str = "Y2FuYXJ5LWNhbmFyeS1jYW5hcnktMjRi";

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn no_secret_is_shown_anywhere() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber =
        tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(move || writer.clone()).finish();
    // This test's thread only: the runtime is single-threaded.
    let _guard = tracing::subscriber::set_default(subscriber);
    // What another test's thread met first while this subscriber came would stay unheard.
    let mut shown = deliver(&format!("http://127.0.0.1:1/{CANARY}")).await;
    tracing::callsite::rebuild_interest_cache();

    // Receivers that repeat what they were told: in the reply, in the place to go to.
    for status in [200, 302, 400, 404, 410, 500] {
        let answer = move |_, got: &crate::support::Received| {
            let back = got.path.clone();
            async move { with_header(status, Some(("location", back))) }
        };
        let receiver = Receiver::start(answer).await;
        shown += &deliver(&format!("http://{}/{CANARY}?key={CANARY}", receiver.address)).await;
        assert!(receiver.received()[0].path.contains(CANARY));
    }
    // Nobody there; no TLS there; a name that does not exist.
    shown += &deliver(&format!("http://127.0.0.1:1/{CANARY}")).await;
    let receiver = Receiver::with_status(200).await;
    shown += &deliver(&format!("https://{}/{CANARY}", receiver.address)).await;
    shown += &deliver(&format!("https://name.invalid/{CANARY}")).await;

    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(log.contains("not delivered"), "the log was caught");
    for (place, text) in [("log", &log), ("output", &shown)] {
        for canary in [CANARY, ENCODED] {
            assert!(!text.contains(canary), "{place}: {text}");
        }
    }
}

/// Sends one alert; returns all that could be shown of it, the state file included.
async fn deliver(url: &str) -> String {
    let dir = tempfile::tempdir().unwrap();
    let secret_file = dir.path().join("soc.secret");
    std::fs::write(&secret_file, format!("whsec_{ENCODED}")).unwrap();
    let settings = Settings {
        name: "soc".into(),
        url: url.into(),
        style: "native".into(),
        allow_http: true,
        secret_file: Some(secret_file),
        ..Settings::default()
    };
    let destination = Destination::new(&settings, |_| None).unwrap();
    let state = dir.path().join("state");
    let mut store = Store::open(&state).unwrap();
    store.commit(&commit(vec![finding("192.0.2.1", 0, 5)], 5, 0)).unwrap();
    let mut shown = vec![format!("{destination:?}")];
    let mut sender = Sender::new(&store, vec![destination], Timeouts::default()).unwrap();
    let outcome = sender.deliver_due(0).await;
    shown.push(format!("{outcome:?} {sender:?} {store:?}"));
    let outbox = Outbox::open(&state).unwrap();
    shown.push(format!("{:?} {:?}", outbox.pending().unwrap(), outbox.dead_letters().unwrap()));
    // (Segments hold the engine's rows, which know no destinations.)
    let entries = std::fs::read_dir(&state).unwrap().map(|entry| entry.unwrap().path());
    for file in entries.filter(|path| path.is_file()) {
        let bytes = std::fs::read(file).unwrap();
        shown.push(String::from_utf8_lossy(&bytes).into_owned());
    }
    shown.concat()
}
