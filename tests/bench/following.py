"""`tripline run` over files that stand still, and over files that grow: what following costs, and how far behind it is.

`idle`: so many files (--files), of which each was read: the share of one core that they cost while nothing is written, the
memory, and how long a line that is then written to one of them takes to be read. `files`: the rate of --rate lines a second
spread over 20 files that grow; twice a second two marker lines in one of them, which are told as soon as they are read: the
time from their writing to the webhook is the lag, with a commit and a delivery in it.
"""

import json
import os
import socket
import statistics
import threading
import time
import urllib.request

import rules
from receiver import Receiver, running
from tool import Failure, say, table

FOLDERS = 100  # that the idle files are spread over
LINES = 3  # of an idle file
TRIES = 5
GROWING = 20
SLICE = 0.05  # seconds of lines in one write to each file
MARKER = """/*
title = "A marker"
severity = "info"
entity = ["path"]
quiet = "0s"
*/
SELECT window_start, window_end, path, count(*) AS requests
FROM tumble(requests, ts, INTERVAL '1 minute')
WHERE path LIKE '/marker/%'
GROUP BY window_start, window_end, path
HAVING count(*) >= 2
"""
CONFIG = """
[state]
dir = "state"

[[source]]
path = "logs"

[alerts]
storm = 100000   # each marker is to be told by itself

[metrics]
listen = "127.0.0.1:{port}"

"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Watched:
    """What a running process uses, and what it tells of itself."""

    def __init__(self, run, port):
        self.folder, self.port = f"/proc/{run.pid}", port

    def cpu(self):
        """Seconds of a core so far."""
        with open(f"{self.folder}/stat", encoding="ascii") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory(self):
        """Resident bytes now."""
        with open(f"{self.folder}/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def read(self):
        """Requests read so far."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=60) as page:
                lines = page.read().decode().splitlines()
        except OSError:
            return 0
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith("tripline_source_requests_total{"))

    def until_read(self, lines, seconds, what):
        begin = time.monotonic()
        while (read := self.read()) < lines:
            if time.monotonic() > begin + seconds:
                raise Failure(f"{what}: {read:,.0f} of {lines:,} lines were read in {seconds} s")
            time.sleep(0.02)
        return time.monotonic() - begin


def line(number, now, path="/v1/items"):
    stamp = time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(now))
    return (f'10.{number % 7}.{number // 250 % 250}.{number % 250} - - [{stamp}] "GET {path}/{number} HTTP/1.1" 200 512 "-" '
            '"bench/1"\n').encode()


