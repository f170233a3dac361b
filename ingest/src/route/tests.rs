//! Routes and objects by example, and what must hold for any path.

use proptest::prelude::*;

use super::*;

#[track_caller]
fn check(target: &str, route: &str, object: Option<&str>, records: Option<u32>) {
    let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
    let mut scratch = Scratch::default();
    assert_eq!(route_and_object(path, query, &mut scratch), Routed { route, object, records }, "{target}");
}

#[test]
fn variable_segments() {
    check("/users/42/orders/7", "/users/{id}/orders/{id}", Some("42/7"), None);
    check("/42", "/{id}", Some("42"), None);
    check(
        "/f/0d4c9a52-6f7b-4c1e-9a41-3f0f8d2b7c55/meta",
        "/f/{id}/meta",
        Some("0d4c9a52-6f7b-4c1e-9a41-3f0f8d2b7c55"),
        None,
    );
    check("/c/660d1602e05705c8ca35c16c", "/c/{id}", Some("660d1602e05705c8ca35c16c"), None);
    check("/c/abcdefabcdefabcd", "/c/{id}", Some("abcdefabcdefabcd"), None);
    check("/c/9f8a7b6c", "/c/{id}", Some("9f8a7b6c"), None);
    check("/m/a.b@example.com", "/m/{id}", Some("a.b@example.com"), None);
    check("/m/a.b%40example.com/x", "/m/{id}/x", Some("a.b%40example.com"), None);
    check("/t/+4915112345678", "/t/{id}", Some("+4915112345678"), None);
    check("/t/%2B4915112345678", "/t/{id}", Some("%2B4915112345678"), None);
    check("/k/01ARZ3NDEKTSV4RRFFQ69G5FAV", "/k/{id}", Some("01ARZ3NDEKTSV4RRFFQ69G5FAV"), None);
    check("/k/3QFqS2v_-kP9d0yXbZ1aAw", "/k/{id}", Some("3QFqS2v_-kP9d0yXbZ1aAw"), None);
    check("/u/usr_9f8a7b6c", "/u/{id}", Some("usr_9f8a7b6c"), None);
    check("/u/user-4711", "/u/{id}", Some("user-4711"), None);
    check("/i/INV-2024-00017", "/i/{id}", Some("INV-2024-00017"), None);
    check("/i/INV-2024-00017.pdf", "/i/{id}.pdf", Some("INV-2024-00017"), None);
    check("/p/42.json", "/p/{id}.json", Some("42"), None);
}

#[test]
fn literal_segments() {
    for path in [
        "",
        "/",
        "*",
        "//",
        "/index.html",
        "/v1/users",
        "/v2beta1/x",
        "/2017-06-30/users",
        "/api/1.0/x",
        "/images/logo-2.png",
        "/static/jquery-3.6.0.min.js",
        "/assets/app.9f8a7b6c1d2e3f4a.js",
        "/assets/main-12345678.css",
        "/blog/top-10-tips-for-2024",
        "/windows/mp3-player",
        "/covid-19",
        "/deadbeef",
        "/@alice",
        "/caf%C3%A9",
        "/facade",
        "/oauth2/token",
    ] {
        check(path, path, None, None);
    }
}

#[test]
fn queries() {
    check("/u?id=42", "/u", Some("42"), None);
    check("/u/7?userId=42&x=1", "/u/{id}", Some("7/42"), None);
    check("/u?USER_ID=42&email=a%40b.example", "/u", Some("42/a%40b.example"), None);
    check("/u?customerID=9&paid=1&valid=2&grid=3", "/u", Some("9"), None);
    check("/u?request_id=1&sessionId=2&client-id=3", "/u", None, None);
    check("/u?ids=1,2,3&limit=50", "/u", Some("1,2,3"), Some(3));
    check("/u?ids[]=1&user_ids=1%2C2%2c3", "/u", Some("1/1%2C2%2c3"), Some(1));
    check("/u?limit=100", "/u", None, Some(100));
    check("/u?perPage=20&page=3", "/u", None, Some(20));
    check("/u?page_size=25", "/u", None, Some(25));
    check("/u?count=many&first=10", "/u", None, Some(10));
    check("/u?limit=99999999999", "/u", None, None);
    check("/u?id=&&=&id", "/u", None, None);
}

#[test]
fn sizes_are_bounded() {
    let deep = "/1".repeat(1000);
    let mut scratch = Scratch::default();
    let routed = route_and_object(&deep, None, &mut scratch);
    assert_eq!(routed.route, format!("{}/*", "/{id}".repeat(MAX_SEGMENTS - 1)));
    let long = format!("/a/{}", "x".repeat(100_000));
    assert_eq!(route_and_object(&long, None, &mut scratch).route, "/a/*");
    let wide = format!("/a/{}", "é1".repeat(600));
    assert_eq!(route_and_object(&wide, None, &mut scratch).route, wide);
    let query = format!("id={}", "é".repeat(1000));
    assert_eq!(route_and_object("/", Some(&query), &mut scratch).object.map(str::len), Some(MAX_OBJECT));
    let many = "id=1&".repeat(10_000);
    assert_eq!(route_and_object("/", Some(&many), &mut scratch).object.map(str::len), Some(127));
}

proptest! {
    /// The template with its placeholders filled in is the path again, and the scratch's past does not matter.
    #[test]
    fn a_route_and_its_object_rebuild_the_path(
        path in "(/(v[0-9]|[a-z]{1,9}|[0-9]{1,9}|[0-9a-f]{8}|[a-z]{3}_[0-9]{4}|[0-9]{2}\\.json)){0,8}",
        before in "(/[a-z0-9]{0,20}){0,5}",
    ) {
        let mut scratch = Scratch::default();
        route_and_object(&before, Some("id=1&id=2"), &mut scratch);
        let routed = route_and_object(&path, None, &mut scratch);
        let mut rebuilt = routed.route.to_owned();
        for part in routed.object.iter().flat_map(|object| object.split('/')) {
            rebuilt = rebuilt.replacen(PLACEHOLDER, part, 1);
        }
        prop_assert_eq!(rebuilt, path.clone());
        let mut fresh = Scratch::default();
        prop_assert_eq!(routed, route_and_object(&path, None, &mut fresh));
    }

    #[test]
    fn nothing_panics(path in any::<String>(), query in any::<String>()) {
        route_and_object(&path, Some(&query), &mut Scratch::default());
    }
}
