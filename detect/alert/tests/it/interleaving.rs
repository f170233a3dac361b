//! Whatever comes between: commits, replies, kills, a clock that jumps, logs that are read at different paces. What receivers get
//! is legal, in order, and all of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use futures::future::{Either, select};
use proptest::prelude::*;
use tripline_alert::{Alert, Finding, Outbox, Phase, Sender, Status, Store, Timeouts};

use crate::support::{MINUTE, Receiver, commit, empty, finding, with_header};

const T0: i64 = 1_700_000_000_000;
const DAY: i64 = 86_400_000;
/// Windows are so long and so far apart, minutes.
const LENGTH: i64 = 10;
const SLIDE: i64 = 5;
const WINDOWS: i64 = 40;

/// What an entity does in one window: the minutes, from its start, at which what was read of one log, and of the other, settles it.
type Hop = (u8, i64, [i64; 2]);

/// Something happens.
#[derive(Debug, Clone)]
enum Step {
    /// The logs are read on, each by so many minutes; all that is settled and closed by then is committed.
    Read([i64; 2]),
    /// The sender works.
    Send,
    /// The same, and is killed after so many polls.
    Killed(usize),
    /// The clock goes on, or is set, ms.
    Clock(i64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => [0..40_i64, 0..40_i64].prop_map(Step::Read),
        4 => Just(Step::Send),
        2 => (1..12_usize).prop_map(Step::Killed),
        4 => prop_oneof![0..20_000_i64, 0..400_000_i64, 0..30_000_000_i64].prop_map(Step::Clock),
        1 => prop_oneof![Just(10 * DAY), Just(-10 * DAY), Just(400 * DAY), Just(-400 * DAY)].prop_map(Step::Clock),
    ];
    prop::collection::vec(step, 1..60)
}

/// The logs and how far each was read, minutes.
#[derive(Debug)]
struct Logs<'a> {
    hops: &'a BTreeSet<Hop>,
    read: [i64; 2],
    early: BTreeSet<Hop>,
}

impl Logs<'_> {
    /// Reads on. What the engine would tell, and the watermark.
    fn advance(&mut self, by: [i64; 2]) -> (Vec<Finding>, i64) {
        let before = self.read[0].min(self.read[1]);
        self.read = [0, 1].map(|log| self.read[log] + by[log]);
        let watermark = self.read[0].min(self.read[1]);
        let mut findings = Vec::new();
        for &hop in self.hops {
            let (client, n, settled) = hop;
            let (start, end) = (n * SLIDE, n * SLIDE + LENGTH);
            let of = |phase, at| Finding {
                phase,
                detected_at: at * MINUTE,
                watermark: at * MINUTE,
                ..finding(&format!("192.0.2.{client}"), start, end)
            };
            // Whichever log gets there first, while the window is open.
            let at = [0, 1].into_iter().find(|&log| {
                (start + 1..end).contains(&(start + settled[log])) && self.read[log] >= start + settled[log]
            });
            if let Some(log) = at.filter(|_| end > before && self.early.insert(hop)) {
                findings.push(of(Phase::Early, start + settled[log]));
            }
            if (before + 1..=watermark).contains(&end) {
                findings.push(of(Phase::Closed, end));
            }
        }
        (findings, watermark)
    }
}

/// What a receiver made of messages, in order: id, the alert's id, status and sequence, and whether it took or refused it.
#[derive(Debug, Default)]
struct Heard {
    healed: bool,
    bodies: BTreeMap<String, String>,
    dealt_with: Vec<(String, String, String, u64)>,
}

async fn receiver(replies: Vec<u8>, heard: Arc<Mutex<Heard>>) -> Receiver {
    Receiver::start(move |n, got| {
        let mut heard = heard.lock().unwrap();
        let (id, body) = (got.id(), got.json());
        let before = heard.bodies.entry(id.clone()).or_insert_with(|| body.to_string());
        assert_eq!(*before, body.to_string(), "{id}: the same id, another message");
        let status =
            if heard.healed { 200 } else { [200, 200, 503, 500, 429, 400][usize::from(replies[n % replies.len()])] };
        let data = &body["data"];
        let text = |name: &str| data[name].as_str().unwrap().to_owned();
        let told = (text("fingerprint"), text("id"), text("status"), data["sequence"].as_u64().unwrap());
        if status < 300 || status == 400 {
            // What comes again counts once.
            if !heard.dealt_with.contains(&told) {
                heard.dealt_with.push(told);
            }
        }
        async move { if status == 429 { with_header(429, Some(("retry-after", "7".into()))) } else { empty(status) } }
    })
    .await
}

