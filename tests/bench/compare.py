"""A whole scan with all shipped rules beside GoAccess, DuckDB and CrowdSec.

Each is one process from start to end, held to the same cores, its output thrown away but for a check that it did the
work. GoAccess makes its usual report; DuckDB parses by a regular expression and answers one group-by: distinct paths
by client and ten minutes. CrowdSec, with its nginx parser and HTTP scenarios, is too slow for the long log and reads a
short one.
"""

import json
import os
import pathlib
import re
import shutil
import socket
import statistics
import subprocess
import sys

import rules
from tool import CACHE, CAMPAIGN_CLIENT, TIMING, Contender, Failure, first_line, last_line, say, spread, table, timing

# Run by the Python of the virtual environment: argv is the log and the number of threads.
DUCKDB_PROGRAM = r"""
import duckdb, json, sys
path, threads = sys.argv[1:]
db = duckdb.connect(config={"threads": int(threads)})
db.execute("SET enable_progress_bar = false")
# Only what the query needs, up to the status: all nine fields up to the line's end took DuckDB about five times as long.
combined = r'^([^ ]+) [^ ]+ [^ ]+ \[([^\]]+)\] "[^ "]+ ([^ ?"]+)(?:\?[^ "]*)? [^"]*" (\d{3}) '
names = ["client", "time", "path", "status"]
groups = db.execute('''
    WITH parsed AS (
        SELECT regexp_extract(line, ?, ?) AS field
        FROM read_csv(?, columns = {'line': 'VARCHAR'}, header = false, delim = '\x01', quote = '', escape = '',
                      auto_detect = false))
    SELECT field.client AS client,
           time_bucket(INTERVAL '10 minutes', strptime(field.time, '%d/%b/%Y:%H:%M:%S +0000')) AS window_start,
           count(*) AS requests, approx_count_distinct(field.path) AS paths
    FROM parsed WHERE field.status <> '' GROUP BY ALL''', [combined, names, path]).fetchall()
print(json.dumps({"lines": sum(group[2] for group in groups)}))
"""

# What the collections crowdsecurity/nginx and base-http-scenarios install, CVEs and look-ups of addresses left out.
CROWDSEC_PARTS = ["parsers/s00-raw/crowdsecurity/syslog-logs", "parsers/s01-parse/crowdsecurity/nginx-logs",
                  "parsers/s02-enrich/crowdsecurity/dateparse-enrich", "parsers/s02-enrich/crowdsecurity/http-logs",
                  "scenarios/ltsich/http-w00tw00t"] + ["scenarios/crowdsecurity/" + name for name in [
                      "http-crawl-non_statics", "http-probing", "http-bad-user-agent", "http-path-traversal-probing",
                      "http-sensitive-files", "http-sqli-probing", "http-xss-probing", "http-backdoors-attempts",
                      "http-generic-bf", "http-open-proxy", "nginx-req-limit-exceeded"]]
CROWDSEC_CONFIG = """
common: {{daemonize: false, log_media: stdout, log_level: info, working_dir: .}}
config_paths: {{config_dir: {etc}, data_dir: {data}, simulation_path: {etc}/simulation.yaml,
               hub_dir: {hub}, index_path: {hub}/.index.json}}
crowdsec_service: {{parser_routines: {threads}}}
db_config: {{type: sqlite, db_path: {data}/crowdsec.db, use_wal: true}}
api:
  client: {{credentials_path: {etc}/credentials.yaml}}
  server: {{listen_uri: "127.0.0.1:{port}", profiles_path: {etc}/profiles.yaml}}
prometheus: {{enabled: false}}
"""

READING = "tripline, one client only"


def compare(bench):
    log = bench.log(bench.options.lines or 20_000_000)
    folder = bench.scratch / "compare"
    configs = {"tripline": rules.shipped(folder / "shipped"),
               # Hardly more than reading: what all rules together cost is the rest.
               READING: rules.only(folder / "reading", {"measured": rules.rule(
                   rules.TEN_MINUTES, condition=f"client = '{CAMPAIGN_CLIENT}'")})}
    contenders = [bench.scan(name, log, config) for name, config in configs.items()]
    missing = []
    for name, prepare in {"goaccess": goaccess, "duckdb": duckdb}.items():
        if name not in bench.options.without:
            attempt(missing, lambda: contenders.append(prepare(bench, log)))
    runs = bench.measure(contenders)
    lines = {contender.name: log.lines for contender in contenders}
    if "crowdsec" not in bench.options.without:
        attempt(missing, lambda: add_crowdsec(bench, contenders, runs, lines))
    return report(contenders, runs, lines, log, missing)


def add_crowdsec(bench, contenders, runs, lines):
    """On a log of its own, and once."""
    short = bench.log(bench.options.crowdsec_lines)
    contender = crowdsec(bench, short)
    runs.update(bench.measure([contender], rounds=1))
    contenders.append(contender)
    lines[contender.name] = short.lines


def attempt(missing, act):
    try:
        act()
    except Failure as failure:
        missing.append(f"not measured: {failure}")


def report(contenders, runs, lines, log, missing):
    ours = [run.seconds / lines["tripline"] for run in runs["tripline"]]
    rows = []
    for contender in contenders:
        theirs = [run.seconds / lines[contender.name] for run in runs[contender.name]]
        # (the short run has no neighbour)
        pairs = [a / b for a, b in zip(theirs, ours)] if len(theirs) == len(ours) else [theirs[0] / statistics.median(ours)]
        ratio = "" if contender.name == "tripline" else spread(pairs)
        rows.append([contender.name, *timing(runs[contender.name], lines[contender.name]), ratio, contender.version])
    note = (f"{log.describe()}; tripline scans it with all shipped rules, object-enumeration over 10 min / 1 min; "
            f"median of {len(ours)} rounds in turns.")
    own = f"CrowdSec read a log of {lines['crowdsec']:,} lines, once." if "crowdsec" in lines else None
    return table("Beside others", note, ["", *TIMING, "time a line / tripline's", "version"], rows, [own, *missing])


