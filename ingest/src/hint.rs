//! What a file is that is no log of lines in a known format, as people come with it, and what to do.

/// What to do with a file that begins so; `None`: nobody knows.
pub(crate) fn hint(head: &[u8]) -> Option<&'static str> {
    by_magic(head).or_else(|| by_text(&String::from_utf8_lossy(head)))
}

fn by_magic(head: &[u8]) -> Option<&'static str> {
    const PACKED: &str = "it is compressed in a way that is not read; unpack it, or pack it with gzip or zstd";
    Some(match head {
        [0xFD, b'7', b'z', b'X', b'Z', ..]
        | [b'B', b'Z', b'h', b'1'..=b'9', ..]
        | [0x04, 0x22, 0x4D, 0x18, ..]
        | [b'P', b'K', 3, 4, ..]
        | [b'7', b'z', 0xBC, 0xAF, ..] => PACKED,
        [0xFF, 0xFE, ..] | [0xFE, 0xFF, ..] => "it is UTF-16; make UTF-8 of it: iconv -f UTF-16 -t UTF-8 FILE",
        [b'L', b'P', b'K', b'S', b'H', b'H', b'R', b'H', ..] => {
            "it is systemd's journal; `journalctl -o cat -u UNIT` writes its lines"
        }
        _ => return None,
    })
}

fn by_text(head: &str) -> Option<&'static str> {
    let text = head.trim_start_matches('\u{feff}').trim_start();
    let line = text.lines().next().unwrap_or_default();
    let squeezed: String = line.chars().filter(|c| !c.is_whitespace()).take(24).collect();
    let is_json = |text: &str| serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok();
    // (Envoy's and Apache's lines begin with a bracket, too)
    if squeezed == "[" || squeezed.starts_with("[{") {
        return Some("it is one list in JSON, where each line should be an object: jq -c '.[]' FILE makes such lines");
    }
    if ["{\"records\":[", "{\"Records\":[", "{\"value\":["].iter().any(|begin| squeezed.starts_with(begin)) {
        return Some(
            "each line is an envelope of many requests: jq -c '(.records // .Records // .value)[]' FILE unpacks them",
        );
    }
    if squeezed == "{" || (squeezed.starts_with("{\"") && !is_json(line) && !line.ends_with('}')) {
        return Some(
            "it is JSON over several lines, where each line should be an object: jq -c . FILE makes such lines",
        );
    }
    if is_error_log(line) {
        return Some("it looks like an error log; requests stand in the access log");
    }
    if line.split_once(" | ").is_some_and(|(name, _)| is_container(name.trim_end())) {
        return Some("each line has a container's name in front; `docker compose logs --no-log-prefix` leaves it out");
    }
    let is_csv = line.split(',').count() > 4
        && line
            .split(',')
            .all(|name| name.len() < 40 && name.contains(|c: char| c.is_ascii_alphabetic()) && !name.contains('['));
    is_csv.then_some("it looks like CSV with a heading; what wrote it may have JSON lines as well")
}

/// nginx's `2024/03/05 10:15:16 [error]`, Apache's `[Tue Mar 05 10:15:16.1 2024] [core:error]`.
fn is_error_log(line: &str) -> bool {
    let bytes = line.as_bytes();
    let is_nginx = matches!(bytes, [_, _, _, _, b'/', _, _, b'/', _, _, b' ', ..]) && line.contains(" [");
    let is_apache =
        ["[Mon ", "[Tue ", "[Wed ", "[Thu ", "[Fri ", "[Sat ", "[Sun "].iter().any(|day| line.starts_with(day));
    is_nginx || is_apache
}

/// `web-1`: no blanks, and a number at its end.
fn is_container(name: &str) -> bool {
    name.ends_with(|c: char| c.is_ascii_digit()) && !name.contains([' ', '"', '[', '.', ':'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_come_with() {
        for (head, part) in [
            (&b"\xFD7zXZ\0..."[..], "unpack it"),
            (b"BZh91AY", "unpack it"),
            (b"\xFF\xFE1\09\0", "iconv"),
            (b"LPKSHHRH\0", "journalctl"),
            (b"[\n  {\n    \"httpRequest\": {\n", "jq -c '.[]'"),
            (b"[{\"a\":1},{\"a\":2}]\n", "jq -c '.[]'"),
            (b"{\"records\": [{\"time\": 1}]}\n", "envelope"),
            (b"{\n  \"a\": 1\n}\n", "jq -c ."),
            (b"{ \"a\": 1,\n  \"b\": 2 }\n", "jq -c ."),
            (b"2024/03/05 10:15:16 [error] 31#31: *3 open()\n", "error log"),
            (b"[Tue Mar 05 10:15:16.123 2024] [core:error] AH00126\n", "error log"),
            (b"web-1  | 192.0.2.1 - - ..\n", "--no-log-prefix"),
            (b"time,client,method,path,status\n1,2,3,4,5\n", "CSV"),
        ] {
            let found = hint(head).unwrap_or_default();
            assert!(found.contains(part), "{}: {found}", String::from_utf8_lossy(head));
        }
        for head in [
            &b""[..],
            b"started\nready\n",
            b"{\"a\":1}\n",
            b"[2024-03-05T10:00:00Z] \"GET / HTTP/1.1\" 200\n",
            b"a | b",
        ] {
            assert_eq!(hint(head), None, "{}", String::from_utf8_lossy(head));
        }
    }
}
