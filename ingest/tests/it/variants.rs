//! How servers write the formats when they are configured a little differently from the samples: what they must still be
//! taken for, and what must stand in the rows.

use std::fs;

use serde_json::{Value, json};
use tripline_ingest::{SourceOptions, probe};

use crate::rows::{json_row, read};

/// The last line of `log` is a row of `format` with these columns.
#[track_caller]
fn check(format: &str, log: &str, expected: &Value) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("a.log");
    fs::write(&path, format!("{log}\n")).expect("writes");
    let options = SourceOptions::default();
    let found = probe(&path, &options).unwrap_or_else(|error| panic!("{log}: {error}"));
    assert_eq!(found.format, format, "{log}");
    let (batches, _) = read(&path, &options);
    let rows = &batches.last().expect("has lines").rows;
    assert!(rows.num_rows() > 0, "{log}: {:?}", batches.last().map(|batch| &batch.rejects));
    let row: Value = serde_json::from_str(&json_row(rows, rows.num_rows() - 1)).expect("is JSON");
    for (key, expected) in expected.as_object().expect("columns") {
        assert_eq!(&row[key], expected, "{key} of {log}");
    }
}

const CLF: &str = "192.0.2.1 - - [05/Mar/2024:10:00:00 +0000] \"GET /v1/users/17?a=b HTTP/1.1\" 200 5";

#[test]
fn apache_and_nginx() {
    let row =
        json!({ "client_ip": "192.0.2.1", "path": "/v1/users/17", "query": "a=b", "status": 200, "bytes_out": 5 });
    // combinedio, a time taken, and cookies at the end; a tab or a blank after the last field; without an agent.
    for end in [" 90 512", " 1234", " \"PHPSESSID=1\"", " ", ""] {
        check("combined", &format!("{CLF} \"-\" \"agent\"{end}"), &row);
    }
    check("common", CLF, &row);
    check(
        "common",
        &CLF.replace("192.0.2.1 - -", "2001:db8::1 - ada"),
        &json!({ "client": "2001:db8::/64", "user": "ada" }),
    );
    check("combined", &format!("{CLF} \"-\" \"agent\"\r"), &row);
    check("combined", &format!("\u{feff}{CLF} \"-\" \"agent\""), &row);
    check("main", &format!("{CLF} \"-\" \"agent\" \"203.0.113.9\""), &row);
    check(
        "vhost_combined",
        &format!("api.example.com:443 {CLF} \"-\" \"agent\""),
        &json!({ "host": "api.example.com" }),
    );
    check("vhost_combined", &format!("[2001:db8::5]:443 {CLF} \"-\" \"agent\""), &json!({ "client_ip": "192.0.2.1" }));
    // HTTP/3, WebDAV, a proxy's target, an agent with quotes and a referer with blanks.
    check(
        "combined",
        &format!("{} \"-\" \"a\"", CLF.replace("HTTP/1.1", "HTTP/3.0")),
        &json!({ "protocol": "HTTP/3.0" }),
    );
    check(
        "combined",
        &format!("{} \"-\" \"a\"", CLF.replace("GET", "VERSION-CONTROL")),
        &json!({ "method": "VERSION-CONTROL" }),
    );
    check(
        "combined",
        &format!("{CLF} \"http://a/b c\" \"say \\\"hi\\\"\""),
        &json!({ "user_agent": "say \"hi\"", "referer": "http://a/b c" }),
    );
    // Gunicorn, Jetty, werkzeug, Squid's and lighttpd's copies of the format.
    check(
        "combined",
        "127.0.0.1 - - [05/Mar/2024:10:00:00 +0000] \"POST /x HTTP/1.1\" 500 0 \"-\" \"python-requests/2.31\"",
        &json!({ "method": "POST" }),
    );
    check(
        "nginx_json",
        r#"{"time":"2024-03-05T10:00:00+00:00","remote_addr":"192.0.2.1","request":"GET /a?b HTTP/1.1","status":"200","body_bytes_sent":"5","http_user_agent":"-"}"#,
        &json!({ "path": "/a", "query": "b", "user_agent": null }),
    );
    check(
        "nginx_json",
        r#"{"@timestamp":"2024-03-05T10:00:00+00:00","clientip":"192.0.2.1","client_ip":"192.0.2.2","method":"GET","uri":"/a","args":"","status":200,"request_time":0.5,"upstream":{"addr":"-"}}"#,
        &json!({ "client_ip": "192.0.2.2", "duration_ms": 500.0, "query": null }),
    );
}

