"""`tripline run` with very many alerts and a receiver that fails a third of the time.

It fails in outages (20 s of every minute it answers 503) or at random (`--failing random`: each request, by dice). Lines are written at
the given rate, with the times of the clock, to a file a minute; read ones are removed. Among them 1,000
requests a minute for a path of its own, each of which is an alert that fires and, its window being over, is resolved. The
receiver checks every signature and keeps what it accepted. Afterwards: every alert came, fired and then resolved, its states in
order, the same id with the same body; what did not come yet is in the outbox (after the fourth failure a message waits for ten minutes
and more); and memory at the end is what it was once all was warm.
"""

import collections
import hashlib
import json
import os
import random
import statistics
import subprocess
import threading
import time

import rules
from receiver import Receiver, running
from tool import Failure, table

DOWN, PERIOD = 20, 60  # seconds
FAILING = {"outages": f"answers 503 in {DOWN} s of every {PERIOD}", "random": "answers 503 to a third of all requests, at random"}
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

"""


class Accepted:
    """Keeps what comes, a third of the time."""

    def __init__(self, failing):
        self.bodies, self.tries, self.refused, self.wrong = {}, 0, 0, []
        self.failing, self.begin, self.dice = failing, time.monotonic(), random.Random(1)

    def fails(self):
        if self.failing == "random":
            return self.dice.random() < DOWN / PERIOD
        return (time.monotonic() - self.begin) % PERIOD < DOWN

    def __call__(self, message, body):
        self.tries += 1
        if self.fails():
            self.refused += 1
            return 503
        if self.bodies.setdefault(message, body) != body:
            self.wrong.append(f"{message}: two bodies")
        return 204


def alerts(bench):
    rate, seconds, a_minute = bench.options.rate, max(bench.options.seconds, 60), bench.options.alerts
    home = bench.scratch / "alerts"
    (home / "logs").mkdir(parents=True)
    accepted = Accepted(bench.options.failing)
    receiver = Receiver(accepted)
    config = rules.only(home, {"many": RULE, "busy": rules.rule(rules.TEN_MINUTES)}, CONFIG + receiver.destination(home))
    memory = []
    with running(bench, home, config) as run:
        threading.Thread(target=watch, args=(run, memory), daemon=True).start()
        written, behind = write(home / "logs", rate, seconds, a_minute)
        waiting = len(pending(bench, config))
        backlog = await_all(accepted, written, bench.options.wait)
    accepted.wrong += receiver.wrong
    states = received(accepted)
    late = check(states, accepted, written, pending(bench, config))
    thirds = [statistics.median(b for t, b in memory if n * seconds / 3 <= t < (n + 1) * seconds / 3) / 2**20 for n in range(3)]
    rows = [[f"{written:,}", f"{len(accepted.bodies):,}", f"{accepted.tries:,}", f"{accepted.refused:,}", f"{waiting:,}",
             f"{late:,} after {backlog:.0f} s", " / ".join(f"{third:,.0f}" for third in thirds) + " MiB",
             f"{run.usage.ru_maxrss / 1024:,.0f} MiB", f"{run.usage.ru_utime + run.usage.ru_stime:.0f} s"]]
    return table("Alerts", f"tripline run for {seconds} s at {rate:,} lines/s and {a_minute:,} alerts a minute, to a receiver that "
                 f"{FAILING[accepted.failing]}. Checked: nothing lost, in order, every signature. Memory: the median of each third "
                 "of the time.",
                 ["alerts", "messages", "tries", "refused", "waiting at the end", "later", "memory", "peak RSS", "CPU time"], rows,
                 [f"writing was at most {behind * 1000:.0f} ms behind its schedule"])


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


def await_all(accepted, written, seconds):
    """Waits until both states of every alert came; seconds that it took from the end of writing, or that it was waited."""
    begin = time.monotonic()
    while len(accepted.bodies) < 2 * written and time.monotonic() < begin + seconds:
        time.sleep(0.1)
    return time.monotonic() - begin


def watch(run, memory):
    """Notes the resident bytes every second."""
    begin = time.monotonic()
    while run.usage is None:
        try:
            with open(f"/proc/{run.pid}/statm") as file:
                memory.append((time.monotonic() - begin, int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")))
        except (OSError, IndexError):
            return
        time.sleep(1)


def pending(bench, config):
    """What waits in the outbox: (fingerprint, status), in order."""
    command = [bench.tripline, "outbox", "list", "--format", "json", "-c", config]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    return [(entry["fingerprint"], entry["status"]) for entry in map(json.loads, lines) if entry["state"] == "pending"]


def received(accepted):
    """(status, sequence) of each path's states, in the order in which they were accepted first."""
    states = collections.defaultdict(list)
    for body in accepted.bodies.values():
        alert = json.loads(body)["data"]
        if alert["rule"] == "bench/many":
            states[alert["entity"]["path"]].append((alert["status"], alert["sequence"]))
    return states


def check(states, accepted, written, waiting):
    """Each alert fired and was resolved, and what has not come yet waits, in order. How many messages wait."""
    by_fingerprint = collections.defaultdict(list)
    for fingerprint, status in waiting:
        by_fingerprint[fingerprint].append(status)
    wrong, late = list(accepted.wrong), 0
    for path in (f"/alert/{n}" for n in range(written)):
        identity = json.dumps(["bench/many", {"path": path}], separators=(",", ":"))
        to_come = by_fingerprint[hashlib.sha256(identity.encode()).hexdigest()]
        sequences = [sequence for _, sequence in states[path]]
        late += len(to_come)
        if [status for status, _ in states[path]] + to_come != ["firing", "resolved"] or sequences != sorted(set(sequences)):
            wrong.append(f"{path}: {states[path]}, to come {to_come}")
    if wrong:
        raise Failure(f"{len(wrong)} alerts or messages are wrong: {'; '.join(wrong[:5])}")
    return late
