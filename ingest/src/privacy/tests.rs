//! Secrets by example, what is none, and what must hold for any line.

use proptest::prelude::*;

use super::*;

const JWT: &str = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiI0MiJ9.c2lnbmF0dXJl";

fn masking() -> Privacy {
    Privacy::new(true, &["iban".to_owned()], None).expect("valid names")
}

fn keyed() -> Privacy {
    Privacy::new(true, &["iban".to_owned()], Some(b"a key of the tests")).expect("valid names")
}

#[track_caller]
fn masked(line: &str, expected: &str) {
    assert_eq!(masking().scrubbed(line).as_deref().unwrap_or(line), expected);
}

/// `…` in the line is the secret, and must be gone.
#[track_caller]
fn hides(line: &str) {
    let secret = "S3cr3t.V4lue~x";
    for secret in [secret, "abc", "p%2Bq"] {
        let full = line.replace('…', secret);
        masked(&full, &line.replace('…', "***"));
        let hashed = keyed().scrubbed(&full).unwrap_or_else(|| panic!("{full} is kept"));
        assert!(hashed.contains("hmac_") && !hashed.contains(secret), "{hashed}");
    }
}

#[test]
fn names_announce_secrets() {
    hides("GET /v1/x?token=… HTTP/1.1");
    hides("GET /v1/x?a=1&access_token=…&b=2 HTTP/1.1");
    hides("GET /v1/x?refreshToken=…#x");
    hides("/x?api_key=…&key=short");
    hides("/x?X-Amz-Signature=…\" 200");
    hides("/login?user=a&PASSWORD=… ");
    hides("/x?client_secret=…;y");
    hides("/x?IBAN=…&iban_type=1");
    hides("https://a.example/cb?next=https%3A%2F%2Fb.example%2F%3Ftoken%3D…%26x%3D1");
    hides(r#"{"request":{"password":"…","user":"a"}}"#);
    hides(r#"{"uri":"/x?a=1\u0026token=…\u0026b=2"}"#);
    hides(r#"{"uri":"/x?a=1\u0026iban=…\u0026b=2"}"#);
    hides(r#"{"headers":{"Authorization":["…"],"X-Api-Key": ["…"]}}"#);
    hides(r#"{"log":"{\"authorization\":\"…\",\"status\":200}\n","stream":"stdout"}"#);
    hides(r#"{"cookie":"…","status":200}"#);
    hides("X-Api-Key: … ");
    hides(r#"{"iban": "…"}"#);
}

#[test]
fn headers_and_cookies_go_whole() {
    masked(r#"{"authorization":"Digest a=b, c=d","x":1}"#, r#"{"authorization":"***","x":1}"#);
    masked(r#"{"cookie":"a=1; session=\"x\"; b","x":1}"#, r#"{"cookie":"***","x":1}"#);
    masked("cs Authorization: Basic dXNlcjpwYXNz|next", "cs Authorization: ***|next");
}

#[test]
fn tokens_are_known_by_their_form() {
    masked(&format!("GET /cb/{JWT}/x"), "GET /cb/***/x");
    masked(&format!("GET /cb?state={JWT}&x=1"), "GET /cb?state=***&x=1");
    masked("\"Bearer abcdef0123456789\"", "\"Bearer ***\"");
    masked("auth Bearer%20abcdef0123456789&x", "auth Bearer%20***&x");
    masked("\"Basic dXNlcjpwYXNz\"", "\"Basic ***\"");
    masked("/x/AKIAIOSFODNN7EXAMPLE12/y", "/x/***/y");
    masked("?k=sk_live_4eC39HqLyjWDarjtT1zdp7dc&x", "?k=***&x");
    masked("?code=4/0AX4XfWh-abcdefghij_klmnop&x", "?code=***&x");
    masked("?key=AIzaSyA1234567890abcdefghijk&x", "?key=***&x");
    masked("POST /password-reset/8f14e45fceea167a5a36 HTTP/1.1", "POST /password-reset/*** HTTP/1.1");
}

#[test]
fn what_is_no_secret_stays() {
    for line in [
        "POST /oauth/token HTTP/1.1",
        "GET /v1/keys/42?key=name&sort_key=a HTTP/1.1",
        "GET /search?keyword=turkey&code=DE&zip_code=12345678901234567890a",
        "GET /list?page_token=abc&nextToken=def",
        "GET /auth/login?author=me",
        "GET /tokens/list/of/all",
        "GET /password-reset/confirm HTTP/1.1",
        "GET /passwords",
        "GET /x?token=&y=1",
        "\"Basic plan\"",
        "GET /eyJx.y HTTP/1.1",
        "{\"token\":\"\",\"secrets\":null}",
        "token",
        "token=",
        "token=***",
    ] {
        masked(line, line);
    }
    // Without a key, who and what must stay told apart.
    let line = "1.2.3.4 - - GET /u/a@example.com?sessionid=abc";
    masked(line, line);
}

#[test]
fn a_key_keeps_values_apart_and_alike() {
    let hash = |line: &str| keyed().scrubbed(line).unwrap_or_else(|| panic!("{line} is kept"));
    let user = hash("GET /u/A.b%2Bc%40example.com/x?mail=a.b+c@example.com&e=other@example.com.");
    let first = user.split('/').nth(2).expect("a segment").to_owned();
    assert!(first.starts_with("hmac_") && first.len() == 21, "{user}");
    assert_eq!(user.matches(&first).count(), 2, "{user}");
    assert!(user.contains("&e=hmac_") && user.ends_with('.'), "{user}");
    assert!(hash("/x?next=%2Fp%3Dq%26m%3Da@b.example").contains("%26m%3Dhmac_"));
    assert!(hash("JSESSIONID=abc; x").starts_with("JSESSIONID=hmac_"));
    let other = Privacy::new(true, &[], Some(b"another key of theirs")).expect("valid");
    assert_ne!(other.scrubbed("token=abc"), keyed().scrubbed("token=abc"));
    assert!(!format!("{:?}", keyed()).contains("a key"));
    // They are objects of routes, as what they stand for.
    let mut scratch = crate::route::Scratch::default();
    let path = format!("/u/{first}");
    assert_eq!(crate::route::route_and_object(&path, None, &mut scratch).object, Some(first.as_str()));
}

#[test]
fn only_what_is_named() {
    let named = Privacy::new(false, &["ssn".to_owned()], None).expect("valid");
    assert_eq!(named.scrubbed("?ssn=1&token=2").as_deref(), Some("?ssn=***&token=2"));
    for bad in ["", "a b", "a=b", "ü"] {
        assert!(Privacy::new(true, &[bad.to_owned()], None).is_err(), "{bad}");
    }
}

/// Lines made to be slow: each of a mebibyte, read in proportion to its length. (Otherwise this would take hours.)
#[test]
fn no_line_takes_long() {
    let pieces = [
        "token",
        "token=",
        "key=",
        "otp=a&",
        "token%3D",
        "eyJ-",
        "eyJ.",
        "earer ",
        "Bearer+",
        "sk-",
        "a@",
        "a%40",
        "code%3D",
        "\"cookie\":\"",
        "token\\",
        "token/",
        "%40",
        "Basic ",
        "xox",
        "\"token\":[\"",
        "sessionid=",
    ];
    for piece in pieces {
        let line = piece.repeat((1 << 20) / piece.len());
        for privacy in [masking(), keyed()] {
            privacy.scrubbed(&line);
        }
    }
}

proptest! {
    /// Whatever stands around it, a token in a query is gone; the rest of the line stays; a second time changes nothing.
    #[test]
    fn a_secret_is_gone(before in "[ -~]{0,40}", name in "(access_|x-)?(token|Token|secret|password|api_key)", secret in "Q[a-z0-9]{8,30}Q", after in "[ -~é]{0,40}") {
        for privacy in [masking(), keyed()] {
            let line = format!("{before}?{name}={secret}&{after}");
            let scrubbed = privacy.scrubbed(&line).expect("something to hide");
            prop_assert!(!scrubbed.contains(&secret), "{}", scrubbed);
            if privacy == masking() {
                prop_assert_eq!(privacy.scrubbed(&scrubbed), None);
            }
        }
    }

    #[test]
    fn nothing_panics(line in any::<String>(), more in "[token=%3D\"\\\\eyJ.@40:/é]{0,60}") {
        keyed().scrubbed(&(line + &more));
    }

    /// A block scrubbed line by line is what each line gives alone.
    #[test]
    fn blocks_are_their_lines(lines in proptest::collection::vec("[a-z ]{0,20}(token=abc|a@b.example|%40c.d)?[a-z ]{0,9}", 0..20)) {
        let block = lines.join("\n") + "\n";
        let (privacy, arena) = (keyed(), Bump::new());
        let mut scrubber = Scrubber::new(Some(&privacy), block.as_bytes());
        let mut start = 0;
        for line in &lines {
            let end = start + line.len() + 1;
            let expected = privacy.scrubbed(&block[start..end]).unwrap_or_else(|| block[start..end].to_owned());
            prop_assert_eq!(scrubber.line(&block[start..end], start..end, &arena), expected);
            start = end;
        }
    }
}
