//! Surfaces by example, beside a plain count, and under attack.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use tripline_ingest::route::Template;

use super::*;
use crate::engine::state::sketch::Estimator;

fn request(ts: i64, status: u16, client: &str) -> Request<'_> {
    Request { ts, method: Some("GET"), status: Some(status), client, object: None }
}

fn of(requests: &[(&str, u16)]) -> Surface {
    let mut surface = Surface::default();
    for (i, (route, status)) in requests.iter().enumerate() {
        surface.count(None, route, &request(i64::try_from(i).expect("few"), *status, "192.0.2.1"));
    }
    surface
}

fn routes(report: &Report) -> Vec<(&str, u64, Option<u64>)> {
    report.routes.iter().map(|seen| (seen.route.as_str(), seen.stats.requests, seen.names)).collect()
}

#[test]
fn only_what_was_answered_is_a_route() {
    let report =
        of(&[("/a", 404), ("/wp-admin", 404), ("/a", 200), ("/b", 301), ("/login", 302), ("/a", 500)]).report(50);
    assert_eq!(routes(&report), [("/a", 3, None), ("/login", 1, None)]);
    assert_eq!((report.unanswered_routes, report.unanswered_requests, report.requests), (2, 2, 6));
    let stats = &report.routes[0].stats;
    assert_eq!((stats.statuses, stats.first, stats.last), ([0, 0, 1, 0, 1, 1], 0, 5));
}

#[test]
fn many_names_at_one_place_are_a_variable() {
    let slugs: Vec<String> = (0..60)
        .map(|i| format!("/shop/products/shoe-{}", char::from(b'a' + i % 26).to_string().repeat(i.into())))
        .collect();
    let reviews = slugs.iter().map(|slug| format!("{slug}/reviews"));
    let all: Vec<String> = slugs.iter().cloned().chain(reviews).chain(["/shop/cart".to_owned()]).collect();
    let requests: Vec<(&str, u16)> = all.iter().map(|route| (route.as_str(), 200)).collect();
    let report = of(&requests).report(50);
    assert_eq!(
        routes(&report),
        [
            ("/shop/products/{product}", 60, Some(60)),
            ("/shop/products/{product}/reviews", 60, Some(60)),
            ("/shop/cart", 1, None)
        ]
    );
    assert_eq!(of(&requests).report(100).routes.len(), 121);
}

#[test]
fn resources_are_no_variable() {
    let mut surface = Surface::default();
    for i in 0..80 {
        let route = format!("/v1/resource{i}");
        for method in ["GET", "POST", "PUT"].iter().take(1 + i % 3) {
            surface.count(None, &route, &Request { method: Some(method), ..request(0, 200, "a") });
        }
    }
    assert_eq!(surface.report(50).routes.len(), 80);
}

#[test]
fn attackers_do_not_fill_it() {
    let mut surface = Surface::default();
    for i in 0..300_000 {
        surface.count(None, &format!("/{i:x}/x{}", i % 1000), &request(0, 404, "a"));
        surface.count(None, &format!("/p{}/q{i:x}/r{}", i % 700, i % 13), &request(0, 200, "a"));
    }
    surface.count(None, "/v1/users", &request(0, 200, "a"));
    assert!(surface.tree.size() < 45_000 && surface.unanswered.len() <= MAX_UNANSWERED);
    let report = surface.report(50);
    let listed: u64 = report.routes.iter().map(|seen| seen.stats.requests).sum();
    assert_eq!((listed, report.unanswered_requests), (300_001, 300_000));
}

#[test]
fn templates_give_routes_their_names() {
    let template = |path: &str| Template { path: path.to_owned(), ..Template::default() };
    let templates = Templates::new(&[template("/users/{userId}"), template("/old")], Vec::new()).expect("valid");
    let mut surface = Surface::with_templates(templates);
    for route in ["/users/{id}", "/users/alice", "/new"] {
        surface.count(None, route, &request(0, 200, "a"));
    }
    surface.count(None, "/old", &request(0, 404, "a"));
    let report = surface.report(50);
    assert_eq!(routes(&report), [("/users/{userId}", 2, None), ("/new", 1, None), ("/old", 1, None)]);
}

proptest! {
    /// Below the limits it is a plain count by route, in whichever order answers come.
    #[test]
    fn it_counts(requests in proptest::collection::vec(("/[ab]{0,2}(/[ab])?", prop_oneof![Just(200u16), Just(404)], "[xyz]"), 0..80)) {
        let mut surface = Surface::default();
        let mut model: BTreeMap<&str, (u64, BTreeSet<&str>, bool)> = BTreeMap::new();
        for (route, status, client) in &requests {
            surface.count(None, route, &request(0, *status, client));
            let entry = model.entry(route).or_default();
            entry.0 += 1;
            entry.1.insert(client);
            entry.2 |= *status == 200;
        }
        let report = surface.report(50);
        let mut estimator = Estimator::default();
        let found: BTreeMap<&str, (u64, usize)> = report.routes.iter()
            .map(|s| (s.route.as_str(), (s.stats.requests, usize::try_from(s.stats.clients.count(&mut estimator)).expect("few"))))
            .collect();
        let expected: BTreeMap<&str, (u64, usize)> =
            model.iter().filter(|(_, m)| m.2).map(|(route, m)| (*route, (m.0, m.1.len()))).collect();
        prop_assert_eq!(found, expected);
    }
}
