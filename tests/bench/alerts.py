"""`tripline run` with very many alerts and a receiver that is down a third of the time: 20 s of every minute it answers 503.

Lines are written at the given rate, with the times of the clock, to a file a minute; read ones are removed. Among them 1,000
requests a minute for a path of its own, each of which is an alert that fires and, its window being over, is resolved. The
receiver checks every signature and keeps what it accepted. Afterwards: every alert came, fired and then resolved, its states in
order, the same id with the same body; the outbox is empty; and memory at the end is what it was once all was warm.
"""

import base64
import hashlib
import hmac
import http.server
import json
import os
import signal
import statistics
import subprocess
import threading
import time

import rules
from tool import Failure, say, table

SECRET = b"k" * 32
DOWN, PERIOD = 20, 60  # seconds
RULE = """/*
title = "One of very many"
severity = "low"
entity = ["path"]
quiet = "0s"
*/
SELECT window_start, window_end, path, count(*) AS requests
FROM tumble(requests, ts, INTERVAL '1 second')
WHERE path LIKE '/alert/%'
GROUP BY window_start, window_end, path
"""
CONFIG = """
[state]
dir = "state"

[[source]]
path = "logs"
lateness = "1s"

[alerts]
storm = 1000000   # each alert is to be told by itself

[[destination]]
name = "bench"
url = "http://127.0.0.1:{port}/"
allow_http = true
secret_file = "secret"
"""


class Receiver(http.server.ThreadingHTTPServer):
    """Checks and keeps what comes; down for the first DOWN seconds of every PERIOD after the first."""
    daemon_threads = True
    request_queue_size = 128

    def __init__(self):
        self.lock, self.accepted, self.tries, self.refused, self.wrong = threading.Lock(), {}, 0, 0, []
        self.begin = time.monotonic()
        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def is_down(self):
        return (time.monotonic() - self.begin) % PERIOD < DOWN

    def take(self, headers, body):
        """The status to answer with."""
        with self.lock:
            self.tries += 1
            message, signed = headers["webhook-id"], headers["webhook-signature"]
            content = f"{message}.{headers['webhook-timestamp']}.".encode() + body
            mac = base64.b64encode(hmac.digest(SECRET, content, hashlib.sha256)).decode()
            if signed != f"v1,{mac}":
                self.wrong.append(f"{message}: the signature")
            if self.is_down():
                self.refused += 1
                return 503
            if message in self.accepted and self.accepted[message] != body:
                self.wrong.append(f"{message}: two bodies")
            self.accepted.setdefault(message, body)
            return 204


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        self.send_response(self.server.take(self.headers, body))
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def alerts(bench):
    rate, seconds, a_minute = bench.options.rate, max(bench.options.seconds, 60), bench.options.alerts
    home = bench.scratch / "alerts"
    (home / "logs").mkdir(parents=True)
    (home / "secret").write_text(f"whsec_{base64.b64encode(SECRET).decode()}\n")
    receiver = Receiver()
    config = rules.only(home, {"many": RULE, "busy": rules.rule(rules.TEN_MINUTES)}, CONFIG.format(port=receiver.server_port))
    with open(home / "run.err", "wb") as errors:
        process = subprocess.Popen([bench.tripline, "run", "-c", config], stdin=subprocess.DEVNULL, stderr=errors)
    memory = []
    threading.Thread(target=watch, args=(process, memory), daemon=True).start()
    try:
        written, behind = write(home / "logs", rate, seconds, a_minute)
        backlog = await_all(receiver, written, bench.options.wait)
    finally:
        process.send_signal(signal.SIGTERM)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise Failure(f"tripline run ended with {process.returncode}: {(home / 'run.err').read_text()[-500:]}")
    return report(bench, receiver, seconds, written, behind, backlog, memory, usage)


