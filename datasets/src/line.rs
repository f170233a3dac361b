//! One request as a line: nginx's combined format,
//! `$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent"`,
//! the common format, which ends before the referer, or JSON.

use crate::catalogue::Request;
use crate::ids::Ids;
use crate::random::mix2;
use jiff::Timestamp;

/// Where the simulated pages live; referers start with it.
pub(crate) const SITE: &str = "https://shop.example.com";
const DAY_US: i64 = 86_400_000_000;

/// A request of the catalogue.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry<'a> {
    /// µs since 1970; the line shows whole seconds.
    pub(crate) time_us: i64,
    pub(crate) address: &'a str,
    pub(crate) request: &'static Request,
    /// The ids that fill the request's placeholders.
    pub(crate) ids: &'a Ids,
    pub(crate) status: u16,
    /// The path of the page that the browser showed.
    pub(crate) referer: Option<&'static str>,
    pub(crate) agent: &'static str,
}

/// What a line says, whoever wrote it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wire<'a> {
    /// µs since 1970.
    pub(crate) time_us: i64,
    pub(crate) address: &'a str,
    /// As the client names itself; empty if it does not.
    pub(crate) user: &'a str,
    /// What the client claims to forward for; empty if nothing.
    pub(crate) forwarded: &'a str,
    pub(crate) method: &'a str,
    /// Path and query.
    pub(crate) target: &'a str,
    pub(crate) status: u16,
    pub(crate) bytes: u64,
    /// The whole URL, or empty.
    pub(crate) referer: &'a str,
    pub(crate) agent: &'a str,
}

/// How lines are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Format {
    /// nginx's combined format; whole seconds.
    #[default]
    Combined,
    /// The common format: neither referers nor agents.
    Common,
    /// JSON with the names of nginx's variables; milliseconds.
    Json,
}

/// Formats lines into a buffer that it keeps.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    pub(crate) buffer: Vec<u8>,
    pub(crate) format: Format,
    /// `02/Mar/2026:` of the day last written, and that day's number since 1970.
    date: (i64, Vec<u8>),
    scratch: (Vec<u8>, Vec<u8>),
}

impl Lines {
    pub(crate) fn new(format: Format) -> Self {
        Self { format, ..Self::default() }
    }

    pub(crate) fn push(&mut self, entry: &Entry<'_>) {
        let (mut target, mut referer) = std::mem::take(&mut self.scratch);
        target.clear();
        entry.ids.expand(entry.request.target, &mut target);
        referer.clear();
        if let Some(page) = entry.referer {
            referer.extend_from_slice(SITE.as_bytes());
            entry.ids.expand(page, &mut referer);
        }
        self.push_wire(&Wire {
            time_us: entry.time_us,
            address: entry.address,
            user: "",
            forwarded: "",
            method: entry.request.method,
            target: std::str::from_utf8(&target).unwrap_or_default(),
            status: entry.status,
            bytes: body_bytes(entry),
            referer: std::str::from_utf8(&referer).unwrap_or_default(),
            agent: entry.agent,
        });
        self.scratch = (target, referer);
    }

    pub(crate) fn push_wire(&mut self, wire: &Wire<'_>) {
        if self.format == Format::Json {
            return self.push_json(wire);
        }
        self.push_text(wire.address);
        self.push_text(" - ");
        self.push_text(or_dash(wire.user));
        self.push_text(" [");
        self.push_time(wire.time_us);
        self.push_text("] \"");
        self.push_text(wire.method);
        self.push_text(" ");
        self.push_text(wire.target);
        self.push_text(" HTTP/1.1\" ");
        push_number(&mut self.buffer, u64::from(wire.status));
        self.push_text(" ");
        push_number(&mut self.buffer, wire.bytes);
        if self.format == Format::Combined {
            self.push_text(" \"");
            self.push_text(or_dash(wire.referer));
            self.push_text("\" \"");
            self.push_text(or_dash(wire.agent));
            self.push_text("\"");
        }
        self.push_text("\n");
    }

