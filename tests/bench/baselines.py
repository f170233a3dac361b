"""A baseline of many clients, hour by hour, as `tripline run` keeps it.

A log in which every client comes once an hour is followed to its end, with a baseline by client and route and a rule that
joins it to the few clients that come twice. Shown: how long an hour takes to close, the Parquet of an hour, and what the
baseline takes in memory after a restart, as the program tells it. The rule must find each client that came twice.
"""

import os
import re
import signal
import statistics
import subprocess
import time

from tool import Failure, say, table

KEYS, HOURS = 1_000_000, 6
ROUTES, TWICE = 50, 10
START = 1_772_438_400  # 2026-03-02T08:00:00Z

CONFIG = """
[state]
dir = "state"

[rules]
dirs = ["rules"]
disable = ["api*/*"]

[[source]]
path = "access.log"
lateness = "1s"
"""

BASELINE = """/*
title = "What a client asks for in an hour"
kind = "baseline"
entity = ["client", "route"]
max_age = "14d"
*/
SELECT window_start, window_end, client, route, count(*) AS requests, approx_distinct(object) AS objects
FROM tumble(requests, ts, INTERVAL '1 hour')
GROUP BY window_start, window_end, client, route
"""

RULE = """/*
title = "Twice in an hour"
severity = "low"
entity = ["client", "hour"]
quiet = "0s"
*/
WITH w AS (
    SELECT window_start, window_end, client, route, count(*) AS requests FROM tumble(requests, ts, INTERVAL '1 hour')
    GROUP BY window_start, window_end, client, route HAVING count(*) >= 2
)
SELECT w.window_start, w.window_end, w.client, CAST(w.window_start AS VARCHAR) AS hour, w.requests, own.requests AS before
FROM w LEFT JOIN known_hours own ON own.client = w.client AND own.route = w.route
 AND w.window_start >= own.valid_from AND w.window_start < own.valid_until
"""


def baselines(bench):
    """Close time of an hour, bytes a key in memory and on disk."""
    keys, hours = bench.options.keys, bench.options.hours
    folder = bench.scratch / "baselines"
    for name, text in {"rules/known-hours/rule.sql": BASELINE, "rules/twice/rule.sql": RULE, "tripline.toml": CONFIG}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    log = folder / "access.log"
    log.touch()
    run = Follower(bench, folder)
    closes = []
    with open(log, "w", encoding="ascii") as out:
        for hour in range(hours):
            say(f"hour {hour + 1} of {hours}")
            write_hour(out, hour, keys)
            # The first line of the next hour, past the lateness, closes this one.
            out.write(line(0, stamp(START + (hour + 1) * 3600 + 2)))
            out.flush()
            run.wait_for(lambda: len(kept(folder)) > hour, f"the file of hour {hour + 1}")
            closes.append(run.longest_close())
    peak = run.peak()
    run.stop()
    check(run.alerts, hours)
    sizes = [path.stat().st_size for path in kept(folder)]
    newest = sum(path.stat().st_size for path in (folder / "state/baselines/known_hours").glob(".newest-*"))
    begin = time.perf_counter()
    again = Follower(bench, folder)
    known = again.wait_for(again.known, "what the baseline knows after a restart")
    restart = time.perf_counter() - begin
    again.stop()
    rows, size = known
    later = closes[1:] or closes
    return table(
        "Baselines", f"{keys:,} keys of client and route, {hours} hours, every key in each; {bench.tripline.parent.name} build.",
        ["", "value"],
        [["an hour closes, ms: the first", f"{closes[0]:,}"],
         ["- those after, median (least to most)", f"{statistics.median(later):,.0f} ({min(later):,} to {max(later):,})"],
         ["in memory after a restart, bytes a row", f"{size / rows:,.0f}"],
         ["- rows a key", f"{rows / keys:.2f}"],
         ["- bytes a key", f"{size / keys:,.0f}"],
         ["Parquet of an hour, bytes a row", f"{statistics.median(sizes) / keys:.1f}"],
         ["Parquet of all hours, MB", f"{sum(sizes) / 1e6:,.1f}"],
         ["the newest row of each key as one file, MB", f"{newest / 1e6:,.1f}"],
         ["restart until the baseline is known, s", f"{restart:.1f}"],
         ["peak RSS, the open hour's groups and two hours' rows in it", f"{peak / 2**20:,.0f} MiB"]],
        ["While an hour is open, the rows of the hour before are held beside the newest of each key: two rows a key.",
         "Hours of the past are read as fast as they come, so that the close times include what the machine does beside."])


