//! Real servers, driven with odd requests while their logs are rotated: the rows are the requests that were sent.
//!
//! `TRIPLINE_REQUESTS=100000` sends more to each; `TRIPLINE_SEED=7` others.

use std::cmp::Reverse;
use std::collections::VecDeque;
use std::fs;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;
use tripline_tests::journal::DEADLINE;
use tripline_tests::program::Process;
use tripline_tests::random::{Random, number};
use tripline_tests::{debian, tripline};

use crate::logging::{port, section};

/// A request, and what its row must say if the server takes it.
struct Request {
    bytes: Vec<u8>,
    /// IPv6, over loopback.
    six: bool,
    /// `None`: not a request line that any server takes; the row has only a status.
    line: Option<Line>,
    referer: Option<Vec<u8>>,
    user_agent: Option<Vec<u8>>,
}

struct Line {
    method: String,
    path: Vec<u8>,
    query: Option<Vec<u8>>,
}

/// What came back.
struct Answer {
    /// `None`: nothing, or not all of it: the server closed with bytes unread.
    status: Option<u64>,
    /// All bytes, and those of the body.
    bytes: usize,
    body: usize,
}

const METHODS: [&str; 9] = ["GET", "GET", "GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"];
/// Pieces of paths, queries and headers.
const PIECES: [&[u8]; 24] = [
    b"users",
    b"42",
    b"%2F",
    b"%00",
    b"%ff%fe",
    b"%22",
    b"a+b",
    b"\"",
    b"\\",
    b"\\x41",
    b"'",
    b"\xc3\xa9",
    b"\xff\xfe",
    b"{}",
    b"<i>",
    b"[1]",
    b"..",
    b";v=1",
    b"@",
    b"~",
    b"|",
    b"^",
    b"`",
    b"%E2%82%AC",
];

fn pieces(random: &mut Random, most: u64) -> Vec<u8> {
    (0..random.below(most + 1)).flat_map(|_| random.pick(&PIECES).iter().copied()).collect()
}

fn target(random: &mut Random) -> (Vec<u8>, Option<Vec<u8>>) {
    let mut path = Vec::new();
    for _ in 0..=random.below(4) {
        path.push(b'/');
        path.extend(pieces(random, 3));
    }
    let query = random.one_in(2).then(|| {
        let pairs = (0..random.below(4)).map(|n| [format!("q{n}=").into_bytes(), pieces(random, 4)].concat());
        pairs.collect::<Vec<_>>().join(&b'&')
    });
    if random.one_in(50) {
        path.extend(vec![b'x'; 1 + random.index(3_000)]);
    }
    (path, query)
}

/// A header's value: no blanks at its ends, which servers take off.
fn value(random: &mut Random) -> Option<Vec<u8>> {
    if random.one_in(4) {
        return None;
    }
    let words = (0..=random.below(3)).map(|_| pieces(random, 3)).filter(|word| !word.is_empty()).collect::<Vec<_>>();
    let mut value = words.join(random.pick(&[" ", "\t", "  "]).as_bytes());
    if random.one_in(100) {
        value.extend(vec![b'v'; random.index(6_000)]);
    }
    Some(value)
}

