#!/usr/bin/env python3
"""Measures Tripline on generated logs: python3 tests/bench [SUITE...]

  compare   a scan with all shipped rules beside GoAccess, DuckDB and CrowdSec
  overlap   hop 60 min / 1 min beside tumble 1 min
  length    the last quarter of a long file beside the first
  rules     ten rules beside one
  distinct  a million clients in one window: bytes a client
  month     200 M lines of 30 days, compressed
  baselines a baseline of a million clients by the hour: close time, bytes a key in memory and on disk
  live      `tripline run`: from the line that settles an alert to the webhook, at 20,000 lines/s
  idle      `tripline run`: what files that stand still cost; --files 100000 for more of them
  growing   `tripline run`: how far behind it is at --rate 50000 lines/s over 20 files
  alerts    `tripline run`: 1,000 alerts a minute to a receiver that fails a third of the time: nothing lost, memory flat

Runs that are compared take turns (A B A B ...), held to the same cores; medians, with the least and the most. Every run
is checked: the campaign in the log must be found. Results are Markdown tables on stdout.

Needs Python 3.9 and Linux, and `cargo build --release -p tripline -p tripline-datasets`. What is missing of the others
is installed (GoAccess by apt-get as root; DuckDB from PyPI, and Debian's package of CrowdSec unpacked, in the cache
directory); if that fails, the table says so. 20 M lines take 4.2 GB of the scratch directory.
"""

import argparse
import os
import pathlib
import subprocess
import sys
import tempfile

import alerts
import baselines
import compare
import following
import live
import scaling
import tool

SUITES = {"compare": compare.compare, "overlap": scaling.overlap, "length": scaling.length, "rules": scaling.many_rules,
          "distinct": scaling.distinct, "month": scaling.month, "baselines": baselines.baselines,
          "idle": following.idle, "growing": following.growing, "live": live.live, "alerts": alerts.alerts}


def main():
    options = arguments()
    cores = sorted(os.sched_getaffinity(0))[: options.cores]
    os.sched_setaffinity(0, cores)  # every process started from here on inherits it
    with tempfile.TemporaryDirectory(prefix="tripline-bench-", dir=options.scratch) as scratch:
        bench = tool.Bench(options, pathlib.Path(scratch).resolve(), cores)
        failures = [suite for suite in dict.fromkeys(options.suites or ["compare"]) if not measured(suite, bench)]
    print(f"{bench.version}; {tool.machine(cores)}; `python3 tests/bench {' '.join(sys.argv[1:])}`")
    if failures:
        sys.exit(f"bench: failed: {', '.join(failures)}")


def measured(suite, bench):
    """Prints a suite's table; whether there is one. What went wrong in one suite does not keep the others from being measured."""
    try:
        print(SUITES[suite](bench), end="\n\n", flush=True)
        return True
    except tool.Failure as failure:
        tool.say(f"{suite}: {failure}")
        return False


def arguments():
    parser = argparse.ArgumentParser(
        prog="python3 tests/bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("suites", nargs="*", metavar="SUITE", help="what to measure [compare]")
    parser.add_argument("--lines", type=positive, 
                        help="lines of the generated log, at least 100,000; fewer are a shorter time [20 M; distinct 13.2 M, "
                        "month 200 M]")
    parser.add_argument("--rounds", type=positive, default=3, help="turns that each takes [3]")
    parser.add_argument("--cores", type=positive, default=2, help="cores that each may use [2]")
    parser.add_argument("--binary", type=pathlib.Path, help="the tripline to measure [target/release, else target/debug]")
    parser.add_argument("--simulator", type=pathlib.Path, help="the tripline-datasets that writes the logs [likewise]")
    parser.add_argument("--scratch", type=pathlib.Path, help="where logs are written [the temporary directory]")
    parser.add_argument("--without", action="append", default=[], choices=["goaccess", "duckdb", "crowdsec"],
                        help="compare: leave it out (repeatable); GoAccess takes five minutes for 20 M lines")
    parser.add_argument("--crowdsec-lines", type=positive, default=20_000, help="lines of CrowdSec's own log [20000]")
    parser.add_argument("--limit-config", type=pathlib.Path,
                        help="distinct: measure once more with this added to the config, such as a memory limit")
    parser.add_argument("--keys", type=positive, default=baselines.KEYS, help="baselines: clients [1000000]")
    parser.add_argument("--hours", type=positive, default=baselines.HOURS, help="baselines: hours of the log [6]")
    parser.add_argument("--files", type=positive, default=1_000, help="idle: so many files [1000]")
    parser.add_argument("--rate", type=positive, default=20_000, help="live, growing, alerts: lines a second [20000]")
    parser.add_argument("--alerts", type=positive, default=1_000, help="alerts: so many a minute [1000]")
    parser.add_argument("--failing", choices=alerts.FAILING, default="outages", help="alerts: how the receiver fails [outages]")
    parser.add_argument("--seconds", type=positive, default=60, help="idle, live, growing, alerts: how long it takes, for alerts at least 60 [60]")
    parser.add_argument("--wait", type=positive, default=200, help="live, growing, alerts: seconds to wait for the last alert [200]")
    options = parser.parse_args()
    for suite in options.suites:
        if suite not in SUITES:
            parser.error(f"there is no suite {suite}; there are: {', '.join(SUITES)}")
    return options


def positive(text):
    number = int(text.replace("_", ""))
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


if __name__ == "__main__":
    try:
        main()
    except tool.Failure as failure:
        sys.exit(f"bench: {failure}")
    except subprocess.CalledProcessError as failure:
        sys.exit(f"bench: {failure.cmd[0]} ended with {failure.returncode}")
