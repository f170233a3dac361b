//! How fast one thread reads a log of each kind; alone: copying the same bytes, or unpacking the same archive, and nothing else.
//! `cargo bench -p tripline-ingest`; `cargo bench -p tripline-ingest -- json` for what has that in its name.
//! Invented traffic, half of it with ids in the path; from the page cache, routes and objects included.
#![expect(clippy::cast_precision_loss, reason = "figures for people")]

use std::fmt::Write as _;
use std::fs::File;
use std::hint::black_box;
use std::io::{BufReader, Read, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use flate2::bufread::MultiGzDecoder;
use flate2::write::GzEncoder;
use tripline_ingest::route::{Template, Templates};
use tripline_ingest::{LogReader, Mode, Privacy, SourceOptions, probe};

const LINES: u32 = 500_000;
const ROUNDS: usize = 5;
/// Bytes that are unpacked at a time.
const BLOCK: usize = 4 << 20;

fn main() {
    println!("{:24} {:>8} {:>10} {:>10} {:>10}", "format", "MB", "GB/s", "M lines/s", "alone GB/s");
    measure("combined", combined);
    measure_with("combined, privacy", &private(None), combined);
    measure_with("combined, keyed", &private(Some(b"0123456789abcdef")), combined);
    measure_with("combined, 400 templates", &templates(), combined);
    measure("main", |i| format!("{} \"-\"", combined(i)));
    measure("combined, IPv6", |i| combined(i).replacen("198.51.100.", "2001:db8:7:", 1));
    measure("nginx_json", |i| {
        let (minute, second) = (i / 60_000 % 60, i / 1000 % 60);
        format!(
            r#"{{"time_iso8601":"2024-03-05T10:{minute:02}:{second:02}+00:00","remote_addr":"198.51.100.{}","request_method":"GET","request_uri":"/api/v1/users/{i}","status":200,"body_bytes_sent":{},"request_time":0.012,"http_referer":"","http_user_agent":"{AGENT}","host":"api.example.com"}}"#,
            i % 250,
            i % 9000,
        )
    });
    let gzip = |text: &[u8]| {
        let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(text).and_then(|()| encoder.finish()).expect("memory")
    };
    measure_archive("combined, gzip", gzip, |file| Box::new(MultiGzDecoder::new(BufReader::new(file))));
    let zstd = |text: &[u8]| zstd::encode_all(text, 3).expect("memory");
    measure_archive("combined, zstd", zstd, |file| Box::new(zstd::Decoder::new(file).expect("an archive")));
}

/// An archive beside its decompression alone.
fn measure_archive(name: &str, pack: impl Fn(&[u8]) -> Vec<u8>, unpack: impl Fn(File) -> Box<dyn Read>) {
    if !is_wanted(name) {
        return;
    }
    let text = log(combined);
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(file.path(), pack(text.as_bytes())).expect("room for an archive");
    let unpacked = best(|| {
        let mut unpacking = unpack(File::open(file.path()).expect("is there"));
        let (mut block, mut bytes) = (Vec::with_capacity(BLOCK), 0);
        while unpacking.by_ref().take(BLOCK as u64).read_to_end(&mut block).expect("unpacks") > 0 {
            bytes += black_box(&block).len();
            block.clear();
        }
        assert_eq!(bytes, text.len());
    });
    report(name, text.len(), best(|| read(file.path(), &SourceOptions::default())), unpacked);
}

const AGENT: &str = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0 Safari/537.36";

fn combined(i: u32) -> String {
    let target = match i % 4 {
        0 => format!("/api/v1/users/{i}"),
        1 => format!("/api/v1/users/{i}/orders/{}?page=2&limit=50", i % 977),
        2 => "/static/css/site.css".to_owned(),
        _ => "/search?q=shoes".to_owned(),
    };
    let (minute, second) = (i / 60_000 % 60, i / 1000 % 60);
    let (client, bytes) = (i % 250, i * 7 % 90_000);
    format!(
        r#"198.51.100.{client} - - [05/Mar/2024:10:{minute:02}:{second:02} +0000] "GET {target} HTTP/1.1" 200 {bytes} "https://www.example.com/" "{AGENT}""#
    )
}

/// As the program reads logs: what is secret is replaced. There is nothing in these.
fn private(key: Option<&[u8]>) -> SourceOptions {
    let privacy = Privacy::new(true, &[], key).expect("no names");
    SourceOptions { privacy: Some(Arc::new(privacy)), ..SourceOptions::default() }
}

fn templates() -> SourceOptions {
    let others = (0..400).map(|i| format!("/api/v1/resource{i}/{{id}}"));
    let paths = others.chain(["/api/v1/users/{user}".to_owned(), "/api/v1/users/{user}/orders/{order}".to_owned()]);
    let all: Vec<Template> = paths.map(|path| Template { path, ..Template::default() }).collect();
    let templates = Templates::new(&all, Vec::new()).expect("valid templates");
    SourceOptions { templates: Some(Arc::new(templates)), ..SourceOptions::default() }
}

fn measure(name: &str, line: impl Fn(u32) -> String) {
    measure_with(name, &SourceOptions::default(), line);
}

fn measure_with(name: &str, options: &SourceOptions, line: impl Fn(u32) -> String) {
    if !is_wanted(name) {
        return;
    }
    let text = log(line);
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(file.path(), &text).expect("room for a log");
    let mut copy = vec![0; text.len()];
    let copied = best(|| black_box(&mut copy).copy_from_slice(black_box(text.as_bytes())));
    report(name, text.len(), best(|| read(file.path(), options)), copied);
}

/// `cargo bench -- json` measures what has `json` in its name. (Cargo adds `--bench`.)
fn is_wanted(name: &str) -> bool {
    let mut wanted = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).peekable();
    wanted.peek().is_none() || wanted.any(|part| name.contains(&part))
}

fn log(line: impl Fn(u32) -> String) -> String {
    let mut text = String::new();
    for i in 0..LINES {
        writeln!(text, "{}", line(i)).expect("a string takes all");
    }
    text
}

fn read(path: &Path, options: &SourceOptions) {
    let probe = probe(path, options).expect("a log");
    let mut reader = LogReader::open(&probe, options, Mode::Once).expect("opens");
    let mut rows = 0;
    while let Some(batch) = reader.next_batch().expect("reads") {
        assert!(batch.rejects.is_empty());
        rows += black_box(batch).rows.num_rows();
    }
    assert_eq!(rows, LINES as usize);
}

/// `beside`: what took so long with the same bytes, and nothing else.
fn report(name: &str, bytes: usize, took: Duration, beside: Duration) {
    let bytes = bytes as f64;
    println!(
        "{name:24} {:8.0} {:10.2} {:10.2} {:10.2}",
        bytes / 1e6,
        bytes / 1e9 / took.as_secs_f64(),
        f64::from(LINES) / 1e6 / took.as_secs_f64(),
        bytes / 1e9 / beside.as_secs_f64(),
    );
}

fn best(mut run: impl FnMut()) -> Duration {
    let time = |()| {
        let start = Instant::now();
        run();
        start.elapsed()
    };
    std::iter::repeat_n((), ROUNDS).map(time).min().unwrap_or_default()
}
