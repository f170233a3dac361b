//! `tripline functions`, and a function of Tripline's in a query.

use std::fmt::Write as _;

use tripline_tests::tripline;

#[test]
fn lists_and_explains() {
    let list = tripline!("functions").with_code(0).stdout;
    for syntax in ["poisson_tail(k, mean)", "dense_ids(id)", "object_part(object, n)", "in_network("] {
        assert!(list.contains(syntax), "{list}");
    }
    let one = tripline!("functions", "gamma_poisson_tail").with_code(0).stdout;
    for part in ["gamma_poisson_tail(k, shape, rate, exposure)", "  shape: ", "Formula: ", "SELECT gamma_poisson_tail("]
    {
        assert!(one.contains(part), "{one}");
    }
    let error = tripline!("functions", "median").with_code(2).stderr;
    assert!(error.contains("Tripline adds no function median"), "{error}");
}

#[test]
fn they_are_there_in_a_query() {
    let log = tempfile::NamedTempFile::new().expect("a temporary file");
    let mut lines = String::new();
    for id in 0..200 {
        let (minute, second) = (id / 60, id % 60);
        writeln!(
            lines,
            "198.51.100.7 - - [05/Mar/2024:10:{minute:02}:{second:02} +0000] \"GET /v1/users/{id} HTTP/1.1\" 200 5"
        )
        .expect("a string takes all");
    }
    std::fs::write(log.path(), lines).expect("writes");
    let sql = "SELECT client, dense_ids(CAST(object AS BIGINT)) AS dense, interval_variation(ts) AS variation, \
        poisson_tail(count(*), 20) < 1e-9 AS odd FROM requests GROUP BY client";
    let found = tripline!("query", sql, "--format", "json", "--logs", log.path()).with_code(0).stdout;
    assert_eq!(found.trim(), r#"{"client":"198.51.100.7","dense":200.0,"variation":0.0,"odd":true}"#);
}
