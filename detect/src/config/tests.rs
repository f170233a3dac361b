//! Configs by example.

use super::*;

fn parse(text: &str, env: &[(&str, &str)]) -> Result<Config, Diagnostic> {
    Config::parse("tripline.toml", text, env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())))
}

#[test]
fn a_misspelt_key_is_pointed_at() {
    let error = parse("[state]\ndirr = \"x\"\n", &[]).unwrap_err().to_string();
    assert!(error.contains("tripline.toml:2:1") && error.contains("dirr"), "{error}");
}

#[test]
fn the_environment_overrides() {
    let config = parse("[state]\ndir = \"a\"\n", &[("TRIPLINE__STATE__DIR", "b"), ("HOME", "x")]).unwrap();
    assert_eq!(config.state.dir, Some(PathBuf::from("b")));
    assert!(parse("", &[("TRIPLINE__STATE__DIRR", "b")]).is_err());
}

#[test]
fn names_of_lookups_are_checked() {
    let lookup = |name: &str| format!("[[lookup]]\nname = \"{name}\"\npath = \"a.csv\"\n");
    assert_eq!(parse(&lookup("partners"), &[]).unwrap().lookups[0].name, "partners");
    for (text, part) in [
        (lookup("requests"), "built in"),
        (lookup("Partners"), "lower-case"),
        (lookup("order"), "word of SQL"),
        (lookup("a") + &lookup("a"), "two lookups are named a"),
    ] {
        let error = parse(&text, &[]).unwrap_err().to_string();
        assert!(error.contains(part) && error.contains("tripline.toml:") && error.contains("another name"), "{error}");
    }
}

#[test]
fn metrics_are_off_or_at_an_address() {
    assert_eq!(parse("", &[]).unwrap().metrics.listen, None);
    let listen = |text: &str| parse(&format!("[metrics]\nlisten = \"{text}\"\n"), &[]);
    assert_eq!(listen("[::1]:9464").unwrap().metrics.listen.unwrap().port(), 9464);
    for bad in [":9464", "localhost", "127.0.0.1"] {
        let error = listen(bad).unwrap_err().to_string();
        assert!(error.contains("tripline.toml:2:10") && error.contains("127.0.0.1:9464"), "{error}");
    }
}

#[test]
fn silence_is_a_duration_or_off() {
    let after = |text: &str| parse(&format!("[[source]]\npath = \"x\"\nsilent_after = \"{text}\"\n"), &[]);
    assert_eq!(after("off").unwrap().sources[0].silent_after_us(), Ok(None));
    assert_eq!(after("2h").unwrap().sources[0].silent_after_us(), Ok(Some(7_200_000_000)));
    for bad in ["soon", "0s", ""] {
        let error = after(bad).unwrap_err().to_string();
        assert!(error.contains("tripline.toml:3:1"), "{error}");
    }
}

#[test]
fn a_source_is_read_from_its_beginning_or_its_end() {
    let start = |text: &str| parse(&format!("[[source]]\npath = \"x\"\n{text}\n"), &[]);
    assert_eq!(start("").unwrap().sources[0].start, Start::Beginning);
    assert_eq!(start("start = \"end\"").unwrap().sources[0].start, Start::End);
    assert!(start("start = \"now\"").unwrap_err().to_string().contains("tripline.toml:3:9"));
}

#[test]
fn history_is_bounded_in_age_and_size() {
    let config = parse("[history]\ndir = \"h\"\n", &[]).unwrap().history;
    assert_eq!((config.keep, config.max_bytes), (30 * 86_400_000_000, 50_000_000_000));
    let env = [("TRIPLINE__HISTORY__MAX_BYTES", "2 GiB"), ("TRIPLINE__HISTORY__KEEP", "12h")];
    let config = parse("", &env).unwrap().history;
    assert_eq!((config.dir, config.keep, config.max_bytes), (None, 43_200_000_000, 2 << 30));
    for wrong in ["keep = \"long\"", "max_bytes = \"much\"", "max_bites = 1"] {
        let error = parse(&format!("[history]\n{wrong}\n"), &[]).unwrap_err().to_string();
        assert!(error.contains("tripline.toml:2:"), "{error}");
    }
}

#[test]
fn unknown_formats_and_columns_are_named() {
    let error = parse("[[source]]\npath = \"x\"\nformat = \"nginxx\"\n", &[]).unwrap_err().to_string();
    assert!(error.contains("nginxx") && error.contains("combined"), "{error}");
    for (text, part) in [
        ("log_format = '$remote_addr $request'", "it has no time"),
        ("fields = { ts = \"t\", url = \"u\", ip = \"i\" }", "`ip` is not among"),
        ("format = \"main\"\nlog_format = '%t %r'", "leave out format"),
    ] {
        let error = parse(&format!("[[source]]\npath = \"x\"\n{text}\n"), &[]).unwrap_err().to_string();
        assert!(error.contains(part) && error.contains("tripline.toml:"), "{error}");
    }
    assert!(parse("[[source]]\npath = \"x\"\nlog_format = '%h %t \"%r\"'\n", &[]).is_ok());
    assert!(parse("[[source]]\npath = \"x\"\nclient = [\"sesion\"]\n", &[]).is_err());
    assert!(parse("[[source]]\npath = \"x\"\nlateness = \"soon\"\n", &[]).is_err());
}