#[test]
fn gateways() {
    let haproxy = "192.0.2.70:55032 [05/Mar/2024:10:00:00.885] fe~ be/srv1 0/0/1/168/169 200 1541 - - ---- 57/16/9/1/0 0/0 \"GET /a HTTP/1.1\"";
    let row = json!({ "client_ip": "192.0.2.70", "path": "/a", "status": 200, "duration_ms": 169.0 });
    check("haproxy", haproxy, &row);
    // option httpslog; in syslog, with and without a host; over a local socket.
    check(
        "haproxy",
        &format!("{haproxy} 0/0000000000000000/0/0/0 api.example.com/TLSv1.3/TLS_AES_256_GCM_SHA384"),
        &row,
    );
    check("syslog+haproxy", &format!("Mar  5 10:00:00 lb haproxy[14389]: {haproxy}"), &row);
    check("syslog+haproxy", &format!("<134>Mar  5 10:00:00 haproxy[8]: {haproxy}"), &row);
    check("syslog+haproxy", &format!("2024-03-05T10:00:00.885+00:00 lb haproxy[8]: {haproxy}"), &row);
    check("haproxy", &haproxy.replace("192.0.2.70:55032", "unix:1"), &json!({ "path": "/a" }));
    check(
        "haproxy",
        &haproxy.replace("GET /a HTTP/1.1", "GET https://api.example.com/a HTTP/2.0"),
        &json!({ "path": "/a", "host": "api.example.com", "scheme": "https" }),
    );

    let envoy = "[2024-03-05T10:00:00.123Z] \"GET /a?b HTTP/2\" 200 - 0 512 11 10 \"203.0.113.9,192.0.2.40\" \"shop/2.1\" \"5f1c\" \"api.example.com:8443\" \"10.0.0.7:8080\"";
    check("envoy", envoy, &json!({ "client_ip": "192.0.2.40", "host": "api.example.com", "duration_ms": 11.0 }));
    check("envoy", &envoy.replace("\"10.0.0.7:8080\"", "\"[2001:db8::7]:8080\" more"), &json!({ "path": "/a" }));
    // A TCP connection through a sidecar.
    check(
        "istio",
        "[2024-03-05T10:00:00.123Z] \"- - -\" 0 - - - \"-\" 11 12 13 - \"-\" \"-\" \"-\" \"-\" \"10.0.0.7:80\" outbound|80||a.b 10.0.1.5:1 10.0.0.7:80 10.0.1.5:2 - -",
        &json!({ "client_ip": "10.0.1.5", "method": null, "path": null, "status": null }),
    );

    check(
        "traefik",
        &format!("{CLF} \"-\" \"curl/8\" 17 \"api@kubernetescrd\" \"http://10.0.0.7:80\" 3ms"),
        &json!({ "duration_ms": 3.0 }),
    );
    check(
        "traefik_json",
        r#"{"ClientHost":"192.0.2.1","DownstreamContentSize":5,"DownstreamStatus":200,"Duration":3000000,"RequestHost":"a.example","RequestMethod":"GET","RequestPath":"/a?b=c","RequestProtocol":"HTTP/2.0","RequestScheme":"https","StartUTC":"2024-03-05T10:00:00.1Z","level":"info","msg":"","time":"2024-03-05T10:00:00Z","request_User-Agent":"curl/8","TLSVersion":"1.3","TLSCipher":"X","SpanId":"0"}"#,
        &json!({ "query": "b=c", "user_agent": "curl/8", "duration_ms": 3.0 }),
    );
    check(
        "caddy_json",
        r#"{"level":"info","ts":1709632800.5,"logger":"http.log.access.log0","msg":"handled request","request":{"remote_ip":"192.0.2.1","remote_port":"1","client_ip":"192.0.2.1","proto":"HTTP/3.0","method":"GET","host":"a.example","uri":"/a","headers":{"User-Agent":["x"],"Cookie":["REDACTED"]},"tls":{"resumed":false,"version":772,"cipher_suite":4865,"proto":"h3","server_name":"a.example"}},"bytes_read":0,"user_id":"","duration":0.001,"size":5,"status":200,"resp_headers":{"Server":["Caddy"]}}"#,
        &json!({ "protocol": "HTTP/3.0", "user_agent": "x", "duration_ms": 1.0, "user": null }),
    );
    check(
        "ingress_nginx",
        &format!("{CLF} \"-\" \"agent\" 411 0.031 [shop-users-8080] [] [2001:db8::7]:8080 512 0.030 200 6f1c"),
        &json!({ "duration_ms": 31.0, "bytes_in": 411 }),
    );
    check(
        "cri+ingress_nginx",
        &format!("2024-03-05T10:00:00.1Z stdout F {CLF} \"-\" \"agent\" 411 0.031 [a-b-80] [] - - - - 6f1c"),
        &json!({ "duration_ms": 31.0 }),
    );
}