def write(folder, rate, seconds, a_minute):
    """Writes the log; how many alerts it holds, and the most seconds that writing was behind."""
    # A second's lines, all but their times, for some different seconds.
    blocks = [b"".join(b'10.%d.%d.%d - - [@] "GET /v1/items/%d HTTP/1.1" 200 512 "-" "bench"\n'
                       % (n % 7, n // 250 % 250, n % 250, (n * 31 + block * 17) % 400) for n in range(rate))
              for block in range(5)]
    begin, start, written, behind = time.monotonic(), time.time(), 0, 0.0
    for second in range(seconds):
        stamp = time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(start + second)).encode()
        due = (second + 1) * a_minute // 60
        more = b"".join(b'192.0.2.1 - - [@] "GET /alert/%d HTTP/1.1" 200 1 "-" "bench"\n' % n for n in range(written, due))
        written = due
        block = (blocks[second % len(blocks)] + more).replace(b"@", stamp)
        wait = begin + second - time.monotonic()
        time.sleep(max(0.0, wait))
        behind = max(behind, -wait)
        minute = second // 60
        with open(folder / f"access-{minute}.log", "ab", buffering=0) as sink:
            sink.write(block)
        if second % 60 == 30 and minute >= 2:
            (folder / f"access-{minute - 2}.log").unlink()
    # Event time goes on for who is last.
    time.sleep(5)
    with open(folder / "access-end.log", "ab", buffering=0) as sink:
        stamp = time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime()).encode()
        sink.write(b'192.0.2.1 - - [%s] "GET / HTTP/1.1" 200 1 "-" "bench"\n' % stamp)
    return written, behind


def await_all(receiver, written, seconds):
    """Waits until both states of every alert came; seconds that it took from the end of writing."""
    begin = time.monotonic()
    while len(receiver.accepted) < 2 * written and time.monotonic() < begin + seconds:
        time.sleep(0.1)
    return time.monotonic() - begin


def watch(process, memory):
    """Notes the resident bytes every second."""
    begin = time.monotonic()
    while process.returncode is None:
        try:
            with open(f"/proc/{process.pid}/statm") as file:
                memory.append((time.monotonic() - begin, int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")))
        except (OSError, IndexError):
            return
        time.sleep(1)


def report(bench, receiver, seconds, written, behind, backlog, memory, usage):
    states = {}
    for body in receiver.accepted.values():  # in the order in which they were accepted first
        message = json.loads(body)
        if message["data"]["rule"] == "bench/many":
            states.setdefault(message["data"]["entity"]["path"], []).append((message["type"], message["data"]["sequence"]))
    lost = [path for path in (f"/alert/{n}" for n in range(written))
            if [kind for kind, _ in states.get(path, [])] != ["alert.firing", "alert.resolved"]]
    disorder = [path for path, told in states.items() if [n for _, n in told] != sorted({n for _, n in told})]
    in_third = lambda n: statistics.median(b for t, b in memory if n * seconds / 3 <= t < (n + 1) * seconds / 3) / 2**20
    thirds = [in_third(n) for n in range(3)]
    wrong = [*receiver.wrong[:5], *(f"{path}: {states.get(path)}" for path in (lost + disorder)[:5])]
    if wrong:
        raise Failure(f"{len(lost)} alerts did not come whole, {len(disorder)} out of order, {len(receiver.wrong)} wrong "
                      f"messages: {'; '.join(wrong)}")
    rows = [[f"{written:,}", f"{len(receiver.accepted):,}", f"{receiver.tries:,}", f"{receiver.refused:,}",
             f"{backlog:.1f} s", " / ".join(f"{third:,.0f}" for third in thirds) + " MiB",
             f"{usage.ru_maxrss / 1024:,.0f} MiB", f"{usage.ru_utime + usage.ru_stime:.0f} s"]]
    return table("Alerts", f"tripline run for {seconds} s at {bench.options.rate:,} lines/s and {bench.options.alerts:,} alerts a "
                 f"minute, to a receiver that answers 503 in {DOWN} s of every {PERIOD}. Checked: nothing lost, in order, every "
                 "signature. Memory: the median of each third of the time.",
                 ["alerts", "messages", "tries", "refused", "all there after the end", "memory", "peak RSS", "CPU time"], rows,
                 [f"writing was at most {behind * 1000:.0f} ms behind its schedule"])
