//! The webhook's other end: an HTTP server on loopback that checks every signature and answers as it is told.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::Request;
use axum::http::StatusCode;
use serde_json::Value;
use standardwebhooks::Webhook;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::watch;

use crate::journal::Journal;

/// The signing secret: 32 bytes of 'k'.
pub const SECRET: &str = "whsec_a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2s=";

/// A request that came.
#[derive(Debug, Clone)]
pub struct Message {
    /// The header `webhook-id`.
    pub id: String,
    /// The body.
    pub body: Value,
}

impl Message {
    /// Such as `alert.firing`.
    pub fn kind(&self) -> &str {
        self.body["type"].as_str().unwrap_or_default()
    }

    /// The alert.
    pub fn alert(&self) -> &Value {
        &self.body["data"]
    }
}

/// The server. It stops when this is dropped.
#[derive(Debug)]
pub struct Receiver {
    address: SocketAddr,
    messages: Arc<Journal<Message>>,
    answer: watch::Sender<Option<u16>>,
    _runtime: Runtime,
}

impl Receiver {
    /// Answers every request with `status`.
    pub fn answering(status: u16) -> Self {
        Self::start(Some(status), true)
    }

    /// The same for senders that do not sign. Messages have no id.
    pub fn unsigned(status: u16) -> Self {
        Self::start(Some(status), false)
    }

    /// Takes requests and leaves them without an answer until told otherwise.
    pub fn hanging() -> Self {
        Self::start(None, true)
    }

    fn start(answer: Option<u16>, signed: bool) -> Self {
        let runtime = Runtime::new().expect("a runtime");
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a port on loopback");
        let address = listener.local_addr().expect("the listener's address");
        let messages = Arc::new(Journal::default());
        let (answer, answers) = watch::channel(answer);
        let received = Arc::clone(&messages);
        let handler = move |request: Request| {
            let (received, mut answers) = (Arc::clone(&received), answers.clone());
            async move {
                received.push(read(request, signed).await);
                let status = match answers.wait_for(Option::is_some).await {
                    Ok(status) => *status,
                    Err(_) => None, // the receiver is gone
                };
                StatusCode::from_u16(status.unwrap_or(500)).expect("a status")
            }
        };
        let app = Router::new().fallback(handler);
        runtime.spawn(async move { axum::serve(listener, app).await });
        Self { address, messages, answer, _runtime: runtime }
    }

    /// From now on, and to those who wait, answers with `status`.
    pub fn answer(&self, status: u16) {
        self.answer.send_replace(Some(status));
    }

    /// Where to post.
    pub fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    /// What came so far.
    pub fn messages(&self) -> Vec<Message> {
        self.messages.entries().to_vec()
    }

    /// Waits until `find` finds something among the messages.
    pub fn wait_for<R>(&self, what: &str, find: impl FnMut(&[Message]) -> Option<R>) -> R {
        let found = self.messages.wait_for(find);
        found.unwrap_or_else(|| panic!("the receiver never got {what}; it got {:#?}", self.messages()))
    }
}

/// Reads a request, whose signature must be right, if it is signed.
async fn read(request: Request, signed: bool) -> Message {
    let (parts, body) = request.into_parts();
    let body: Bytes = axum::body::to_bytes(body, 1 << 20).await.expect("a body of at most 1 MiB");
    let json = serde_json::from_slice(&body).expect("a body in JSON");
    if !signed {
        return Message { id: String::new(), body: json };
    }
    // A handler's panic is one connection's: the sender sees it break, and the test waits in vain for the message.
    Webhook::new(SECRET).expect("a secret").verify(&body, &parts.headers).expect("a right signature");
    let id = parts.headers["webhook-id"].to_str().expect("an id").to_owned();
    Message { id, body: json }
}
