//! The `.slt` files beside the functions: SQL and what comes of it, in the form of sqllogictest.
//!
//! (The crate of that name would ask other features of what DataFusion is built on, and with them it would be built twice.)

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::prelude::SessionContext;

use crate::engine::session::session;
use crate::engine::window::{Mode, WindowPlanner};

/// Runs every `query` of the files; `TRIPLINE_UPDATE=1` writes what came.
#[test]
fn queries_answer_as_written() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let mut files = Vec::new();
    find(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/functions"), &mut files);
    assert!(files.len() > 2, "there are .slt files");
    let update = std::env::var_os("TRIPLINE_UPDATE").is_some();
    for file in files {
        let text = std::fs::read_to_string(&file).expect("a file");
        let answered = text.split("\n\n").map(|part| runtime.block_on(answer(part))).collect::<Vec<_>>().join("\n\n");
        if update {
            std::fs::write(&file, answered).expect("written");
        } else {
            assert_eq!(text, answered, "{}", file.display());
        }
    }
}

fn find(folder: &Path, files: &mut Vec<PathBuf>) {
    let entries = std::fs::read_dir(folder).expect("a folder");
    for path in entries.map(|entry| entry.expect("an entry").path()) {
        if path.is_dir() {
            find(&path, files);
        } else if path.extension().is_some_and(|e| e == "slt") {
            files.push(path);
        }
    }
}

/// A part of a file with the answer to its query, if it has one.
async fn answer(part: &str) -> String {
    let Some((before, rest)) = part.split_once("query\n") else { return part.to_owned() };
    let sql = rest.split("\n----").next().unwrap_or(rest);
    format!("{before}query\n{sql}\n----\n{}", run(sql).await.trim_end()) + if part.ends_with('\n') { "\n" } else { "" }
}

async fn run(sql: &str) -> String {
    let planner = WindowPlanner::new(Mode::Batch, std::collections::BTreeMap::new(), None);
    let context = SessionContext::new_with_state(session(Mode::Batch, planner.into(), 1));
    let rows = match context.sql(sql).await {
        Ok(frame) => frame.collect().await,
        Err(error) => Err(error),
    };
    let rows = match rows {
        Ok(rows) => rows,
        Err(error) => return format!("error: {}", error.strip_backtrace().lines().next().unwrap_or_default()),
    };
    let mut text = String::new();
    let options = FormatOptions::default().with_null("NULL");
    for batch in rows {
        let columns: Vec<_> =
            batch.columns().iter().map(|c| ArrayFormatter::try_new(c, &options).expect("prints")).collect();
        for row in 0..batch.num_rows() {
            let values: Vec<String> = columns.iter().map(|c| c.value(row).to_string()).collect();
            writeln!(text, "{}", values.join(" ")).expect("a string takes all");
        }
    }
    text
}

#[test]
fn every_function_documents_itself() {
    for (name, documentation) in super::documentation() {
        assert!(documentation.syntax_example.starts_with(&format!("{name}(")), "{name}");
        assert!(documentation.sql_example.is_some_and(|example| example.contains(&name)), "{name}");
        assert!(documentation.arguments.is_some_and(|arguments| !arguments.is_empty()), "{name}");
    }
}
