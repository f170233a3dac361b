//! Named steps at which a test has the program killed, or the disk full. Only in builds with debug assertions.
//!
//! `TRIPLINE_FAILPOINT=STEP:kill:N` ends the process, as SIGKILL would, when it gets to the step for the `N`-th time;
//! `STEP:full:N` lets the first `N` times fail as on a full disk.

/// A step of a commit or of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    BeforeSegment,
    SegmentWritten,
    SegmentSynced,
    /// All is written in the transaction.
    BeforeCommit,
    AfterCommit,
    /// What goes in one message is written down.
    Gathered,
    BeforeSend,
    /// The receiver has answered; that is not recorded yet.
    AfterSend,
}

/// Passes a step. An error only where the test wants the disk full.
#[cfg(not(debug_assertions))]
pub(crate) const fn reach(_: Step) -> std::io::Result<()> {
    Ok(())
}

#[cfg(debug_assertions)]
pub(crate) use armed::reach;

#[cfg(debug_assertions)]
mod armed {
    use std::io;
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::Step;

    #[derive(Debug)]
    struct Failpoint {
        step: Step,
        kills: bool,
        times: u64,
        reached: AtomicU64,
    }

    /// Passes a step. An error only where the test wants the disk full.
    pub(crate) fn reach(step: Step) -> io::Result<()> {
        static FAILPOINT: OnceLock<Option<Failpoint>> = OnceLock::new();
        let failpoint =
            FAILPOINT.get_or_init(|| std::env::var("TRIPLINE_FAILPOINT").ok().and_then(|text| parse(&text)));
        let Some(failpoint) = failpoint.as_ref().filter(|f| f.step == step) else { return Ok(()) };
        let time = failpoint.reached.fetch_add(1, Ordering::Relaxed) + 1;
        match failpoint.kills {
            // Nothing is closed or tidied on the way.
            true if time == failpoint.times => std::process::abort(),
            false if time <= failpoint.times => Err(io::ErrorKind::StorageFull.into()),
            _ => Ok(()),
        }
    }

    fn parse(text: &str) -> Option<Failpoint> {
        let mut parts = text.split(':');
        let step = match parts.next()? {
            "before-segment" => Step::BeforeSegment,
            "segment-written" => Step::SegmentWritten,
            "segment-synced" => Step::SegmentSynced,
            "before-commit" => Step::BeforeCommit,
            "after-commit" => Step::AfterCommit,
            "gathered" => Step::Gathered,
            "before-send" => Step::BeforeSend,
            "after-send" => Step::AfterSend,
            _ => return None,
        };
        let kills = parts.next()? == "kill";
        Some(Failpoint { step, kills, times: parts.next()?.parse().ok()?, reached: AtomicU64::new(0) })
    }
}
