//! Templates by example, and beside a model that tries them one by one.

use proptest::prelude::*;

use super::*;

fn template(path: &str) -> Template {
    Template { path: path.to_owned(), ..Template::default() }
}

fn templates(paths: &[&str]) -> Templates {
    let all: Vec<Template> = paths.iter().copied().map(template).collect();
    Templates::new(&all, Vec::new()).expect("valid templates")
}

#[track_caller]
fn check(templates: &Templates, target: &str, route: &str, object: Option<&str>) {
    let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
    let mut scratch = Scratch::default();
    let found = routed(Some(templates), None, path, query, &mut scratch);
    assert_eq!((found.route, found.object), (route, object), "{target}");
}

#[test]
fn the_most_particular_template_wins() {
    let all = templates(&[
        "/users/{id}",
        "/users/me",
        "/users/{id}/orders/{order}",
        "/users/{name}.json",
        "/users/me/*",
        "/shop/{lang}/{product}",
        "/files/{name}.{format}",
        "/%7Ealice",
        "/",
    ]);
    check(&all, "/users/alice", "/users/{id}", Some("alice"));
    check(&all, "/users/alice/", "/users/{id}", Some("alice"));
    check(&all, "/%75sers/alice", "/users/{id}", Some("alice"));
    check(&all, "/users/me", "/users/me", None);
    check(&all, "/users/me/orders/7", "/users/me/*", None);
    check(&all, "/users/bob/orders/x7", "/users/{id}/orders/{order}", Some("bob/x7"));
    check(&all, "/users/bob.json", "/users/{name}.json", Some("bob"));
    check(&all, "/files/a.b.c", "/files/{name}.{format}", Some("a/b.c"));
    check(&all, "/files/é.ü", "/files/{name}.{format}", Some("é/ü"));
    check(&all, "/", "/", None);
    // Where none fits, the segments decide; the query's ids count in any case.
    check(&all, "/users", "/users", None);
    check(&all, "/users//orders/7", "/users//orders/{id}", Some("7"));
    check(&all, "/files/.x", "/files/.x", None);
    check(&all, "/users/alice?id=9", "/users/{id}", Some("alice/9"));
    check(&all, "*", "*", None);
}

#[test]
fn a_way_back_is_found() {
    let all = templates(&["/users/me", "/users/{id}/orders", "/a/b/*", "/a/{x}/c/d"]);
    check(&all, "/users/me/orders", "/users/{id}/orders", Some("me"));
    check(&all, "/a/b/c/d", "/a/b/*", None);
    check(&all, "/a/b", "/a/b", None);
    check(&all, "/a/b/", "/a/b/", None);
    check(&all, "/a/b//", "/a/b/*", None);
}

#[test]
fn objects_can_be_named() {
    let named = |path: &str, objects: &[&str]| Template {
        objects: Some(objects.iter().map(|&o| o.to_owned()).collect()),
        ..template(path)
    };
    let all = [named("/{lang}/p/{product}", &["product"]), named("/search", &["q", "id"]), named("/pages/{page}", &[])];
    let all = Templates::new(&all, vec!["ref".to_owned()]).expect("valid templates");
    check(&all, "/en/p/red-shoes?id=1", "/{lang}/p/{product}", Some("red-shoes"));
    check(&all, "/search?q=a&userId=7&id=2", "/search", Some("a/2"));
    check(&all, "/pages/7", "/pages/{page}", None);
    check(&all, "/other?ref=x&id=1", "/other", Some("x/1"));
}

#[test]
fn hosts_have_templates_of_their_own() {
    let of_host = Template { host: Some("API.example.com:8443".to_owned()), ..template("/{tenant}/users") };
    let all = Templates::new(&[of_host, template("/{any}/users")], Vec::new()).expect("valid templates");
    for (host, route) in [
        (Some("api.example.com"), "/{tenant}/users"),
        (Some("Api.Example.com:443"), "/{tenant}/users"),
        (Some("www.example.com"), "/{any}/users"),
        (None, "/{any}/users"),
    ] {
        assert_eq!(all.route(host, "/acme/users"), Some(route), "{host:?}");
    }
}