#[test]
fn clouds() {
    // The one that was there first, without the fields that came later, and one with fields to come.
    let alb = "https 2024-03-05T10:00:00.5Z app/shop/0123 192.0.2.110:44740 10.0.0.1:80 0.001 0.048 0.002 200 200 420 5712 \"GET https://api.example.com:443/a?b HTTP/2.0\" \"shop/2.1\" ECDHE TLSv1.2 arn:aws:x \"Root=1-65e6ebc0\" \"api.example.com\" \"arn:aws:acm\" 0 2024-03-05T10:00:00.449Z \"forward\" \"-\" \"-\"";
    check(
        "aws_alb",
        alb,
        &json!({ "client_ip": "192.0.2.110", "path": "/a", "query": "b", "host": "api.example.com", "duration_ms": 51.0 }),
    );
    check(
        "aws_alb",
        &format!("{alb} \"10.0.0.1:80\" \"200\" \"-\" \"-\" TID_1 \"-\" \"-\" \"-\" \"later\" 17"),
        &json!({ "path": "/a" }),
    );
    check("aws_alb", &alb.replace("https 2024", "wss 2024"), &json!({ "path": "/a" }));
    check(
        "cloudfront",
        "#Version: 1.0\n#Fields: date time x-edge-location sc-bytes c-ip cs-method cs(Host) cs-uri-stem sc-status cs(Referer) cs(User-Agent) cs-uri-query\n2014-05-23\t01:13:11\tFRA2\t182\t192.0.2.10\tGET\td1.cloudfront.net\t/view/a.html\t200\twww.example.com\tMozilla/4.0%2520(compatible)\t-",
        &json!({ "path": "/view/a.html", "query": null }),
    );
    check(
        "api_gateway_json",
        r#"{"requestId":"1","extendedRequestId":"2","ip":"192.0.2.1","caller":"-","user":"-","requestTime":"05/Mar/2024:10:00:00 +0000","httpMethod":"GET","resourcePath":"/{proxy+}","path":"/prod/a","status":"200","protocol":"HTTP/1.1","responseLength":"5","integrationErrorMessage":"-","authorizer.error":"-"}"#,
        &json!({ "path": "/prod/a", "user": null }),
    );
    check(
        "cloudflare_json",
        r#"{"ClientIP":"192.0.2.1","ClientRequestHost":"a.example","ClientRequestMethod":"GET","ClientRequestURI":"/a?b","EdgeStartTimestamp":1709632800123456789,"EdgeEndTimestamp":1709632800223456789,"EdgeResponseStatus":200,"EdgeResponseBytes":5,"RayID":"1","WAFAttackScore":50,"ClientRequestUserAgent":"x"}"#,
        &json!({ "ts": 1_709_632_800_123_456_i64, "user_agent": "x" }),
    );
    check(
        "gcp_json",
        r#"{"insertId":"1","jsonPayload":{"@type":"t","statusDetails":"x","enforcedSecurityPolicy":{"name":"p"}},"httpRequest":{"requestMethod":"GET","requestUrl":"https://a.example/a?b","requestSize":"42","status":200,"responseSize":"5","userAgent":"x","remoteIp":"192.0.2.1","cacheLookup":true,"serverIp":"10.0.0.1","latency":"0.1s"},"resource":{"type":"http_load_balancer","labels":{"zone":"global"}},"timestamp":"2024-03-05T10:00:00.1Z","severity":"INFO","logName":"projects/p/logs/requests","trace":"t","receiveTimestamp":"2024-03-05T10:00:01Z","spanId":"1"}"#,
        &json!({ "path": "/a", "duration_ms": 100.0, "bytes_in": 42 }),
    );
    check(
        "iis",
        "#Software: Microsoft Internet Information Services 8.5\n#Fields: date time s-sitename s-computername s-ip cs-method cs-uri-stem cs-uri-query s-port cs-username c-ip cs-version cs(User-Agent) cs(Cookie) cs(Referer) cs-host sc-status sc-substatus sc-win32-status sc-bytes cs-bytes time-taken\n2024-03-05 10:00:00 W3SVC1 WEB1 10.0.0.5 GET /a - 443 - 192.0.2.1 HTTP/1.1 Mozilla/5.0+(X11) a=b;+c=d - api.example.com 200 0 0 512 90 15",
        &json!({ "host": "api.example.com", "user_agent": "Mozilla/5.0 (X11)", "duration_ms": 15.0, "bytes_in": 90 }),
    );
}