impl Request {
    fn new(random: &mut Random) -> Self {
        let six = random.one_in(3);
        match random.below(40) {
            // A scanner's: TLS, nonsense, a line that is none, nothing but a line end.
            0 => Self::garbage(
                [&b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..], &[0, 255, 34, 92, 10]].concat(),
                six,
            ),
            1 => Self::garbage(
                (0..=random.index(200)).map(|_| u8::try_from(random.below(256)).expect("a byte")).collect(),
                six,
            ),
            2 => Self::garbage(b"\r\n".to_vec(), six),
            3 => Self::garbage(b"GET\r\n\r\n".to_vec(), six),
            // Larger than servers take.
            4 => {
                let name = if random.one_in(2) { "GET /huge HTTP/1.1\r\nX: " } else { "GET /" };
                Self::garbage([name.as_bytes(), &vec![b'h'; 40_000], b"\r\n\r\n"].concat(), six)
            }
            _ => Self::good(random, six),
        }
    }

    fn garbage(bytes: Vec<u8>, six: bool) -> Self {
        Self { bytes, six, line: None, referer: None, user_agent: None }
    }

    fn good(random: &mut Random, six: bool) -> Self {
        let method = (*random.pick(&METHODS)).to_owned();
        let (path, query) = target(random);
        let (referer, user_agent) = (value(random), value(random));
        let mut bytes = [method.as_bytes(), b" ", &path].concat();
        if let Some(query) = &query {
            bytes.push(b'?');
            bytes.extend(query);
        }
        bytes.extend(if random.one_in(10) { &b" HTTP/1.0\r\n"[..] } else { b" HTTP/1.1\r\n" });
        bytes.extend(b"Host: localhost\r\nConnection: close\r\n");
        for (name, value) in [("Referer", &referer), ("User-Agent", &user_agent)] {
            if let Some(value) = value {
                bytes.extend([name.as_bytes(), b": ", value, b"\r\n"].concat());
            }
        }
        let body = if method.starts_with('P') { pieces(random, 9) } else { Vec::new() };
        bytes.extend(format!("Content-Length: {}\r\n\r\n", body.len()).into_bytes());
        bytes.extend(body);
        Self { bytes, six, line: Some(Line { method, path, query }), referer, user_agent }
    }

    fn send(&self, port: u16) -> Answer {
        let address: IpAddr = if self.six { Ipv6Addr::LOCALHOST.into() } else { Ipv4Addr::LOCALHOST.into() };
        let mut stream = TcpStream::connect((address, port)).expect("the server listens");
        stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a socket");
        // A server that has had enough closes: what it says then may be lost, and is not needed.
        let _ = stream.write_all(&self.bytes);
        if self.line.is_none() {
            let _ = stream.shutdown(Shutdown::Write);
        }
        let mut answer = Vec::new();
        let whole = stream.read_to_end(&mut answer).is_ok();
        let status =
            answer.strip_prefix(b"HTTP/1.1 ").and_then(|rest| std::str::from_utf8(rest.get(..3)?).ok()?.parse().ok());
        let head = answer.windows(4).position(|w| w == b"\r\n\r\n").map_or(answer.len(), |at| at + 4);
        Answer { status: status.filter(|_| whole), bytes: answer.len(), body: answer.len() - head }
    }
}

/// As a row has it: what is no UTF-8 is replaced; nothing, and `-`, are missing.
fn text(bytes: Option<&Vec<u8>>) -> Value {
    match bytes.map(|bytes| String::from_utf8_lossy(bytes).into_owned()) {
        Some(text) if !text.is_empty() && text != "-" => text.into(),
        _ => Value::Null,
    }
}

/// A request that is looked for among the rows.
struct Sent<'a> {
    request: &'a Request,
    /// What its row must say: columns and their values, as far as the log tells.
    expected: Vec<(&'static str, Value)>,
}

impl Sent<'_> {
    /// What is wrong with a row if it is to be this request's.
    fn differs(&self, row: &Value) -> Option<String> {
        let (column, value) = self.expected.iter().find(|(column, value)| row[*column] != *value)?;
        Some(format!("{column} is {}, not {value}: {row}\nof {}", row[column], self.request.bytes.escape_ascii()))
    }
}

fn expected(request: &Request, answer: &Answer, log: &Log) -> Vec<(&'static str, Value)> {
    let mut expected = vec![("client_ip", Value::from(if request.six { "::1" } else { "127.0.0.1" }))];
    if let Some(status) = answer.status {
        let bytes = (log.bytes)(answer);
        expected.push(("status", status.into()));
        expected.push((
            "bytes_out",
            if bytes == 0 && !log.holds.contains(&Holds::Zero) { Value::Null } else { bytes.into() },
        ));
        let refused = status == 400;
        if let Some(line) = request.line.as_ref().filter(|_| !refused || log.holds.contains(&Holds::RefusedLines)) {
            expected.push(("method", line.method.as_str().into()));
            expected.push(("path", text(Some(&line.path))));
            expected.push(("query", text(line.query.as_ref())));
        }
        // (a request that is refused while its headers are read has none in the log)
        if request.line.is_some() && !refused && log.holds.contains(&Holds::Headers) {
            expected.push(("referer", text(request.referer.as_ref())));
            expected.push(("user_agent", text(request.user_agent.as_ref())));
        }
    }
    expected
}

