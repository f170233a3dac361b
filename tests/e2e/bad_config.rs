//! A config that is wrong: one message with the place, a caret and what to do, and exit code 2, before anything is done.

use std::fs;

use tempfile::TempDir;
use tripline_tests::program::Output;
use tripline_tests::repository::sample;
use tripline_tests::tripline;

/// The commands that read the config all say `parts`; what `check` said.
fn check(config: &str, parts: &[&str]) -> Output {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("tripline.toml");
    fs::write(&path, config).expect("a config");
    for output in [tripline!("scan", "-c", &path, sample()), tripline!("run", "-c", &path)] {
        output.with_code(2).says(parts);
    }
    let output = tripline!("check", "-c", &path).with_code(2);
    output.says(parts);
    output
}

const HEALTHY: &str = "[state]\ndir = \"state\"\n\n[[source]]\npath = \"logs\"\n\n";

#[test]
fn a_misspelt_key() {
    check(
        "[state]\ndirr = \"state\"\n",
        &["tripline.toml:2:1", "2 | dirr", "^^^^", "unknown field `dirr`", "`dir`", "= help: "],
    );
    check(&format!("{HEALTHY}[[sources]]\npath = \"logs\"\n"), &["tripline.toml:7:", "sources", "^", "`source`"]);
}

#[test]
fn a_value_that_does_not_fit() {
    check("[[source]]\npath = \"logs\"\nformat = \"ngnix\"\n", &["tripline.toml:3:", "ngnix", "^^^^^", "combined"]);
    check("[[source]]\npath = \"logs\"\ntrusted_proxies = [\"10.0.0.0/99\"]\n", &["tripline.toml:3:", "^"]);
    check("[state\n", &["tripline.toml:1:", "^"]);
}

#[test]
fn an_unknown_parameter_of_a_rule() {
    let config = format!("{HEALTHY}[rules.params.\"api1/object-enumeration\"]\nmin_objcts = 5\n");
    check(&config, &["tripline.toml:8:", "min_objcts", "^^^^^^^^^^", "min_objects"]);
}

#[test]
fn an_exception_that_is_wrong() {
    let exception = |rules: &str, condition: &str| {
        format!(
            "[[exception]]\nrules = [\"{rules}\"]\nwhere = \"{condition}\"\nowner = \"o\"\nreason = \"r\"\nexpires = 2027-03-01\n"
        )
    };
    check(
        &exception("api1/*", "clinet_ip = '192.0.2.7'"),
        &["tripline.toml:3:", "clinet_ip", "^", "columns of requests"],
    );
    check(
        &exception("api1/nothing", "status = 200"),
        &["tripline.toml:2:", "no rule is called api1/nothing", "tripline check"],
    );
}

#[test]
fn a_config_that_is_not_there() {
    let output = tripline!("run", "-c", "/nonexistent/tripline.toml").with_code(2);
    output.says(&["/nonexistent/tripline.toml", "cannot read the config", "-c"]);
}

/// What only `run` needs, `check` tells before.
#[test]
fn a_destination_that_cannot_be_used() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("tripline.toml");
    fs::write(folder.path().join("odd.secret"), "whsec_not base64!").expect("a secret");
    fs::write(folder.path().join("odd.json"), "{\"text\": \"{{titel}}\"}").expect("a template");
    for (destination, parts) in [
        ("url = \"http://hooks.example.com/x\"", ["soc", "allow_http"]),
        ("url = \"https://hooks.example.com/x\"\nstyle = \"pidgin\"", ["pidgin", "native"]),
        ("url = \"https://hooks.example.com/x\"\nsecret_file = \"no.secret\"", ["no.secret", "cannot read"]),
        ("url = \"https://169.254.169.254/x\"", ["169.254.169.254", "never called"]),
        ("url = \"hooks.example.com\"", ["url is not one", "https://host/path"]),
        ("url = \"https://hooks.example.com/x\"\nsecret_file = \"odd.secret\"", ["odd.secret", "base64"]),
        (
            "url = \"https://hooks.example.com/x\"\nstyle = \"template\"\ntemplate_file = \"odd.json\"",
            ["odd.json", "titel"],
        ),
        ("url = \"https://hooks.example.com/x\"\ngroup_by = \"rule\"", ["native", "one alert a message"]),
        ("url = \"https://hooks.example.com/x\"\nstyle = \"slack\"\ngroup_wait = \"soon\"", ["group_wait", "90s"]),
        (
            "url = \"https://hooks.example.com/x\"\n[[destination]]\nname = \"soc\"\nurl = \"https://h.example.com\"",
            ["soc", "two"],
        ),
    ] {
        fs::write(&path, format!("{HEALTHY}[[destination]]\nname = \"soc\"\n{destination}\n")).expect("a config");
        for command in ["check", "run"] {
            tripline!(command, "-c", &path).with_code(2).says(&parts);
        }
    }
}

/// A config that `run` cannot do anything with.
#[test]
fn a_config_without_what_run_needs() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("tripline.toml");
    fs::write(&path, "").expect("a config");
    tripline!("run", "-c", &path).with_code(2).says(&["[state] dir"]);
    fs::write(&path, "[state]\ndir = \"state\"\n").expect("a config");
    tripline!("run", "-c", &path).with_code(2).says(&["[[source]] path"]);
}
