//! `tripline formats`, and logs whose format the config describes or a wrapper hides.

use std::fs;

use tripline_tests::tripline;

const LINE: &str = "198.51.100.7 - - [05/Mar/2024:10:00:00 +0000] \"GET /v1/users/17 HTTP/1.1\" 200 5 \"-\" \"agent\"";

#[test]
fn lists_and_detects() {
    let list = tripline!("formats").with_code(0).stdout;
    for name in ["combined", "aws_alb", "cloudfront", "docker", "$remote_addr", "log_format"] {
        assert!(list.contains(name), "{list}");
    }
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (docker, unknown) = (dir.path().join("docker.log"), dir.path().join("app.log"));
    let line = serde_json::json!({"log": format!("{LINE}\n"), "stream": "stdout", "time": "2024-03-05T10:00:00Z"});
    fs::write(&docker, format!("{line}\n")).expect("writes");
    fs::write(&unknown, "started\nready\n").expect("writes");
    let found = tripline!("formats", "detect", &docker).with_code(0).stdout;
    for part in ["docker.log: docker+combined", "docker+common", "1 of 1 lines, 2 fields unknown", "/v1/users/{id}"] {
        assert!(found.contains(part), "{part}: {found}");
    }
    let found = tripline!("formats", "detect", &unknown).with_code(2).stdout;
    assert!(found.contains("its format is unknown") && found.contains("parses 0 of 2 lines"), "{found}");
}

#[test]
fn a_directory_of_many_formats_and_a_layout_of_ones_own() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    fs::write(dir.path().join("a.log"), format!("{LINE}\n")).expect("writes");
    let w3c = "#Fields: date time c-ip cs-method cs-uri-stem sc-status\n2024-03-05 10:00:01 198.51.100.8 GET /b 200\n";
    fs::write(dir.path().join("b.log"), w3c).expect("writes");
    fs::write(dir.path().join("c.log"), format!("Mar  5 10:00:02 gate nginx: {LINE}\nMar  5 10:00:03 gate nginx: x\n"))
        .expect("writes");
    let output = tripline!("parse", dir.path()).with_code(0);
    assert_eq!(output.json().len(), 3, "{}", output.stderr);
    assert!(output.stderr.contains("5 lines: 3 rows, 1 rejected"), "{}", output.stderr);
    let own = dir.path().join("own");
    fs::write(&own, "2024-03-05T10:00:00Z|198.51.100.9|GET|/v1/a?b|0.25\n").expect("writes");
    let layout = "$time_iso8601|$remote_addr|$request_method|$request_uri|$request_time";
    let output = tripline!("parse", &own, "--log-format", layout).with_code(0);
    let row = &output.json()[0];
    assert!(row["query"] == "b" && row["duration_ms"] == 250.0, "{row}");
    assert!(tripline!("parse", &own, "--log-format", "$status").with_code(2).stderr.contains("it has no time"));
}

#[test]
fn what_newcomers_bring() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let write = |name: &str, text: &[u8]| fs::write(dir.path().join(name), text).expect("writes");
    write("a.log", format!("{LINE}\n").repeat(3).as_bytes());
    let json = r#"{"time_iso8601":"2024-03-05T10:00:00Z","remote_addr":"198.51.100.9","request":"GET /b HTTP/1.1","status":200}"#;
    write("changed.log", (format!("{LINE}\n").repeat(120) + &format!("{json}\n").repeat(30)).as_bytes());
    write("error.log", b"2024/03/05 10:15:16 [error] 31#31: *3 open() failed\n");
    write("list.json", b"[\n {\n  \"httpRequest\": {\n");
    write("packed.log.xz", b"\xFD7zXZ\0\0\x04\xE6\xD6\xB4\x46");

    // A directory: a line a file, and what is no access log is called what it is.
    let listed = tripline!("formats", "detect", dir.path()).with_code(0).stdout;
    for part in [
        "a.log: combined\n",
        "changed.log: combined\n",
        "an error log",
        "jq -c '.[]'",
        "packed.log.xz: is binary",
        "unpack it",
    ] {
        assert!(listed.contains(part), "{part}: {listed}");
    }
    // A file whose format changes: where, and to which.
    let changed = dir.path().join("changed.log");
    let found = tripline!("formats", "detect", &changed).with_code(0).stdout;
    let at = (LINE.len() + 1) * 120;
    for part in [format!("at byte {at}"), "150 lines, 120 requests".to_owned(), "nginx_json fits better".to_owned()] {
        assert!(found.contains(&part), "{part}: {found}");
    }
    let output = tripline!("parse", &changed).with_code(0);
    assert_eq!(output.json().len(), 120);
    assert!(output.stderr.contains("30 of 150 lines are no requests in its format, combined"), "{}", output.stderr);
    assert!(tripline!("formats", "detect", dir.path().join("nosuch")).with_code(2).stderr.contains("no such file"));
}
