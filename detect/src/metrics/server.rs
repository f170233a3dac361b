//! The three pages over HTTP.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::sync::Mutex;
use tripline_alert::StoreError;
use tripline_alert::figures::Figures;

use super::Board;
use super::page::{Alerts, Scrape, render};

const TEXT: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Nothing can listen there.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address} for /metrics: {source}; name another address in [metrics] listen, or remove it")]
pub struct MetricsError {
    address: SocketAddr,
    source: io::Error,
}

/// The wall clock, µs since 1970.
type Clock = fn() -> i64;

/// What a request needs.
struct Shared {
    board: Arc<Board>,
    clock: Clock,
    /// One look at the state at a time, however many ask.
    figures: Mutex<Option<Figures>>,
}

/// A server that was started; it ends with this.
#[derive(Debug)]
pub struct Listening {
    /// Where, with the port that the system chose for port 0.
    pub address: SocketAddr,
    task: tokio::task::JoinHandle<io::Result<()>>,
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Answers from `board` until the result is dropped.
pub async fn listen(address: SocketAddr, board: Arc<Board>, clock: Clock) -> Result<Listening, MetricsError> {
    let wrap = |source| MetricsError { address, source };
    let listener = TcpListener::bind(address).await.map_err(wrap)?;
    let bound = listener.local_addr().map_err(wrap)?;
    let shared = Arc::new(Shared { board, clock, figures: Mutex::default() });
    let router = Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .with_state(shared);
    let task = tokio::spawn(async move { axum::serve(listener, router).await });
    Ok(Listening { address: bound, task })
}

async fn healthz(State(shared): State<Arc<Shared>>) -> Response {
    answer(shared.board.healthy(Instant::now()))
}

async fn readyz(State(shared): State<Arc<Shared>>) -> Response {
    answer(shared.board.ready())
}

fn answer(state: Result<(), impl ToString>) -> Response {
    match state {
        Ok(()) => "ok\n".into_response(),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, why.to_string() + "\n").into_response(),
    }
}

async fn metrics(State(shared): State<Arc<Shared>>) -> Response {
    let (report, writable) = shared.board.read();
    let alerts = alerts(&shared).await;
    let text = render(Scrape { report, writable, alerts, now: (shared.clock)() });
    ([(CONTENT_TYPE, TEXT)], text).into_response()
}

/// What the state directory knows; `None` while it is being restored, or if it cannot be read.
async fn alerts(shared: &Shared) -> Option<Alerts> {
    let (dir, tries) = shared.board.sending()?;
    let mut figures = shared.figures.lock().await;
    match tokio::task::block_in_place(|| look(&mut figures, &dir)) {
        Ok((open, outbox, failing)) => Some(Alerts { open, outbox, failing, tries: tries.so_far() }),
        Err(e) => {
            tracing::warn!("/metrics lacks alerts and outbox: {e}");
            *figures = None;
            None
        }
    }
}

type Look = (Vec<(String, u64)>, Vec<tripline_alert::figures::OutboxFigures>, Vec<String>);

fn look(figures: &mut Option<Figures>, dir: &Path) -> Result<Look, StoreError> {
    let figures = match figures {
        Some(figures) => figures,
        none => none.insert(Figures::open(dir)?),
    };
    Ok((figures.open_alerts()?, figures.outbox()?, figures.failing()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    async fn get(address: SocketAddr, path: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn while_it_starts_it_is_healthy_and_not_ready() {
        let board = Arc::new(Board::default());
        let listening = listen("127.0.0.1:0".parse().unwrap(), Arc::clone(&board), || 0).await.unwrap();
        let answer = get(listening.address, "/readyz").await;
        assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("being restored"), "{answer}");
        assert!(get(listening.address, "/healthz").await.starts_with("HTTP/1.1 200 "));
        let answer = get(listening.address, "/metrics").await;
        assert!(
            answer.contains("content-type: application/openmetrics-text") && answer.ends_with("# EOF\n"),
            "{answer}"
        );
        board.beat(Instant::now());
        assert!(get(listening.address, "/readyz").await.starts_with("HTTP/1.1 200 "));
        assert!(get(listening.address, "/").await.starts_with("HTTP/1.1 404 "));

        let error = listen(listening.address, board, || 0).await.unwrap_err().to_string();
        assert!(error.contains(&listening.address.to_string()) && error.contains("[metrics] listen"), "{error}");
    }
}
