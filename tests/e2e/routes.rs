//! Routes: what logs show of them, templates in the config, OpenAPI files.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use serde_json::Value;
use tempfile::TempDir;
use tripline_tests::logs::{at, combined};
use tripline_tests::tripline;

struct Scene {
    folder: TempDir,
}

impl Scene {
    /// A shop: products by name, profiles by nickname, a scanner.
    fn new() -> Self {
        let folder = TempDir::new().expect("a folder");
        let names = |i: i64| ["oak", "ash", "elm", "fir", "yew"].map(|tree| format!("{tree}-{}", word(i)));
        let products = (0..40).flat_map(names).enumerate().map(|(i, name)| {
            let i = i64::try_from(i).expect("few");
            combined(at(i), &format!("192.0.2.{}", i % 7), &format!("GET /shop/products/{name}"), 200)
        });
        let profiles =
            (0..5).map(|i| combined(at(300 + i), "192.0.2.9", &format!("GET /people/{}?ref=x{i}", word(i)), 200));
        let scanner = (0..50).map(|i| combined(at(400 + i), "198.51.100.1", &format!("GET /{}.php", word(i)), 404));
        let log: String = products.chain(profiles).chain(scanner).collect();
        fs::write(folder.path().join("access.log"), log).expect("a log");
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        fs::write(self.path(name), text).expect("a file");
        self.path(name)
    }
}

/// Letters alone: no rule takes them for an id.
fn word(i: i64) -> String {
    let digit = |d: i64| char::from(b'a' + u8::try_from(d % 26).expect("small"));
    [digit(i / 26), digit(i), 'x'].iter().collect()
}

#[test]
fn routes_are_listed_and_templates_proposed() {
    let scene = Scene::new();
    let output = tripline!("routes", scene.path("access.log")).with_code(0);
    output.shows(&["/shop/products/{product}", "/people/aax", "GET", "2026-03-02T00:"]);
    assert!(!output.stdout.contains(".php"), "{}", output.stdout);
    output.says(&["[[route]]\npath = \"/shop/products/{product}\"", "200 names", "50 requests to 50 routes"]);

    let rows = tripline!("routes", "--format", "json", scene.path("access.log")).with_code(0).json();
    let products = &rows[0];
    for (column, value) in [
        ("route", Value::from("/shop/products/{product}")),
        ("methods", "GET".into()),
        ("requests", 200.into()),
        ("status_2xx", 200.into()),
        ("status_4xx", 0.into()),
        ("clients", 7.into()),
        ("first_seen", "2026-03-02T00:00:00Z".into()),
        ("last_seen", "2026-03-02T00:03:19Z".into()),
        ("proposed", true.into()),
    ] {
        assert_eq!(products[column], value, "{products}");
    }
    assert_eq!(rows.len(), 6);
    let csv = tripline!("routes", "--format", "csv", "--names", "300", scene.path("access.log")).with_code(0).stdout;
    assert_eq!(csv.lines().count(), 206);
    assert!(csv.starts_with("route,methods,requests,"), "{csv}");

    // A history, or any Parquet with the columns of `requests`, is as good as the log.
    let parquet = scene.path("requests.parquet");
    let all = "SELECT * FROM requests ORDER BY ts";
    tripline!("query", all, "--logs", scene.path("access.log"), "--format", "parquet", "-o", &parquet).with_code(0);
    assert_eq!(tripline!("routes", "--format", "json", &parquet).with_code(0).json(), rows);
}