#[test]
fn mistakes_are_named() {
    for (path, part) in [
        ("users/{id}", "does not begin with /"),
        ("/users/{id", "without its }"),
        ("/users/id}", "without its {"),
        ("/users/{}", "a variable's name"),
        ("/users/{a b}", "blank"),
        ("/u/{a}{b}", "text between them"),
        ("/u/{a}/{a}", "two variables {a}"),
        ("/u?id={id}", "`objects`"),
        ("/u/*/x", "not its last segment"),
        ("/users/{user}", "leave one of them out"),
    ] {
        let (at, why) = Templates::new(&[template("/users/{id}"), template(path)], Vec::new()).expect_err(path);
        assert!(at == 1 && why.contains(part), "{path}: {why}");
    }
    assert!(Templates::new(&[template(&"/a".repeat(33))], Vec::new()).is_err());
    let host = Template { host: Some("https://a".to_owned()), ..template("/") };
    assert!(Templates::new(&[host], Vec::new()).is_err());
}

/// What one segment of a template, bare variables only, makes of one of a path; the smaller the more particular.
fn rank(template: &str, segment: Option<&str>) -> Option<u8> {
    match (template, segment) {
        ("{x}" | "{y}", Some(segment)) if !segment.is_empty() => Some(1),
        (literal, Some(segment)) if literal == segment => Some(0),
        _ => None,
    }
}

/// The template with the least ranks, compared from the left.
fn model<'t>(templates: &[&'t str], path: &str) -> Option<&'t str> {
    let ranks = |template: &str| -> Option<Vec<u8>> {
        let (mut ranks, mut segments) = (Vec::new(), path[1..].split('/'));
        for part in template[1..].split('/') {
            match part {
                "*" if segments.clone().next().is_some_and(|s| !s.is_empty() || segments.clone().count() > 1) => {
                    ranks.push(2);
                    return Some(ranks);
                }
                part => ranks.push(rank(part, segments.next())?),
            }
        }
        match segments.next() {
            None => Some(ranks),
            Some("") if segments.next().is_none() => Some(ranks),
            Some(_) => None,
        }
    };
    let fitting = templates.iter().filter_map(|template| Some((ranks(template)?, *template)));
    fitting.min().map(|(_, template)| template)
}

proptest! {
    #[test]
    fn the_trie_finds_what_trying_all_finds(
        paths in proptest::collection::btree_set("(/[ab]|/\\{x\\}){1,4}(/\\*)?", 1..12),
        asked in proptest::collection::vec("(/[abc]?){1,5}", 20),
    ) {
        // (`{x}` twice in a path is one name: give each a name of its own)
        let written: Vec<String> = paths.iter().map(|path| {
            path.split('/').enumerate().map(|(i, s)| if s == "{x}" { format!("{{x{i}}}") } else { s.to_owned() })
                .collect::<Vec<_>>().join("/")
        }).collect();
        let all: Vec<Template> = written.iter().map(|path| template(path)).collect();
        let all = Templates::new(&all, Vec::new()).expect("valid templates");
        let plain: Vec<&str> = paths.iter().map(String::as_str).collect();
        for path in &asked {
            let found = all.route(None, path).and_then(|route| written.iter().position(|w| w == route));
            prop_assert_eq!(found.map(|i| plain[i]), model(&plain, path), "{} in {:?}", path, &plain);
        }
    }

    #[test]
    fn no_path_panics(path in any::<String>(), query in any::<String>()) {
        let all = templates(&["/{a}.{b}/{c}", "/x{a}é{b}", "/*"]);
        routed(Some(&all), Some(&query), &path, Some(&query), &mut Scratch::default());
    }
}