/// Sends requests, one after the other, and has the logs rotated five times on the way: `rotate` is told how many were sent,
/// and how many of them answered. What was sent, and what came back.
fn drive(port: u16, mut rotate: impl FnMut(usize, usize)) -> Vec<(Request, Answer)> {
    let (requests, seed) = (number("TRIPLINE_REQUESTS", 10_000), number("TRIPLINE_SEED", 1));
    let mut random = Random::new(seed);
    let mut sent = Vec::new();
    for n in 0..requests {
        if n % (requests / 6).max(1) == 1 && n > 1 {
            let answered = sent.iter().filter(|(_, answer): &&(Request, Answer)| answer.status.is_some()).count();
            rotate(usize::try_from(n).expect("a small number"), answered);
        }
        let request = Request::new(&mut random);
        let answer = request.send(port);
        sent.push((request, answer));
    }
    sent
}

/// A request stands in the log no more than so many places behind its own. A server logs one whose sender went away when it
/// notices that, which on a busy machine takes a while.
const OVERTAKEN: usize = 200;

/// How a server logs.
struct Log {
    /// The name of the file.
    name: &'static str,
    format: &'static str,
    /// Which of an answer's bytes it counts.
    bytes: fn(&Answer) -> usize,
    holds: &'static [Holds],
}

/// What not every log has.
#[derive(PartialEq)]
enum Holds {
    /// Referer and user agent.
    Headers,
    /// The line of a request that is refused.
    RefusedLines,
    /// A zero for no bytes; Apache's `%b` has `-`.
    Zero,
    /// A request that was not answered: nginx notes who said something and went.
    Unanswered,
}

/// nginx's combined format.
const NGINX: Log = Log {
    name: "access.log",
    format: "combined",
    bytes: |answer| answer.body,
    holds: &[Holds::Headers, Holds::RefusedLines, Holds::Zero, Holds::Unanswered],
};

impl Log {
    /// The rows of the log and of those rotated away before it must be what was sent.
    fn check(&self, sent: &[(Request, Answer)], folder: &Path, rotations: &[usize]) {
        let Self { name, format, .. } = self;
        let logs = rotations.iter().map(|n| format!("{name}.{n}")).chain([(*name).to_owned()]);
        let rows: Vec<Value> = logs.flat_map(|log| rows(&folder.join(log), format)).collect();
        let is_logged = |answer: &Answer| self.holds.contains(&Holds::Unanswered) || answer.status.is_some();
        let sent = sent.iter().filter(|(_, answer)| is_logged(answer));
        let mut waiting: VecDeque<_> =
            sent.map(|(request, answer)| Sent { request, expected: expected(request, answer, self) }).collect();
        let count = waiting.len();
        let mut wrong = Vec::new();
        for row in &rows {
            // The one that says most of it: one that was not answered would take any row.
            let fits = waiting.iter().take(OVERTAKEN).enumerate().filter(|(_, sent)| sent.differs(row).is_none());
            let of = fits.max_by_key(|(at, sent)| (sent.expected.len(), Reverse(*at))).map(|(at, _)| at);
            match (of, waiting.front()) {
                (Some(at), _) => drop(waiting.remove(at)),
                (None, Some(next)) => wrong.extend(next.differs(row)),
                (None, None) => wrong.push(format!("nobody sent {row}")),
            }
        }
        assert!(
            wrong.is_empty(),
            "{format}: {} of {} rows differ:\n{}",
            wrong.len(),
            rows.len(),
            wrong[..wrong.len().min(5)].join("\n\n")
        );
        assert_eq!(rows.len(), count, "{format}: as many rows as requests");
    }
}

fn lines_of(log: &Path) -> usize {
    fs::read(log).expect("a log").split(|byte| *byte == b'\n').count() - 1
}

fn rows(log: &Path, format: &str) -> Vec<Value> {
    let output = tripline!("parse", "--format", format, log).with_code(0);
    assert!(output.stderr.contains(" 0 rejected"), "{}", output.stderr);
    output.json()
}