/// An alert's id, and its states.
type Life<'a> = (&'a str, Vec<(&'a str, u64)>);

/// Of each fingerprint: its alerts one after the other, each with one begin and one end, its states in order.
fn is_legal(heard: &[(String, String, String, u64)]) -> Result<(), TestCaseError> {
    let mut lives: BTreeMap<&str, Vec<Life>> = BTreeMap::new();
    for (fingerprint, id, status, sequence) in heard {
        let alerts = lives.entry(fingerprint).or_default();
        match alerts.last_mut() {
            Some((last, states)) if last == id => states.push((status, *sequence)),
            _ => alerts.push((id, vec![(status, *sequence)])),
        }
    }
    for alerts in lives.values() {
        let ids: BTreeSet<_> = alerts.iter().map(|(id, _)| id).collect();
        prop_assert_eq!(ids.len(), alerts.len(), "one alert after the other: {:?}", alerts);
        for (id, states) in alerts {
            prop_assert!(states.is_sorted_by_key(|(_, sequence)| sequence), "{}: {:?}", id, states);
            let statuses: Vec<_> = states.iter().map(|(status, _)| *status).collect();
            let middle = statuses.len().saturating_sub(1);
            prop_assert_eq!((statuses[0], *statuses.last().unwrap()), ("firing", "resolved"), "{}: {:?}", id, states);
            prop_assert!(statuses[1..middle.max(1)].iter().all(|s| *s == "updated"), "{}: {:?}", id, states);
        }
    }
    Ok(())
}

/// Lets a future be polled at most so often.
async fn cut_after<T>(polls: usize, future: impl Future<Output = T>) {
    let mut left = polls;
    let cut = std::future::poll_fn(move |_| {
        left = left.saturating_sub(1);
        if left == 0 { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    });
    match select(std::pin::pin!(cut), std::pin::pin!(future)).await {
        Either::Left(_) | Either::Right(_) => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn receivers_hear_legal_lives_in_order_and_all_of_them(
        hops in prop::collection::btree_set((0..4_u8, 0..WINDOWS, [0..20_i64, 0..20_i64]), 1..30),
        steps in steps(),
        replies in prop::collection::vec(0..6_u8, 1..20),
    ) {
        // One a window.
        let hops: BTreeMap<(u8, i64), Hop> = hops.into_iter().map(|hop| ((hop.0, hop.1), hop)).collect();
        let hops: BTreeSet<Hop> = hops.into_values().collect();
        let heard = Arc::new(Mutex::new(Heard::default()));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (alerts, dead) = runtime.block_on(async {
            let receiver = receiver(replies, heard.clone()).await;
            let dir = tempfile::tempdir().unwrap();
            let mut store = Store::open(dir.path()).unwrap();
            let start = |store: &Store| Sender::new(store, vec![receiver.destination("soc")], Timeouts::default()).unwrap();
            let mut sender = start(&store);
            let mut logs = Logs { hops: &hops, read: [0, 0], early: BTreeSet::new() };
            let mut now = T0;
            let mut alerts: BTreeMap<String, Alert> = BTreeMap::new();
            let end = [WINDOWS * SLIDE + 1_000; 2];
            for step in steps.into_iter().chain([Step::Read(end)]) {
                match step {
                    Step::Read(by) => {
                        let (findings, watermark) = logs.advance(by);
                        let changed = store.commit(&commit(findings, watermark, now)).unwrap();
                        alerts.extend(changed.into_iter().map(|alert| (alert.id.clone(), alert)));
                    }
                    Step::Send => drop(sender.deliver_due(now).await),
                    Step::Killed(polls) => {
                        cut_after(polls, sender.deliver_due(now)).await;
                        drop((sender, store));
                        store = Store::open(dir.path()).unwrap();
                        sender = start(&store);
                    }
                    Step::Clock(by) => now += by,
                }
            }
            heard.lock().unwrap().healed = true;
            for _ in 0..100 {
                now += 600_000;
                sender.deliver_due(now).await;
            }
            let outbox = Outbox::open(dir.path()).unwrap();
            assert_eq!(outbox.pending().unwrap(), [], "nothing is left");
            (alerts, outbox.dead_letters().unwrap())
        });
        let heard = &heard.lock().unwrap().dealt_with;
        // (tests with so few tries lose none to their number)
        prop_assert!(dead.iter().all(|letter| letter.last_error.as_deref() == Some("the receiver answered 400")), "{:?}", dead);
        is_legal(heard)?;
        prop_assert!(alerts.values().all(|alert| alert.status == Status::Resolved));
        let known: BTreeSet<&str> = alerts.keys().map(String::as_str).collect();
        let told: BTreeSet<&str> = heard.iter().map(|(_, id, ..)| id.as_str()).collect();
        prop_assert_eq!(told, known, "all of them");
        // Whichever log was ahead: each window counts once.
        let mut findings: BTreeMap<String, u64> = BTreeMap::new();
        for alert in alerts.values() {
            *findings.entry(alert.entity["client"].to_string()).or_default() += alert.findings;
        }
        let mut expected: BTreeMap<String, u64> = BTreeMap::new();
        for (client, ..) in &hops {
            *expected.entry(format!("\"192.0.2.{client}\"")).or_default() += 1;
        }
        prop_assert_eq!(findings, expected);
    }
}