def reads_all(name, lines_read, log):
    """A check that a contender counted as many lines as the log has."""
    def check(out):
        if lines_read(out) != log.lines:
            raise Failure(f"{name} read {lines_read(out):,} of {log.lines:,} lines")
    return check


def goaccess(_bench, log):
    if not shutil.which("goaccess"):
        install_goaccess()
    version = first_line(["goaccess", "--version"]).removeprefix("GoAccess - ").rstrip(".")
    command = lambda out: ["goaccess", log.path, "--log-format=COMBINED", "--no-global-config", "--no-progress",
                           "-o", out.with_suffix(".json")]
    valid = lambda out: json.loads(out.with_suffix(".json").read_text())["general"]["valid_requests"]
    return Contender("goaccess", command, reads_all("goaccess", valid, log), version)


def install_goaccess():
    apt = shutil.which("apt-get")
    if not apt or os.geteuid() != 0:
        raise Failure("goaccess: not installed; as root: apt-get install goaccess")
    say("installing goaccess")
    environment = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
    for step in (["update", "-qq"], ["install", "-y", "-qq", "--no-install-recommends", "goaccess"]):
        result = subprocess.run([apt, *step], env=environment, capture_output=True, text=True)
        if result.returncode != 0:
            raise Failure(f"goaccess: apt-get {step[0]} failed: {last_line(result.stderr)}")


def duckdb(bench, log):
    python = CACHE / "venv" / "bin" / "python"
    if not python.is_file() or subprocess.run([python, "-c", "import duckdb"], capture_output=True).returncode != 0:
        say(f"installing duckdb into {CACHE / 'venv'}")
        for step in ([sys.executable, "-m", "venv", "--clear", CACHE / "venv"],
                     [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "duckdb"]):
            result = subprocess.run(step, capture_output=True, text=True)
            if result.returncode != 0:
                raise Failure(f"duckdb: {' '.join(map(str, step))} failed: {last_line(result.stderr + result.stdout)}")
    version = first_line([python, "-c", "import duckdb; print(duckdb.__version__)"])
    command = lambda out: [python, "-c", DUCKDB_PROGRAM, log.path, str(len(bench.cores))]
    return Contender("duckdb", command, reads_all("duckdb", lambda out: json.loads(out.read_text())["lines"], log), version)


def crowdsec(bench, log):
    """From Debian's package, which is unpacked and not installed; it has parsers and scenarios with it. Its own local
    server takes the alerts, on a port of loopback."""
    package = crowdsec_package() / "usr"
    home = bench.scratch / "crowdsec"
    etc, data, hub = home / "etc", home / "data", package / "share/crowdsec/hub"
    shutil.copytree(package.parent / "etc/crowdsec", etc)
    shutil.copytree(package / "share/crowdsec/data", data)
    for part in CROWDSEC_PARTS:
        path = hub / f"{part}.yaml"
        installed = etc / path.parent.parent.relative_to(hub) / path.name
        installed.parent.mkdir(parents=True, exist_ok=True)
        installed.symlink_to(path)
        # Scenarios call their lists by other names than the package does.
        for source, name in re.findall(r"source_url: \S*/(\S+)\s+dest_file: (\S+)", path.read_text()):
            if source != name and (data / source).is_file():
                shutil.copy(data / source, data / name)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (etc / "credentials.yaml").write_text(f"url: http://127.0.0.1:{port}\nlogin: bench\npassword: bench-bench\n")
    config = home / "config.yaml"
    config.write_text(CROWDSEC_CONFIG.format(etc=etc, data=data, hub=hub, threads=len(bench.cores), port=port))
    step = [package / "bin/cscli", "-c", config, "machines", "add", "bench", "--password", "bench-bench",
            "-f", etc / "credentials.yaml"]
    result = subprocess.run(step, capture_output=True, text=True)
    if result.returncode != 0:
        raise Failure(f"crowdsec: its local server cannot be set up: {last_line(result.stderr)}")
    program = package / "bin/crowdsec"
    version = subprocess.run([program, "-version"], capture_output=True, text=True)
    version = re.search(r"version: v?([\w.]+)", version.stdout + version.stderr)

    def check(out):
        if f"by ip {CAMPAIGN_CLIENT}" not in out.read_text() + out.with_suffix(".err").read_text():
            raise Failure(f"crowdsec has no alert about {CAMPAIGN_CLIENT}")

    return Contender("crowdsec", lambda _out: [program, "-c", config, "-dsn", f"file://{log.path}", "-type", "nginx"],
                     check, version[1] if version else "version unknown")


def crowdsec_package():
    folder = CACHE / "crowdsec"
    if (folder / "usr/bin/crowdsec").is_file():
        return folder
    if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
        raise Failure("crowdsec: Debian's package is unpacked for this, and there is no apt-get here")
    say(f"unpacking crowdsec into {folder}")
    folder.mkdir(parents=True, exist_ok=True)
    result = subprocess.run(["apt-get", "download", "-qq", "crowdsec"], cwd=folder, capture_output=True, text=True)
    packages = sorted(pathlib.Path(folder).glob("crowdsec_*.deb"))
    if result.returncode != 0 or not packages:
        raise Failure(f"crowdsec: apt-get download failed: {last_line(result.stderr)}")
    result = subprocess.run(["dpkg-deb", "-x", packages[-1], folder], capture_output=True, text=True)
    if result.returncode != 0:
        raise Failure(f"crowdsec: dpkg-deb failed: {last_line(result.stderr)}")
    return folder
