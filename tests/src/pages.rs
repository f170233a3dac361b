//! A client that asks one page and reads the answer: enough for the program's own pages.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Instant;

use crate::journal::DEADLINE;

/// Status and text of a page. `base`: as `http://127.0.0.1:9464`.
pub fn get(base: &str, path: &str) -> (u16, String) {
    let address = base.strip_prefix("http://").expect("http");
    let mut stream = TcpStream::connect(address).expect("somebody listens");
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").expect("a request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    let text = answer.split_once("\r\n\r\n").map_or("", |(_, text)| text);
    (status, text.to_owned())
}

/// Asks for a page until `find` finds something in it.
pub fn wait_for<T>(base: &str, path: &str, mut find: impl FnMut(u16, &str) -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        let (status, text) = get(base, path);
        if let Some(found) = find(status, &text) {
            return found;
        }
        assert!(started.elapsed() < DEADLINE, "{base}{path} is still {status}:\n{text}");
        std::thread::yield_now();
    }
}
