"""`tripline run` while a log is written: how long after the line that settles an alert its webhook comes.

Lines of the load generator are appended to a log at the given rate, their times those of the clock. Campaigns begin at
known moments, each from an address of its own: 500 different objects over ten seconds, then 100 more in one write. The
rule (object-enumeration, 550 objects in 10 min / 1 min) estimates within a percent or two, so the write of the hundred
holds the settling line, and latency is counted from just before it. An alert that comes earlier would be wrong.
"""

import json
import statistics
import time

import rules
from receiver import Receiver, running
from tool import Failure, say, table

SLICE = 0.01  # seconds of lines in one write
BEFORE, BURST, BUILD_UP = 500, 100, 10.0
RULE = "bench/object-enumeration"
CONFIG = """
[state]
dir = "state"

[[source]]
path = "logs"

[alerts]
storm = 100000   # each campaign is to be told by itself

"""


class Came:
    """When the first alert about each client came, by the monotonic clock."""

    def __init__(self):
        self.at = {}

    def __call__(self, _, body):
        now = time.monotonic()
        message = json.loads(body)
        if message["type"] == "alert.firing" and message["data"]["rule"] == RULE:
            self.at.setdefault(message["data"]["entity"]["client"], now)
        return 204


class Campaign:
    """One client's lines: BEFORE over BUILD_UP seconds, from `begin` on; then BURST at once."""

    def __init__(self, number, begin):
        network = ["203.0.113", "198.51.100"][number // 250]
        self.client, self.begin, self.sent, self.settled = f"{network}.{number % 250 + 1}", begin, 0, None

    def due(self, elapsed):
        """How many lines are to be written by now."""
        since = elapsed - self.begin
        return 0 if since < 0 else BEFORE + BURST if since >= BUILD_UP else int(BEFORE * since / BUILD_UP)

    def lines(self, upto, stamp):
        ids = range(self.sent, upto)
        self.sent = upto
        return "".join(f'{self.client} - - [{stamp}] "GET /v1/users/{1_000 + n} HTTP/1.1" 200 620 "-" "Mozilla/5.0"\n'
                       for n in ids).encode()


def live(bench):
    rate, seconds = bench.options.rate, bench.options.seconds
    # In seconds from the start of writing; the last one is settled before the end.
    count = min(int((seconds - BUILD_UP - 1) * 3), 500)
    if count < 1:
        raise Failure("live needs --seconds of 12 or more")
    campaigns = [Campaign(n, 0.5 + n * (seconds - BUILD_UP - 1) / count) for n in range(count)]
    came = Came()
    receiver = Receiver(came)
    home = bench.scratch / "live"
    (home / "logs").mkdir(parents=True)
    config = rules.shipped(home, CONFIG + receiver.destination(home))
    # Lines of the clock's near future, so that they can be written when their time comes.
    start = int(time.time()) + 5 + rate * seconds // 400_000
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(start))
    log = bench.log(rate * seconds, "--rate", str(rate), "--start", stamp, name="live.log")
    if time.time() > start:
        raise Failure("writing the log took too long; ask for a lower --rate or fewer --seconds")
    with running(bench, home, config) as run:
        behind = write(log, home / "logs" / "access.log", rate, seconds, start, campaigns)
        await_alerts(campaigns, came.at, bench.options.wait)
    if receiver.wrong:
        raise Failure(f"{len(receiver.wrong)} wrong messages: {receiver.wrong[0]}")
    return report(bench, campaigns, came.at, behind, run.usage)


def write(log, path, rate, seconds, start, campaigns):
    """Appends the log at its rate; the most seconds that writing was behind."""
    slices = int(seconds / SLICE)
    behind = 0.0
    with open(log.path, "rb") as source, open(path, "ab", buffering=0) as sink:
        time.sleep(max(0.0, start - time.time()))
        begin = time.monotonic()
        written = 0
        for n in range(slices):
            upto = int((n + 1) * SLICE * rate)
            block = b"".join(source.readline() for _ in range(upto - written))
            written = upto
            wait = begin + (n + 1) * SLICE - time.monotonic()
            time.sleep(max(0.0, wait))
            behind = max(behind, -wait)
            sink.write(block)
            elapsed = time.monotonic() - begin
            stamp = time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(start + elapsed))
            for campaign in campaigns:
                due = campaign.due(elapsed)
                if due > campaign.sent:
                    block = campaign.lines(due, stamp)
                    if due > BEFORE:
                        campaign.settled = time.monotonic()
                    sink.write(block)
    return behind


def await_alerts(campaigns, came, seconds):
    say(f"written; {len(came)} of {len(campaigns)} alerts came while writing")
    end = time.monotonic() + seconds
    while time.monotonic() < end and not all(campaign.client in came for campaign in campaigns):
        time.sleep(0.1)


def report(bench, campaigns, came, behind, usage):
    latencies = sorted(came[c.client] - c.settled for c in campaigns if c.client in came)
    missing = len(campaigns) - len(latencies)
    if not latencies:
        raise Failure(f"no alert came within {bench.options.wait} s")
    early = sum(latency < 0 for latency in latencies)
    centiles = [*statistics.quantiles(latencies, n=100, method="inclusive")] if len(latencies) > 1 else latencies * 99
    rows = [[f"{len(latencies)} of {len(campaigns)}", *(f"{centiles[p - 1]:.3f} s" for p in (50, 90, 99)),
             f"{latencies[0]:.3f} to {latencies[-1]:.3f} s", f"{usage.ru_maxrss / 1024:,.0f} MiB",
             f"{(usage.ru_utime + usage.ru_stime):.0f} s"]]
    return table("Live", f"tripline run, all shipped rules; {bench.options.rate:,} lines/s for {bench.options.seconds} s and "
                 f"{len(campaigns)} campaigns of {BEFORE + BURST} lines; from the settling write to the webhook at "
                 "loopback. Wanted: p99 under 1 s.",
                 ["alerts", "p50", "p90", "p99", "least to most", "peak RSS", "CPU time"], rows, [
                     f"{missing} alerts did not come within {bench.options.wait} s" if missing else None,
                     f"{early} alerts came before their settling line: WRONG" if early else None,
                     f"writing was at most {behind * 1000:.0f} ms behind its schedule"])
