//! Runs the `.slt` files beside the functions: the part of sqllogictest that they need.
//!
//! `query` and its column types, the SQL, `----`, and a line a row with its values joined by blanks (`NULL`, `(empty)`); or
//! `statement error PART` and SQL that must not be accepted, with a message that has the part.

use std::path::{Path, PathBuf};

use arrow::util::display::{ArrayFormatter, FormatOptions};

use crate::config::Config;
use crate::engine::Keep;
use crate::enrichment::tiny_databases;
use crate::lookups::Lookups;
use crate::query::BatchSession;

async fn session() -> BatchSession {
    let folder = tempfile::tempdir().expect("a folder");
    let [asn, country] = tiny_databases(folder.path());
    std::fs::write(folder.path().join("partners.txt"), "198.51.100.0/24\n2001:db8:7::/48\n").expect("a file");
    let text = format!(
        "[mmdb]\nasn = {:?}\ncountry = {:?}\n[networks]\npartners = {:?}\n",
        asn,
        country,
        folder.path().join("partners.txt")
    );
    let config = Config::parse("tripline.toml", &text, []).expect("a config");
    let (lookups, problems) = Lookups::read(&config);
    assert!(problems.is_empty(), "{problems:?}");
    BatchSession::new(Vec::new(), &[], Keep::new(), &lookups, 1).await.expect("a session")
}

async fn rows(session: &BatchSession, sql: &str) -> Result<Vec<String>, String> {
    let plan = session.plan_sql(sql).await.map_err(|e| e.to_string())?;
    let (_, batches) = session.rows(plan).await.map_err(|e| e.to_string())?;
    let options = FormatOptions::default().with_null("NULL");
    let mut rows = Vec::new();
    for batch in batches {
        let columns: Vec<_> =
            batch.columns().iter().map(|c| ArrayFormatter::try_new(c, &options).expect("a column")).collect();
        for row in 0..batch.num_rows() {
            let values = columns.iter().map(|c| c.value(row).to_string());
            let values: Vec<String> = values.map(|v| if v.is_empty() { "(empty)".to_owned() } else { v }).collect();
            rows.push(values.join(" "));
        }
    }
    Ok(rows)
}

fn files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/functions");
    tripline_ingest::discover(&folder.join("**/*.slt").display().to_string()).files
}

#[tokio::test]
async fn functions_do_what_their_files_say() {
    let session = session().await;
    let mut records = 0;
    for file in files() {
        let text = std::fs::read_to_string(&file).expect("a file of tests");
        let blocks = text
            .split("\n\n")
            .map(|block| block.lines().filter(|line| !line.starts_with('#')).collect::<Vec<_>>().join("\n"));
        for block in blocks.filter(|block| !block.trim().is_empty()) {
            let (head, body) = block.trim_start().split_once('\n').expect("a head and SQL");
            let (sql, expected) = body.split_once("\n----").unwrap_or((body, ""));
            let found = rows(&session, sql).await;
            if let Some(part) = head.strip_prefix("statement error ") {
                let error = found.expect_err(sql);
                assert!(error.contains(part), "{}: {sql}\n{error}", file.display());
            } else {
                let found = found.unwrap_or_else(|e| panic!("{}: {sql}\n{e}", file.display()));
                assert!(head.starts_with("query"), "{}: {head}", file.display());
                assert_eq!(found, expected.trim().lines().collect::<Vec<_>>(), "{}: {sql}", file.display());
            }
            records += 1;
        }
    }
    assert!(records > 10, "{records} records");
}

#[test]
fn every_function_documents_itself_and_has_tests() {
    let files = files().into_iter().map(|file| std::fs::read_to_string(file).expect("a file of tests"));
    let tests = files.collect::<Vec<_>>().join("\n");
    for (name, documentation) in super::documentation() {
        assert!(documentation.syntax_example.starts_with(&format!("{name}(")), "{name}");
        assert!(!documentation.description.is_empty(), "{name}");
        assert!(documentation.sql_example.is_some_and(|example| example.contains(&name)), "{name}");
        assert!(documentation.arguments.is_some_and(|arguments| !arguments.is_empty()), "{name}");
        assert!(tests.contains(&format!("{name}(")), "{name} is in no .slt file");
    }
}
