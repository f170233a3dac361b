//! Python as data people have it: DuckDB, pandas and pyarrow in a virtual environment of their own, in the cache directory.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

const PACKAGES: [&str; 3] = ["duckdb", "pandas", "pyarrow"];

/// Runs a program, whose last line is JSON. `None`, with a message, where the packages cannot be had; in continuous integration
/// (`CI=true`) they must.
pub fn python(program: &str, args: &[&Path]) -> Option<Value> {
    let python = match environment() {
        Ok(python) => python,
        Err(why) => {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "Python must be there when CI=true: {why}");
            eprintln!("skipped: no Python with {}: {why}", PACKAGES.join(", "));
            return None;
        }
    };
    let output = Command::new(python).arg("-c").arg(program).args(args).output().expect("Python runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("text");
    Some(serde_json::from_str(text.lines().last().unwrap_or_default()).expect("JSON"))
}

/// The environment's Python, made when it is first asked for.
fn environment() -> Result<PathBuf, String> {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")));
    let folder = cache.ok_or("neither XDG_CACHE_HOME nor HOME is set")?.join("tripline-tests").join("venv");
    let python = folder.join("bin/python");
    let works = || {
        let import = format!("import {}", PACKAGES.join(", "));
        Command::new(&python).args(["-c", &import]).output().is_ok_and(|output| output.status.success())
    };
    if works() {
        return Ok(python);
    }
    run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder))?;
    let install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
    run(Command::new(&python).args(install).args(PACKAGES))?;
    if works() { Ok(python) } else { Err("they were installed and cannot be imported".into()) }
}

fn run(command: &mut Command) -> Result<(), String> {
    match command.output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(String::from_utf8_lossy(&output.stderr).lines().last().unwrap_or("it failed").to_owned()),
        Err(e) => Err(e.to_string()),
    }
}
