//! One try: a message becomes a request, and what came back has a meaning.

use std::time::Instant;

use tracing::Instrument as _;

use crate::alert::Alert;
use crate::failpoint::{Step, reach};
use crate::outbox::{Attempt, Message};
use crate::retry::Verdict;
use crate::transport::{Reply, Transport};

/// Why there is no reply.
pub(crate) enum Failure {
    /// The request failed.
    Unsent(String),
    /// The message cannot be made into a request.
    Unreadable(String),
}

/// What came of a try.
pub(crate) struct Try {
    pub(crate) result: Result<Reply, Failure>,
    pub(crate) duration_ms: i64,
}

pub(crate) async fn send(transport: &Transport, message: &Message, now_ms: i64) -> Try {
    match message.alerts.iter().map(|text| serde_json::from_str(text)).collect::<Result<Vec<Alert>, _>>() {
        Ok(alerts) => post(transport, &message.id, &alerts, now_ms).await,
        Err(e) => Try {
            result: Err(Failure::Unreadable(format!("the outbox holds a message that cannot be read: {e}"))),
            duration_ms: 0,
        },
    }
}

async fn post(transport: &Transport, id: &str, alerts: &[Alert], now_ms: i64) -> Try {
    let begin = Instant::now();
    let result = match transport.destination().request(alerts, id, now_ms) {
        Ok(request) => {
            let _ = reach(Step::BeforeSend);
            let span = tracing::debug_span!("delivery", destination = transport.destination().name, id);
            transport.post(id, now_ms.div_euclid(1_000), request).instrument(span).await.map_err(Failure::Unsent)
        }
        Err(e) => Err(Failure::Unreadable(e.to_string())),
    };
    Try { result, duration_ms: i64::try_from(begin.elapsed().as_millis()).unwrap_or(i64::MAX) }
}

/// One try outside the lane, for somebody who looks at it: the error has what the receiver wrote.
pub(crate) async fn try_once(transport: &Transport, id: &str, alert: &Alert, now_ms: i64) -> Attempt {
    let Try { result, duration_ms } = post(transport, id, std::slice::from_ref(alert), now_ms).await;
    let (verdict, mut error) = meaning(&result);
    if let Some(line) = result.as_ref().ok().and_then(|reply| transport.shown(reply)) {
        error = format!("{error}: {line}");
    }
    let status = result.as_ref().ok().map(|reply| reply.status);
    let error = (verdict != Verdict::Delivered).then_some(error);
    Attempt { started_ms: now_ms, duration_ms, status, error }
}

/// What a result means, and how to say it.
pub(crate) fn meaning(result: &Result<Reply, Failure>) -> (Verdict, String) {
    match result {
        Ok(reply) => (Verdict::of_status(reply.status), format!("the receiver answered {}", reply.status)),
        Err(Failure::Unsent(error)) => (Verdict::Retry, error.clone()),
        Err(Failure::Unreadable(error)) => (Verdict::Rejected, error.clone()),
    }
}