def address(client):
    """All over, and no two the same: addresses in sequence would compress better than any site's."""
    number = client * 2_654_435_761 % 2**32
    return f"{number >> 24}.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"


def stamp(second):
    return time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(second))


def line(client, stamp):
    return f'{address(client)} - - [{stamp}] "GET /v1/kind-{client % ROUTES:02}/{client} HTTP/1.1" 200 512 "-" "bench/1"\n'


def write_hour(out, hour, keys):
    """Each client once, in order of time, and some twice."""
    chunk = max(1, keys // 3000)
    for first in range(0, keys, chunk):
        now = stamp(START + hour * 3600 + 3 + first // chunk)
        out.write("".join(line(client, now) for client in range(first, min(first + chunk, keys))))
    now = stamp(START + hour * 3600 + 3590)
    out.write("".join(line(client, now) for client in range(1, TWICE + 1)))


def kept(folder):
    return sorted((folder / "state/baselines/known_hours").glob("*.parquet"))


def check(alerts, hours):
    """Each client that came twice, in each hour that was closed."""
    if len(alerts) < TWICE * hours:
        raise Failure(f"{len(alerts)} alerts instead of {TWICE * hours}")


class Follower:
    """`tripline run`, and what it says."""

    def __init__(self, bench, folder):
        self.folder, self.said, self.seen, self.alerts = folder, folder / "said.txt", 0, []
        # `info` tells of alerts, the program's own `debug` of what took long.
        environment = dict(os.environ, RUST_LOG="info,tripline::run=debug", NO_COLOR="1")
        with open(self.said, "wb") as said:
            self.process = subprocess.Popen([bench.tripline, "run", "-c", "tripline.toml"], cwd=folder, stdout=said, stderr=said,
                                            env=environment)
        self.wait_for(lambda: "starting" in self.text(), "the start")

    def text(self):
        return re.sub(r"\x1b\[[0-9;]*m", "", self.said.read_text(errors="replace"))

    def known(self):
        """Rows and bytes of the baseline, as they are told at the start."""
        match = re.search(r"what the baseline knows.* rows=(\d+) bytes=(\d+)", self.text())
        return match and int(match[1]) > 0 and (int(match[1]), int(match[2]))

    def longest_close(self):
        """Of what was told since the last call, ms."""
        text = self.text()
        news, self.seen = text[self.seen:], len(text)
        self.alerts += re.findall(r"alert: Twice in an hour", news)
        return max((int(ms) for ms in re.findall(r"windows closed.* ms=(\d+)", news)), default=0)

    def peak(self):
        """Peak resident bytes so far, as the kernel counted them."""
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as status:
            return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))

    def wait_for(self, find, what):
        deadline = time.monotonic() + 900
        while not (found := find()):
            if self.process.poll() is not None:
                raise Failure(f"tripline ended with {self.process.returncode}: {self.text()[-500:]}")
            if time.monotonic() > deadline:
                self.process.kill()
                raise Failure(f"waited too long for {what}: {self.text()[-500:]}")
            time.sleep(0.05)
        return found

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        if self.process.wait(60):
            raise Failure(f"tripline ended with {self.process.returncode}: {self.text()[-500:]}")
        self.longest_close()
