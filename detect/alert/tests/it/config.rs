//! Destinations: what is refused, and how it is said.

use std::path::PathBuf;

use tripline_alert::{Destination, Settings};

use crate::support::SECRET;

fn settings(url: &str) -> Settings {
    Settings { name: "soc".into(), url: url.into(), style: "native".into(), ..Settings::default() }
}

fn error(settings: &Settings) -> String {
    Destination::new(settings, |name| (name == "SET").then(|| SECRET.to_owned())).unwrap_err().to_string()
}

#[test]
fn urls() {
    let good = |url, allow_http| Destination::new(&Settings { allow_http, ..settings(url) }, |_| None).unwrap();
    good("https://hooks.example.com/tripline", false);
    good("https://10.0.0.7:8443/x?y=z", false);
    good("http://127.0.0.1:8080", true);
    for (url, expected) in [
        ("hooks.example.com", "not one"),
        ("https://", "not one"),
        ("file:///etc/passwd", "file://"),
        ("http://hooks.example.com/", "allow_http"),
        ("https://user:canary@example.com/", "user name or password"),
        ("https://169.254.169.254/latest/meta-data", "never called"),
        ("https://0xa9fea9fe/", "never called"),
        ("https://2852039166/", "never called"),
        ("https://0251.0376.0251.0376/", "never called"),
        ("https://[::ffff:169.254.169.254]/", "never called"),
        ("https://[::ffff:a9fe:a9fe]/", "never called"),
        ("https://[fe80::1]/", "never called"),
        ("https://[fd00:ec2::254]/", "never called"),
        ("https://100.100.100.200/", "never called"),
    ] {
        let error = error(&settings(url));
        assert!(error.contains(expected) && error.contains("\"soc\"") && !error.contains("canary"), "{url}: {error}");
    }
}

#[test]
fn names_and_styles() {
    for name in ["", "two words", "a/b", "é", &"x".repeat(65)] {
        assert!(
            error(&Settings { name: name.into(), ..settings("https://example.com") }).contains("1 to 64"),
            "{name}"
        );
    }
    assert!(error(&Settings { style: "slak".into(), ..settings("https://example.com") }).contains("there are: native"));
}

#[test]
fn secrets_from_a_file_or_the_environment() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &[u8]| -> PathBuf {
        let path = dir.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    };
    let with_file = |path| Settings { secret_file: Some(path), ..settings("https://example.com") };
    let with_env = |name: &str| Settings { secret_env: Some(name.into()), ..settings("https://example.com") };

    let two =
        Destination::new(&with_file(file("two", format!("{SECRET}\r\n{SECRET}\n").as_bytes())), |_| None).unwrap();
    assert_eq!(two.secrets.len(), 2);
    assert_eq!(Destination::new(&with_env("SET"), |_| Some(SECRET.into())).unwrap().secrets.len(), 1);
    assert!(Destination::new(&settings("https://example.com"), |_| None).unwrap().secrets.is_empty());

    assert!(error(&with_file(file("empty", b"\n"))).contains("it is empty"));
    assert!(error(&with_file(dir.path().join("missing"))).contains("cannot read"));
    assert!(error(&with_file(file("binary", &[0xff; 40]))).contains("whsec_"));
    assert!(error(&with_file(file("plain", b"hunter2-canary"))).contains("whsec_"));
    assert!(!error(&with_file(dir.path().join("plain"))).contains("canary"));
    assert!(error(&with_env("UNSET")).contains("UNSET"));
    let both = Settings { secret_env: Some("SET".into()), ..with_file(dir.path().join("two")) };
    assert!(error(&both).contains("keep one"));

    let pem = Settings { ca_file: Some(dir.path().join("plain")), ..settings("https://example.com") };
    assert!(error(&pem).contains("does not hold certificates"));
    let pem = Settings { client_certificate_file: Some(dir.path().join("plain")), ..settings("https://example.com") };
    assert!(error(&pem).contains("private key"));
}
