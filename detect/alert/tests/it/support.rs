//! Findings out of thin air, and a receiver on loopback.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tripline_alert::{Commit, Destination, Evidence, Finding, Handling, Phase, Settings, Severity, Window};

/// One minute of event time.
pub(crate) const MINUTE: i64 = 60_000_000;
/// A signing secret: 32 bytes of 'k'.
pub(crate) const SECRET: &str = "whsec_a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2s=";

/// A finding about a client in a window of minutes. `quiet` is ten minutes.
pub(crate) fn finding(client: &str, start: i64, end: i64) -> Finding {
    let window = Window { start: start * MINUTE, end: end * MINUTE };
    Finding {
        rule: "pack/rule".into(),
        title: "A title".into(),
        severity: Severity::High,
        entity: [("client".to_owned(), json!(client))].into(),
        window,
        phase: Phase::Closed,
        values: [
            ("requests".to_owned(), json!(end)),
            ("share".to_owned(), json!(f64::from(i32::try_from(end).unwrap()) / 7.0)),
        ]
        .into_iter()
        .collect(),
        detected_at: window.end + 500_000,
        watermark: window.end,
        owasp: vec!["API1:2023".into()],
        attack: vec!["T1213".into()],
        quiet: 10 * MINUTE,
        evidence: vec![Evidence {
            source: "access.log".into(),
            offset: 0,
            raw: format!("{client} GET /users/{start}"),
        }],
        handling: Handling::default(),
    }
}

/// A commit of findings for one destination, `soc`.
pub(crate) fn commit(findings: Vec<Finding>, watermark_minutes: i64, now_ms: i64) -> Commit {
    Commit {
        findings,
        watermark: Some(watermark_minutes * MINUTE),
        now_ms,
        destinations: vec!["soc".into()],
        ..Commit::default()
    }
}

/// What the receiver got.
#[derive(Debug, Clone)]
pub(crate) struct Received {
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Received {
    pub(crate) fn id(&self) -> String {
        self.headers["webhook-id"].to_str().unwrap().to_owned()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn kind(&self) -> String {
        self.json()["type"].as_str().unwrap().to_owned()
    }
}

/// A real HTTP server on loopback that answers as it is told.
pub(crate) struct Receiver {
    pub(crate) address: SocketAddr,
    received: Arc<Mutex<Vec<Received>>>,
}

impl Receiver {
    /// `answer`: the reply to a request, by the number of requests before it.
    pub(crate) async fn start<F, R>(answer: F) -> Self
    where
        F: Fn(usize, &Received) -> R + Clone + Send + Sync + 'static,
        R: Future<Output = Response> + Send,
    {
        let received = Arc::new(Mutex::new(Vec::new()));
        let log = received.clone();
        let handler = move |request: Request| {
            let (log, answer) = (log.clone(), answer.clone());
            async move {
                let (parts, body) = request.into_parts();
                let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
                let path = parts.uri.to_string();
                let got = Received { path, headers: parts.headers, body };
                let number = {
                    let mut log = log.lock().unwrap();
                    log.push(got.clone());
                    log.len() - 1
                };
                answer(number, &got).await
            }
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, Router::new().fallback(handler)).await });
        Self { address, received }
    }

    /// Answers every request with a status.
    pub(crate) async fn with_status(status: u16) -> Self {
        Self::start(move |_, _| async move { empty(status) }).await
    }

    pub(crate) fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    pub(crate) fn destination(&self, name: &str) -> Destination {
        destination(name, &self.url())
    }
}

/// A reply without a body.
pub(crate) fn empty(status: u16) -> Response {
    with_header(status, None)
}

/// A reply with at most one header.
pub(crate) fn with_header(status: u16, header: Option<(&'static str, String)>) -> Response {
    let mut response = (StatusCode::from_u16(status).unwrap(), Body::empty()).into_response();
    if let Some((name, value)) = header {
        response.headers_mut().insert(name, value.parse().unwrap());
    }
    response
}

/// A destination that signs with [`SECRET`].
pub(crate) fn destination(name: &str, url: &str) -> Destination {
    Destination::new(&settings(name, url), secret).unwrap()
}

/// The same, not yet read.
pub(crate) fn settings(name: &str, url: &str) -> Settings {
    Settings {
        name: name.into(),
        url: url.into(),
        style: "native".into(),
        allow_http: true,
        secret_env: Some("SECRET".into()),
        ..Settings::default()
    }
}

/// The environment.
// As `Destination::new` wants it.
#[allow(clippy::unnecessary_wraps)]
pub(crate) fn secret(_: &str) -> Option<String> {
    Some(SECRET.to_owned())
}

/// The wall clock.
// The oracle for signatures refuses old timestamps: the time must be the real one.
#[allow(clippy::disallowed_methods)]
pub(crate) fn now_ms() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}
