//! `docs/logging.md`: what it says of servers that Debian has, these servers take, and Tripline reads all of it.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;
use tripline_tests::program::Process;
use tripline_tests::{debian, repository, tripline};

/// The fenced blocks of a section: the server's config, and the source.
pub(crate) fn section(name: &str) -> (String, String) {
    let text = fs::read_to_string(repository::root().join("docs/logging.md")).expect("the page");
    let section = text.split("\n## ").find(|s| s.starts_with(&format!("{name}\n"))).expect("the section");
    let blocks: Vec<&str> = section.split("\n```").skip(1).step_by(2).collect();
    let inside = |block: &str| block.split_once('\n').expect("a block").1.to_owned();
    (inside(blocks[0]) + "\n", inside(blocks[1]) + "\n")
}

pub(crate) fn port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port").port()
}

/// Sends a request as soon as the server takes one, and waits for the end of the answer.
fn send(port: u16, request: &str) -> String {
    let deadline = Instant::now() + Duration::from_secs(30);
    let mut stream = loop {
        match TcpStream::connect(("127.0.0.1", port)) {
            Ok(stream) => break stream,
            Err(e) => assert!(Instant::now() < deadline, "nothing listens at {port}: {e}"),
        }
        std::thread::yield_now();
    };
    stream.write_all(request.as_bytes()).expect("a request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}

/// A request of alice's (password `wonder`), as it comes through a trusted proxy.
fn request(credentials: &str) -> String {
    format!(
        "GET /v1/users/42%2F7?q=%22a%22&limit=10 HTTP/1.1\r\nHost: API.example.com\r\nUser-Agent: te\"st/1.0\r\n\
         Referer: https://www.example.com/\r\nX-Forwarded-For: 198.51.100.7, 203.0.113.9\r\n\
         Authorization: Basic {credentials}\r\nConnection: close\r\n\r\n"
    )
}

const ALICE: &str = "YWxpY2U6d29uZGVy";
const MALLORY: &str = "bWFsbG9yeTp3cm9uZw==";

/// The rows that Tripline reads with the page's source.
fn rows(folder: &Path, source: &str, page: &str, log: &Path) -> Vec<Value> {
    let source = source.replace(page, &log.display().to_string()).replace("10.0.0.0/8", "127.0.0.0/8");
    let config = folder.join("tripline.toml");
    fs::write(&config, source).expect("a config");
    let output = tripline!("parse", "-c", &config, log).with_code(0);
    assert!(output.stderr.contains(" 0 rejected"), "{}", output.stderr);
    output.json()
}

/// What the page promises of a log.
fn check(row: &Value, user: Option<&str>) {
    let text = |column: &str| row[column].as_str().unwrap_or_default();
    assert_eq!((text("client_ip"), text("method")), ("203.0.113.9", "GET"), "{row}");
    assert_eq!((text("path"), text("query")), ("/v1/users/42%2F7", "q=%22a%22&limit=10"), "{row}");
    assert_eq!((text("host"), text("user_agent")), ("api.example.com", "te\"st/1.0"), "{row}");
    assert_eq!((text("protocol"), text("referer")), ("HTTP/1.1", "https://www.example.com/"), "{row}");
    assert!(text("request_id").len() >= 16, "{row}");
    assert!(row["bytes_in"].as_u64() > Some(0) && row["bytes_out"].as_u64() > Some(0), "{row}");
    assert!(row["duration_ms"].is_number() && row["status"].is_number(), "{row}");
    let client = user.map_or("203.0.113.9".to_owned(), |user| format!("user:{user}"));
    assert_eq!(text("client"), client, "{row}");
}

/// Two requests end anywhere in a second: one in a million times both at its begin.
fn check_times(rows: &[Value]) {
    assert_eq!(rows.len(), 2, "{rows:?}");
    assert!(rows.iter().any(|row| row["ts"].as_str().is_some_and(|ts| ts.contains('.'))), "{rows:?}");
}

/// What two requests, of which the second is refused, must give where users are authenticated.
fn check_both(rows: &[Value]) {
    check_times(rows);
    check(&rows[0], Some("alice"));
    check(&rows[1], None);
    assert_eq!(rows[1]["status"], 401);
}

#[test]
fn nginx() {
    let Some(program) = debian::program("nginx", "/usr/sbin/nginx") else { return };
    let (config, source) = section("nginx");
    let folder = TempDir::new().expect("a folder");
    let (log, port) = (folder.path().join("access.json"), port());
    let config = config.replace("/var/log/nginx/access.json", &log.display().to_string());
    // (its workers are not root)
    let users = "alice:{PLAIN}wonder\n";
    fs::write(folder.path().join("users"), users).expect("a file");
    fs::write(
        folder.path().join("nginx.conf"),
        format!(
            "daemon off; master_process off; pid nginx.pid; error_log stderr notice; events {{}}\n\
             http {{ client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; \
             uwsgi_temp_path uwsgi; scgi_temp_path scgi;\n{config}\n\
             server {{ listen 127.0.0.1:{port}; location / {{ auth_basic x; auth_basic_user_file users; try_files /none =404; }} }} }}\n"
        ),
    )
    .expect("a config");
    let mut command = Command::new(program);
    command.arg("-e").arg("stderr").arg("-p").arg(folder.path()).args(["-c", "nginx.conf"]);
    let nginx = Process::start(&mut command, folder.path());
    for credentials in [ALICE, MALLORY] {
        send(port, &request(credentials));
    }
    nginx.signal("QUIT");
    nginx.end();
    check_both(&rows(folder.path(), &source, "/var/log/nginx/access.json", &log));
}

#[test]
fn apache() {
    let Some(program) = debian::program("apache2", "/usr/sbin/apache2") else { return };
    let (config, source) = section("Apache");
    let folder = TempDir::new().expect("a folder");
    let (log, port) = (folder.path().join("tripline.log"), port());
    let config = config.replace("/var/log/apache2/tripline.log", &log.display().to_string());
    // {SHA} of "wonder".
    fs::write(folder.path().join("users"), "alice:{SHA}w3QkzGJswDXW5OKZHAJw0FELjfM=\n").expect("a file");
    let modules = ["mpm_event", "authn_core", "authn_file", "authz_core", "authz_user", "auth_basic", "unique_id"];
    let load = |m: &str| format!("LoadModule {m}_module /usr/lib/apache2/modules/mod_{m}.so");
    let modules = modules.map(load).join("\n");
    let root = folder.path().display();
    fs::write(
        folder.path().join("httpd.conf"),
        format!(
            "ServerRoot {root}\nServerName localhost\nListen 127.0.0.1:{port}\nPidFile {root}/pid\nErrorLog /dev/stderr\n\
             DocumentRoot {root}\nMutex file:{root}\nUseCanonicalName Off\nAllowEncodedSlashes NoDecode\nUser www-data\nGroup www-data\n{modules}\n{config}\
             <Location />\nAuthType Basic\nAuthName x\nAuthUserFile {root}/users\nRequire valid-user\n</Location>\n"
        ),
    )
    .expect("a config");
    // (its workers are not root, and read the users)
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(folder.path(), mode).expect("its own folder");
    let mut command = Command::new(program);
    command.args(["-DFOREGROUND", "-f"]).arg(folder.path().join("httpd.conf"));
    let apache = Process::start(&mut command, folder.path());
    apache.wait_to_say("resuming normal operations");
    for credentials in [ALICE, MALLORY] {
        send(port, &request(credentials));
    }
    apache.signal("TERM");
    apache.end();
    check_both(&rows(folder.path(), &source, "/var/log/apache2/tripline.log", &log));
}

#[test]
fn haproxy() {
    let Some(program) = debian::program("haproxy", "/usr/sbin/haproxy") else { return };
    let (config, source) = section("HAProxy");
    let folder = TempDir::new().expect("a folder");
    let (log, port) = (folder.path().join("haproxy.log"), port());
    fs::write(
        folder.path().join("haproxy.cfg"),
        format!(
            "global\n    log stdout len 8192 format raw local0\ndefaults\n    mode http\n    log global\n    timeout client 10s\n\
             frontend web\n    bind 127.0.0.1:{port}\n{config}    http-request return status 404\n"
        ),
    )
    .expect("a config");
    let mut command = Command::new(program);
    command.args(["-db", "-f", "haproxy.cfg"]);
    let haproxy = Process::start(&mut command, folder.path());
    for credentials in [ALICE, MALLORY] {
        send(port, &request(credentials));
    }
    haproxy.signal("USR1");
    let said = haproxy.end().stdout;
    let lines: Vec<&str> = said.lines().filter(|line| line.starts_with('{')).collect();
    fs::write(&log, lines.join("\n") + "\n").expect("a log");
    let rows = rows(folder.path(), &source, "/var/log/haproxy.log", &log);
    check_times(&rows);
    check(&rows[0], None);
}

/// Every source on the page is one that `check` takes, and API Gateway's line has a field for each column it speaks of.
#[test]
fn all_sources_are_valid() {
    let text = fs::read_to_string(repository::root().join("docs/logging.md")).expect("the page");
    let folder = TempDir::new().expect("a folder");
    let mut sources = 0;
    for block in text.split("\n```toml\n").skip(1) {
        let config = folder.path().join("tripline.toml");
        fs::write(&config, block.split("\n```").next().expect("a block")).expect("a config");
        tripline!("check", "-c", &config).with_code(0);
        sources += 1;
    }
    assert_eq!(sources, 10);

    let (line, source) = section("AWS API Gateway");
    let filled = [
        ("$context.requestTimeEpoch", "1772442000123"),
        ("$context.identity.sourceIp", "203.0.113.9"),
        ("$context.path", "/v1/users/42"),
        ("$context.resourcePath", "/v1/users/{id}"),
        ("$context.status", "200"),
        ("$context.responseLength", "512"),
        ("$context.responseLatency", "12"),
        ("$context.httpMethod", "GET"),
        ("$context.authorizer.principalId", "alice"),
        ("$context.", ""),
    ];
    let line = filled.iter().fold(line, |line, (variable, value)| line.replace(variable, value));
    let log = folder.path().join("gateway.log");
    fs::write(&log, line).expect("a log");
    let row = rows(folder.path(), &source, "/var/log/api-gateway", &log).remove(0);
    assert_eq!(
        (&row["object"], &row["client"], &row["duration_ms"]),
        (&"42".into(), &"user:alice".into(), &12.0.into())
    );
}
