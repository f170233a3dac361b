//! What who watches the program sees of alerts, outbox and tries.

use tripline_alert::figures::{Figures, OutboxFigures};
use tripline_alert::{Outcome, Sender, Store, Timeouts};

use crate::support::{Receiver, commit, finding};

#[tokio::test]
async fn figures_follow_what_is_committed_and_sent() {
    let receiver = Receiver::with_status(200).await;
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(dir.path()).unwrap();
    let figures = Figures::open(dir.path()).unwrap();
    assert_eq!((figures.open_alerts().unwrap(), figures.outbox().unwrap()), (vec![], vec![]));

    store.commit(&commit(vec![finding("192.0.2.1", 0, 5)], 5, 1_000)).unwrap();
    store.commit(&commit(vec![finding("192.0.2.2", 0, 5)], 5, 2_000)).unwrap();
    assert_eq!(figures.open_alerts().unwrap(), [("pack/rule".to_owned(), 2)]);
    let waiting = OutboxFigures { destination: "soc".into(), pending: 2, oldest_ms: 1_000 };
    assert_eq!(figures.outbox().unwrap(), [waiting]);

    let mut sender = Sender::new(&store, vec![receiver.destination("soc")], Timeouts::default()).unwrap();
    let tries = sender.tries();
    sender.deliver_due(5_000).await;
    assert_eq!(figures.outbox().unwrap(), []);
    assert_eq!(tries.so_far()["soc"], Outcome { delivered: 2, ..Outcome::default() });
    // An hour without findings: the alerts are over.
    store.commit(&commit(vec![], 1_000, 6_000)).unwrap();
    assert_eq!(figures.open_alerts().unwrap(), []);
    assert_eq!(figures.outbox().unwrap()[0].pending, 2);
}