const CONFIG: &str = "[[source]]
path = \"access.log\"
object_params = [\"ref\"]

[[route]]
path = \"/shop/products/{product}\"
sensitivity = \"low\"

[[route]]
path = \"/people/{nick}\"
sensitivity = \"high\"
";

/// Templates give the same routes and objects wherever logs are read.
#[test]
fn templates_count_in_every_command() {
    let scene = Scene::new();
    let (config, log) = (scene.write("tripline.toml", CONFIG), scene.path("access.log"));
    let sql = "SELECT \"offset\", route, object FROM requests WHERE route LIKE '/people/%' ORDER BY \"offset\"";
    let queried = tripline!("query", "-c", &config, "--format", "json", sql, "--logs", &log).with_code(0).json();
    assert_eq!(queried.len(), 5);
    assert_eq!((&queried[1]["route"], &queried[1]["object"]), (&"/people/{nick}".into(), &"abx/x1".into()));
    let of_sources = tripline!("query", "-c", &config, "--format", "json", sql).with_code(0).json();
    assert_eq!(of_sources, queried);
    let parsed = tripline!("parse", "-c", &config, &log).with_code(0).json();
    let parsed: Vec<Value> = parsed
        .iter()
        .filter(|row| row["route"].as_str().is_some_and(|route| route.starts_with("/people/")))
        .map(|row| serde_json::json!({"offset": row["offset"], "route": row["route"], "object": row["object"]}))
        .collect();
    assert_eq!(parsed, queried);
    let routes = tripline!("routes", "-c", &config, "--format", "json").with_code(0).json();
    let names: Vec<&Value> = routes.iter().map(|row| &row["route"]).collect();
    assert_eq!(names, ["/shop/products/{product}", "/people/{nick}"]);
    assert_eq!((&routes[0]["objects"], &routes[0]["proposed"]), (&200.into(), &false.into()));
}

/// What a route is worth, rules read in the table `routes`; their tests may say it themselves.
#[test]
fn rules_join_routes() {
    let scene = Scene::new();
    let rule = "/*\ntitle = \"t\"\nentity = [\"client\"]\n*/\n
        SELECT window_start, window_end, w.client, count(*) AS n FROM tumble(requests, ts, INTERVAL '1 hour') w
        JOIN routes r ON r.route = w.route AND r.sensitivity = 'high' GROUP BY window_start, window_end, w.client";
    fs::create_dir_all(scene.path("rules/worth/tests/lookups")).expect("a folder");
    scene.write("rules/worth/rule.sql", rule);
    let config = scene.write("tripline.toml", &format!("{CONFIG}\n[rules]\ndirs = [\"rules\"]\n"));
    let log = scene.path("access.log");
    let found =
        tripline!("scan", "-c", &config, "--only", "worth", "--format", "json", "--quiet", &log).with_code(0).json();
    assert_eq!(found.len(), 1);
    assert_eq!((&found[0]["entity"]["client"], &found[0]["values"]["n"]), (&"192.0.2.9".into(), &5.into()));
    assert_eq!(crate::equality::compare("worth", &config, &log), 1);

    scene.write("rules/worth/tests/quiet.log", &combined(at(0), "192.0.2.9", "GET /people", 200));
    scene.write("rules/worth/tests/lookups/routes.csv", "route,sensitivity\n/people,low\n");
    tripline!("test", scene.path("rules/worth")).with_code(0).shows(&["1 passed"]);
    tripline!("check", "-c", &config)
        .with_code(0)
        .shows(&["routes", "2 rows (route text, sensitivity text, deprecated boolean)"]);
}

#[test]
fn the_difference_to_an_openapi_file() {
    let scene = Scene::new();
    let api = scene.write(
        "api.yaml",
        "openapi: 3.0.3\npaths:\n  /shop/products/{slug}:\n    get: {operationId: product, deprecated: true}\n  /shop/cart:\n    post: {}\n",
    );
    let log = scene.path("access.log");
    let rows = tripline!("routes", "--openapi", &api, "--format", "json", &log).with_code(0).json();
    let found: BTreeSet<String> = rows
        .iter()
        .map(|row| {
            format!("{} {} {} {}", row["difference"], row["method"], row["route"], row["requests"]).replace('"', "")
        })
        .collect();
    let mut expected: BTreeSet<String> = (0..5).map(|i| format!("undocumented GET /people/{} 1", word(i))).collect();
    expected.extend(["deprecated GET /shop/products/{slug} 200".to_owned(), "unused POST /shop/cart 0".to_owned()]);
    assert_eq!(found, expected);
    tripline!("routes", "--openapi", &api, &log).with_code(0).shows(&[
        "undocumented",
        "/shop/products/{slug}",
        "product",
    ]);

    // In the config, its paths are templates; those of the config count first.
    let config = scene.write(
        "tripline.toml",
        "openapi = \"api.yaml\"\n[[route]]\npath = \"/people/{nick}\"\n[[route]]\npath = \"/shop/cart\"\nsensitivity = \"medium\"\n",
    );
    let routes = tripline!("routes", "-c", &config, "--format", "json", &log).with_code(0).json();
    assert_eq!((&routes[0]["route"], routes.len()), (&"/shop/products/{slug}".into(), 2));
    let table =
        tripline!("query", "-c", &config, "--format", "csv", "SELECT * FROM routes ORDER BY route").with_code(0).stdout;
    assert_eq!(
        table,
        "route,sensitivity,deprecated\n/people/{nick},,false\n/shop/cart,medium,false\n/shop/products/{slug},,true\n"
    );
}

#[test]
fn mistakes_are_pointed_at() {
    let scene = Scene::new();
    scene.write("bad.yaml", "openapi: 3.0.0\npaths: [\n");
    for (text, parts) in [
        ("[[route]]\npath = \"/a\"\n[[route]]\npath = \"/a\"\n", ["tripline.toml:4:9", "leave one of them out"]),
        ("[[route]]\npath = \"users/{id}\"\n", ["tripline.toml:2:9", "does not begin with /"]),
        ("[[route]]\npath = \"/a\"\nsensitivity = \"hot\"\n", ["tripline.toml:3:15", "`low`, `medium`"]),
        ("openapi = \"none.yaml\"\n", ["none.yaml", "cannot be read"]),
        ("openapi = \"bad.yaml\"\n", ["bad.yaml", "not YAML"]),
    ] {
        let config = scene.write("tripline.toml", text);
        tripline!("check", "-c", &config).with_code(2).says(&parts);
    }
    tripline!("routes").with_code(2).says(&["[[source]]"]);
    tripline!("routes", "/nonexistent").with_code(2).says(&["/nonexistent"]);
}