    /// None of what is simulated needs escaping.
    fn push_json(&mut self, wire: &Wire<'_>) {
        self.push_text("{\"msec\":\"");
        push_number(&mut self.buffer, wire.time_us.div_euclid(1_000_000).unsigned_abs());
        self.push_text(".");
        let millis = wire.time_us.rem_euclid(1_000_000) / 1_000;
        self.buffer.extend_from_slice(&[digit(millis / 100), digit(millis / 10), digit(millis)]);
        self.push_text("\"");
        for (key, value) in [
            ("remote_addr", wire.address),
            ("remote_user", wire.user),
            ("request_method", wire.method),
            ("request_uri", wire.target),
            ("http_referer", wire.referer),
            ("http_user_agent", wire.agent),
            ("http_x_forwarded_for", wire.forwarded),
        ] {
            self.push_text(",\"");
            self.push_text(key);
            self.push_text("\":\"");
            self.push_text(value);
            self.push_text("\"");
        }
        self.push_text(",\"status\":");
        push_number(&mut self.buffer, u64::from(wire.status));
        self.push_text(",\"body_bytes_sent\":");
        push_number(&mut self.buffer, wire.bytes);
        self.push_text("}\n");
    }

    fn push_text(&mut self, text: &str) {
        self.buffer.extend_from_slice(text.as_bytes());
    }

    /// `02/Mar/2026:13:55:36 +0000`
    fn push_time(&mut self, time_us: i64) {
        let day = time_us.div_euclid(DAY_US);
        if self.date.0 != day || self.date.1.is_empty() {
            // A scenario's times are within what a timestamp can say; the fallback is never seen.
            let date = Timestamp::from_microsecond(time_us).unwrap_or_default();
            self.date = (day, date.strftime("%d/%b/%Y:").to_string().into_bytes());
        }
        self.buffer.extend_from_slice(&self.date.1);
        let second = time_us.rem_euclid(DAY_US) / 1_000_000;
        for (part, after) in [(second / 3600, ":"), (second / 60 % 60, ":"), (second % 60, " +0000")] {
            self.buffer.extend_from_slice(&[digit(part / 10), digit(part % 10)]);
            self.push_text(after);
        }
    }
}

fn or_dash(text: &str) -> &str {
    if text.is_empty() { "-" } else { text }
}

fn digit(value: i64) -> u8 {
    b'0' + (value % 10) as u8
}

/// An object has the same size whoever reads it: a median by route, times 0.5 to 1.5 by object.
fn body_bytes(entry: &Entry<'_>) -> u64 {
    match entry.status {
        204 | 304 | 499 => 0,
        status if status >= 400 => 87 + u64::from(status % 10) * 4,
        _ => {
            let median = u64::from(entry.request.bytes);
            median / 2 + mix2(median, entry.ids.of_object(entry.request.target)) % median.max(1)
        }
    }
}

/// Appends a number in decimal.
pub(crate) fn push_number(buffer: &mut Vec<u8>, mut value: u64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    buffer.extend_from_slice(&digits[at..]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::{PRODUCT, PRODUCT_PAGE};
    use proptest::prelude::*;

    #[test]
    fn a_line_is_nginx_combined() {
        let ids = Ids { product: 104_711, ..Ids::default() };
        let mut lines = Lines::default();
        let entry = Entry {
            time_us: 1_772_459_736_900_000,
            address: "198.51.100.7",
            request: &PRODUCT,
            ids: &ids,
            status: 200,
            referer: Some(PRODUCT_PAGE.target),
            agent: "Mozilla/5.0",
        };
        lines.push(&entry);
        lines.push(&Entry { time_us: 951_782_400_000_000, status: 304, referer: None, ..entry });
        let text = String::from_utf8(lines.buffer).expect("lines are UTF-8");
        let expected = "198.51.100.7 - - [02/Mar/2026:13:55:36 +0000] \"GET /v1/products/104711 HTTP/1.1\" 200 3426 \
                        \"https://shop.example.com/products/104711\" \"Mozilla/5.0\"\n\
                        198.51.100.7 - - [29/Feb/2000:00:00:00 +0000] \"GET /v1/products/104711 HTTP/1.1\" 304 0 \
                        \"-\" \"Mozilla/5.0\"\n";
        assert_eq!(text, expected);
    }

    proptest! {
        #[test]
        fn numbers_are_decimal(value: u64) {
            let mut buffer = Vec::new();
            push_number(&mut buffer, value);
            prop_assert_eq!(buffer, value.to_string().into_bytes());
        }
    }
}