/// nginx, in the combined format and in the JSON of `docs/logging.md`; renamed, and opened anew on a signal.
#[test]
fn nginx_logs_what_was_sent() {
    let Some(program) = debian::program("nginx", "/usr/sbin/nginx") else { return };
    let folder = TempDir::new().expect("a folder");
    let (root, port) = (folder.path(), port());
    let json = section("nginx").0.replace("/var/log/nginx/access.json", "access.json");
    let config = format!(
        "daemon off; master_process off; pid nginx.pid; error_log stderr notice; events {{}}\n\
         http {{ client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;\n\
         {}\nserver {{ listen 127.0.0.1:{port}; listen [::1]:{port}; access_log access.log combined; access_log access.json tripline;\n\
         location / {{ return 200 \"an answer\"; }} location /42 {{ return 404; }} location /users {{ return 204; }} }} }}\n",
        json.split("access_log").next().expect("the format")
    );
    fs::write(root.join("nginx.conf"), config).expect("a config");
    let mut command = Command::new(program);
    command.arg("-e").arg("stderr").arg("-p").arg(root).args(["-c", "nginx.conf"]);
    let nginx = Process::start(&mut command, root);
    nginx.wait_to_say("getrlimit(RLIMIT_NOFILE)");

    let mut rotations = Vec::new();
    let sent = drive(port, |n, _| {
        for log in ["access.log", "access.json"] {
            fs::rename(root.join(log), root.join(format!("{log}.{n}"))).expect("a log");
        }
        nginx.signal("USR1");
        while !(root.join("access.log").exists() && root.join("access.json").exists()) {
            std::thread::yield_now();
        }
        rotations.push(n);
    });
    nginx.signal("QUIT");
    nginx.end();
    NGINX.check(&sent, root, &rotations);
    // `$request_uri` is empty where a request is refused.
    let holds = &[Holds::Headers, Holds::Zero, Holds::Unanswered];
    Log { name: "access.json", format: "nginx_json", holds, ..NGINX }.check(&sent, root, &rotations);
}

/// Apache, in Debian's combined format and in the common one; copied, and cut to nothing.
#[test]
fn apache_logs_what_was_sent() {
    let Some(program) = debian::program("apache2", "/usr/sbin/apache2") else { return };
    let folder = TempDir::new().expect("a folder");
    let (root, port) = (folder.path(), port());
    let modules =
        ["mpm_event", "authz_core"].map(|m| format!("LoadModule {m}_module /usr/lib/apache2/modules/mod_{m}.so"));
    let path = root.display();
    let config = format!(
        "ServerRoot {path}\nServerName localhost\nListen 127.0.0.1:{port}\nListen [::1]:{port}\nPidFile {path}/pid\nErrorLog /dev/stderr\n\
         DocumentRoot {path}\nMutex file:{path}\nUser www-data\nGroup www-data\n{}\nLogLevel crit mpm_event:notice core:crit\n\
         LogFormat \"%h %l %u %t \\\"%r\\\" %>s %O \\\"%{{Referer}}i\\\" \\\"%{{User-Agent}}i\\\"\" combined\n\
         LogFormat \"%h %l %u %t \\\"%r\\\" %>s %b\" common\n\
         CustomLog {path}/access.log combined\nCustomLog {path}/common.log common\n",
        modules.join("\n")
    );
    fs::write(root.join("httpd.conf"), config).expect("a config");
    fs::set_permissions(root, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("its own folder");
    let mut command = Command::new(program);
    command.args(["-DFOREGROUND", "-f"]).arg(root.join("httpd.conf"));
    let apache = Process::start(&mut command, root);
    apache.wait_to_say("resuming normal operations");

    let mut rotations = Vec::new();
    let mut rotated = [("access.log", 0), ("common.log", 0)];
    let sent = drive(port, |n, answered| {
        for (log, lines) in &mut rotated {
            let log = root.join(log);
            // It logs after it has answered: a line between copy and cut would be lost.
            let started = Instant::now();
            while *lines + lines_of(&log) < answered {
                assert!(started.elapsed() < DEADLINE, "{} never has all of {answered}", log.display());
                std::thread::yield_now();
            }
            *lines += lines_of(&log);
            fs::copy(&log, log.with_added_extension(n.to_string())).expect("a log");
            fs::OpenOptions::new().write(true).truncate(true).open(&log).expect("a log");
        }
        rotations.push(n);
    });
    apache.signal("TERM");
    apache.end();
    // `%O` counts the head, too; `%b` is the body.
    let holds = &[Holds::Headers, Holds::RefusedLines, Holds::Zero];
    Log { bytes: |answer| answer.bytes, holds, ..NGINX }.check(&sent, root, &rotations);
    let holds = &[Holds::RefusedLines];
    Log { name: "common.log", format: "common", holds, ..NGINX }.check(&sent, root, &rotations);
}