def idle(bench):
    """The cost of files that stand still."""
    files, seconds = bench.options.files, bench.options.seconds
    home, port = bench.scratch / f"idle-{files}", free_port()
    say(f"writing {files:,} files")
    now = time.time()
    paths = [home / "logs" / f"{n % FOLDERS:02}" / f"{n}.log" for n in range(files)]
    for folder in {path.parent for path in paths}:
        folder.mkdir(parents=True)
    for n, path in enumerate(paths):
        path.write_bytes(b"".join(line(n * LINES + k, now) for k in range(LINES)))
    receiver = Receiver(lambda *_: 204)
    config = rules.shipped(home, CONFIG.format(port=port) + receiver.destination(home))
    with running(bench, home, config) as run:
        watched = Watched(run, port)
        first = watched.until_read(files * LINES, 1800, "the files")
        began = watched.cpu()
        say(f"read in {first:.1f} s; {seconds} s of quiet")
        time.sleep(5)  # what is done once after reading
        before, begin = watched.cpu(), time.monotonic()
        time.sleep(seconds)
        share = (watched.cpu() - before) / (time.monotonic() - begin)
        memory = watched.memory()
        lags = []
        for n in range(TRIES):
            with open(paths[n * (files // TRIES)], "ab") as file:
                file.write(line(n, time.time()))
            lags.append(watched.until_read(files * LINES + n + 1, 600, "a line more"))
    return table("Idle files", f"tripline run, all shipped rules, over {files:,} files of {LINES} lines that were read, {seconds} s. "
                 "Wanted: 1,000 files under 1 % of a core.",
                 ["files", "read in", "CPU for that", "share of a core", "memory", "peak RSS", "a line more is read after"],
                 [[f"{files:,}", f"{first:.1f} s", f"{began:.1f} s", f"{share:.2%}", f"{memory / 2**20:,.0f} MiB",
                   f"{run.usage.ru_maxrss / 1024:,.0f} MiB", f"{statistics.median(lags):.2f} s ({min(lags):.2f} to {max(lags):.2f})"]])


def growing(bench):
    """The lag behind files that grow."""
    rate, seconds = bench.options.rate, bench.options.seconds
    home, port = bench.scratch / "files", free_port()
    (home / "logs").mkdir(parents=True)
    came, sent = {}, {}

    def take(_, body):
        message = json.loads(body)
        if message["type"] == "alert.firing" and message["data"]["rule"] == "bench/marker":
            came.setdefault(message["data"]["entity"]["path"], time.monotonic())
        return 204

    receiver = Receiver(take)
    config = rules.shipped(home, CONFIG.format(port=port) + receiver.destination(home))
    marker = home / "rules" / "bench" / "marker" / "rule.sql"
    marker.parent.mkdir(parents=True, exist_ok=True)
    marker.write_text(MARKER)
    memory = []
    with running(bench, home, config) as run:
        watched = Watched(run, port)
        threading.Thread(target=watch, args=(watched, run, memory), daemon=True).start()
        before = watched.cpu()
        written, behind = write(home / "logs", rate, seconds, sent)
        cpu = watched.cpu() - before
        left = watched.until_read(written, bench.options.wait, "what was written")
        begin = time.monotonic()
        while len(came) < len(sent) and time.monotonic() < begin + 30:
            time.sleep(0.05)
    missing = len(sent) - len(came)
    lags = sorted(came[path] - at for path, at in sent.items() if path in came)
    if not lags:
        raise Failure("no marker came")
    centiles = statistics.quantiles(lags, n=100, method="inclusive")
    thirds = [statistics.median(part) / 2**20 for part in (memory[len(memory) * n // 3:len(memory) * (n + 1) // 3] for n in range(3))]
    return table("Growing files", f"tripline run, all shipped rules, {rate:,} lines/s over {GROWING} files for {seconds} s; lag from the "
                 "writing of a marker to its webhook at loopback. Wanted at 50,000 lines/s: under 1 s.",
                 ["lines", "lag: p50", "p90", "p99", "most", "all read after the end", "CPU", "memory by thirds", "peak RSS"],
                 [[f"{written:,}", *(f"{centiles[p - 1]:.2f} s" for p in (50, 90, 99)), f"{lags[-1]:.2f} s", f"{left:.1f} s",
                   f"{cpu / seconds:.0%} of a core", " / ".join(f"{third:,.0f}" for third in thirds) + " MiB",
                   f"{run.usage.ru_maxrss / 1024:,.0f} MiB"]],
                 [f"{len(lags)} markers; writing was at most {behind * 1000:.0f} ms behind its schedule",
                  f"{missing} markers were not told: WRONG" if missing else None])


def watch(watched, run, memory):
    while run.usage is None:
        try:
            memory.append(watched.memory())
        except (OSError, IndexError):
            return
        time.sleep(0.5)


def write(folder, rate, seconds, sent):
    """Writes to all files at once; how many lines, and the most seconds that it was behind."""
    each = int(rate * SLICE / GROWING)
    # Of some slices, all but their times.
    blocks = [[b"".join(line(n * 31 + block * 1_009 + file * 7, 0) for n in range(each)) for file in range(GROWING)]
              for block in range(4)]
    old = time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(0)).encode()
    files = [open(folder / f"{n}.log", "ab", buffering=0) for n in range(GROWING)]
    begin, written, behind = time.monotonic(), 0, 0.0
    for n in range(int(seconds / SLICE)):
        wait = begin + n * SLICE - time.monotonic()
        time.sleep(max(0.0, wait))
        behind = max(behind, -wait)
        now = time.time()
        stamp = time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(now)).encode()
        for number, file in enumerate(files):
            file.write(blocks[n % len(blocks)][number].replace(old, stamp))
            written += each
        if n % 10 == 5:
            path = f"/marker/{n}/1"
            files[n // 10 % GROWING].write(2 * line(1, now, f"/marker/{n}"))
            sent[path] = time.monotonic()
            written += 2
    for file in files:
        file.close()
    return written, behind
