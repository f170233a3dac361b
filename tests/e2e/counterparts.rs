//! Alerts at programs that others run in production.

use std::net::TcpListener;
use std::process::Command;

use serde_json::Value;
use tripline_tests::certificates::Authority;
use tripline_tests::debian;
use tripline_tests::logs::{at, combined};
use tripline_tests::pages;
use tripline_tests::program::Process;
use tripline_tests::receiver::{Message, Receiver};
use tripline_tests::site::{Site, terminate};

/// A port that was free a moment ago.
fn port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port").port()
}

/// Prometheus Alertmanager shows an alert firing, and then resolved: its own webhook, which waits for nobody, tells of both.
#[test]
fn alertmanager_takes_alerts_and_their_ends() {
    let Some(program) = debian::program("prometheus-alertmanager", "/usr/bin/prometheus-alertmanager") else { return };
    let pages = Receiver::unsigned(200);
    let main = Receiver::answering(200);
    let site = Site::counting(&main);
    site.write("alertmanager.yml", &format!(
        "route:\n  receiver: page\n  group_by: ['...']\n  group_wait: 0s\n  group_interval: 1s\n  repeat_interval: 4h\n\
         receivers:\n- name: page\n  webhook_configs:\n  - url: {}\n    send_resolved: true\n",
        pages.url()
    ));
    let port = port();
    let mut command = Command::new(program);
    command.args(["--config.file=alertmanager.yml", "--storage.path=alertmanager", "--cluster.listen-address="]);
    command.arg(format!("--web.listen-address=127.0.0.1:{port}"));
    let alertmanager = Process::start(&mut command, site.path());
    alertmanager.wait_to_say("Listening on");
    site.write(
        "tripline.toml",
        &(std::fs::read_to_string(site.config()).expect("the config")
            + &format!(
                "[[destination]]\nname = \"am\"\nstyle = \"alertmanager\"\nallow_http = true\n\
         url = \"http://127.0.0.1:{port}/api/v2/alerts\"\n"
            )),
    );

    let process = site.run();
    site.append("access.log", combined(at(9 * 3600), "192.0.2.7", "GET /<!channel>", 200));
    site.append("access.log", combined(at(10 * 3600 + 90), "192.0.2.250", "GET /", 200));
    let page = |status: &'static str| {
        move |messages: &[Message]| {
            let about =
                |m: &&Message| m.body["status"] == status && m.body["alerts"][0]["labels"]["client"] == "192.0.2.7";
            messages.iter().find(about).cloned()
        }
    };
    let firing = pages.wait_for("a page that it fires", page("firing"));
    let labels = &firing.body["alerts"][0]["labels"];
    assert_eq!((&labels["alertname"], &labels["severity"]), (&"count".into(), &"low".into()));
    let shown: Value =
        serde_json::from_str(&pages::get(&format!("http://127.0.0.1:{port}"), "/api/v2/alerts").1).expect("JSON");
    let is_it = |alert: &&Value| alert["labels"]["fingerprint"] == labels["fingerprint"];
    assert_eq!(shown.as_array().expect("alerts").iter().find(is_it).expect("the alert")["status"]["state"], "active");

    site.append("access.log", combined(at(20 * 3600), "192.0.2.250", "GET /", 200));
    let resolved = pages.wait_for("a page that it is over", page("resolved"));
    assert_eq!(resolved.body["alerts"][0]["labels"], *labels);
    terminate(process);
}

/// A server of nginx's with a certificate of its own.
fn server(port: u16, certificate: &str, more: &str) -> String {
    format!(
        "server {{ listen 127.0.0.1:{port} ssl; ssl_certificate {certificate}.pem; ssl_certificate_key {certificate}.pem; \
         {more} location / {{ return 200; }} }}\n"
    )
}

/// nginx with a certificate that has expired, one for another name, one of a private authority, and one that asks for ours.
#[test]
fn nginx_with_certificates_of_all_kinds() {
    let Some(program) = debian::program("nginx", "/usr/sbin/nginx") else { return };
    let site = Site::new(&Receiver::answering(200));
    let authority = Authority::new(site.path());
    for (file, name, expired) in [
        ("good", "127.0.0.1", false),
        ("old", "127.0.0.1", true),
        ("other", "localhost", false),
        ("ours", "tripline", false),
    ] {
        authority.issue(file, name, expired);
    }
    let asks = "ssl_client_certificate ca.pem; ssl_verify_client on;";
    let servers = [("good", ""), ("old", ""), ("other", ""), ("good", asks)].map(|(certificate, more)| {
        let port = port();
        (port, server(port, certificate, more))
    });
    let [good, old, other, asking] = servers.each_ref().map(|(port, _)| *port);
    site.write(
        "nginx.conf",
        &format!(
            "daemon off; master_process off; pid nginx.pid; error_log stderr notice; events {{}}\n\
         http {{ access_log off; client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; \
         uwsgi_temp_path uwsgi; scgi_temp_path scgi;\n{}}}\n",
            servers.map(|(_, text)| text).concat()
        ),
    );
    let mut command = Command::new(program);
    command.arg("-e").arg("stderr").arg("-p").arg(site.path()).args(["-c", "nginx.conf"]);
    let nginx = Process::start(&mut command, site.path());
    // It says so once it listens.
    nginx.wait_to_say("getrlimit(RLIMIT_NOFILE)");

    let known = "ca_file = \"ca.pem\"";
    let ours = "ca_file = \"ca.pem\"\nclient_certificate_file = \"ours.pem\"";
    for (name, port, keys, says) in [
        ("good", good, known, "answered 200"),
        ("unknown", good, "", "UnknownIssuer"),
        ("old", old, known, "expired"),
        ("other", other, known, "not valid for name"),
        ("ours", asking, ours, "answered 200"),
        ("nobody", asking, known, "answered 400"),
    ] {
        let destination = format!("[[destination]]\nname = \"{name}\"\nurl = \"https://127.0.0.1:{port}/\"\n{keys}\n");
        let config = std::fs::read_to_string(site.config()).expect("the config");
        site.write("tripline.toml", &(config + &destination));
        let code = if says == "answered 200" { 0 } else { 2 };
        site.start(&["outbox", "send-test", name]).end().with_code(code).says(&[says]);
    }
    nginx.signal("QUIT");
    nginx.end();
}
