"""What every measurement needs: programs of the workspace, generated logs, processes run in turns, tables."""

import collections
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME", pathlib.Path.home() / ".cache")) / "tripline-bench"
LOAD_BEFORE = os.getloadavg()[0]

# Who enumerates in every generated log (tripline_datasets::CAMPAIGN_ADDRESS).
CAMPAIGN_CLIENT = "192.0.2.200"

# A command that is measured: command(out) makes it, check(out) raises Failure if its output is wrong.
Contender = collections.namedtuple("Contender", "name command check version", defaults=("",))
# marks: (seconds since the start, bytes of the log read), if they were asked for.
Run = collections.namedtuple("Run", "seconds peak_rss marks")


class Failure(Exception):
    """Something that a person has to put right; the text says what."""


def say(text):
    print(text, file=sys.stderr, flush=True)


def built(name, chosen):
    """A program of the workspace: the chosen one, or the fastest build there is."""
    candidates = [chosen] if chosen else [TARGET / profile / name for profile in ("release", "debug")]
    for candidate in candidates:
        if candidate.is_file() and os.access(candidate, os.X_OK):
            return candidate.resolve()
    raise Failure(f"no {name} at {' or '.join(map(str, candidates))}: cargo build --release -p {name}")


def first_line(command):
    result = subprocess.run(command, capture_output=True, text=True)
    return (result.stdout.strip().splitlines() or ["version unknown"])[0]


def last_line(text):
    return (text.strip().splitlines() or ["no message"])[-1]


class Log:
    """A file that `tripline-datasets load` wrote, and what is in it."""

    def __init__(self, path, lines, clients, seconds):
        self.path, self.lines, self.clients, self.seconds = path, lines, clients, seconds
        self.size = path.stat().st_size

    def describe(self):
        return f"{self.lines:,} lines of {self.clients:,} clients, {self.size / 1e6:,.0f} MB"


class Bench:
    """The programs, where files are put, and how often is measured."""

    def __init__(self, options, scratch, cores):
        self.options, self.scratch, self.cores, self.logs = options, scratch, cores, {}
        self.tripline = built("tripline", options.binary)
        self.simulator = built("tripline-datasets", options.simulator)
        self.version = f"{first_line([self.tripline, '--version'])} ({self.tripline.parent.name})"
        if not options.binary and self.tripline.parent.name != "release":
            say(f"NOTE: measuring the debug build {self.tripline}, at perhaps 60 % of release speed: the figures mean "
                "little. For the real ones: cargo build --release -p tripline")

    def log(self, lines, *arguments, name="access.log"):
        """A generated log; written once, however many suites ask for it."""
        key = (lines, arguments, name)
        if key not in self.logs:
            path, truth = self.scratch / f"{len(self.logs)}-{name}", self.scratch / "truth.json"
            say(f"writing {lines:,} lines")
            start = time.perf_counter()
            subprocess.run([self.simulator, "load", "--lines", str(lines), *arguments, "--out", path, "--truth", truth],
                           check=True)
            told = json.loads(truth.read_text())
            self.logs[key] = Log(path, told["lines"], told["clients"], time.perf_counter() - start)
        warm(self.logs[key].path)
        return self.logs[key]

    def scan(self, name, log, config):
        """A scan of a log that must find the campaign."""
        command = lambda _out: [self.tripline, "scan", log.path, "-c", config, "--format", "json"]
        return Contender(name, command, found(), self.version)

    def measure(self, contenders, rounds=None, watch=None):
        """Runs them in turns (A B C A B C ...), so that a busy moment of the machine hits all. Runs by name."""
        runs = {contender.name: [] for contender in contenders}
        for turn in range(rounds or self.options.rounds):
            for contender in contenders:
                out = self.scratch / f"{contender.name.replace('/', '-').replace(' ', '-')}.out"
                run = run_once(contender.command(out), out, watch)
                contender.check(out)
                say(f"round {turn + 1}: {contender.name:28} {run.seconds:8.2f} s  {run.peak_rss / 2**20:6,.0f} MiB")
                runs[contender.name].append(run)
        return runs


def warm(path):
    """Brings a file into the page cache, as far as it fits."""
    with open(path, "rb", buffering=0) as file:
        while file.read(1 << 22):
            pass


def run_once(command, out, watch=None):
    """Runs a command to its end: wall seconds, and its peak resident bytes as the kernel counted them (never below the
    20 MiB or so of this program, from which it was forked). `watch`: a file whose reading is followed."""
    errors = out.with_suffix(".err")
    with open(out, "wb") as stdout, open(errors, "wb") as stderr:
        start = time.perf_counter()
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr)
        marks = []
        if watch:
            threading.Thread(target=follow, args=(process, watch, start, marks), daemon=True).start()
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise Failure(f"{command[0]} ended with {process.returncode}: {last_line(errors.read_text(errors='replace'))}")
    return Run(seconds, usage.ru_maxrss * 1024, marks)


def follow(process, path, start, marks):
    """Notes every 10 ms how far a process is in a file: the position of its descriptor, as /proc shows it."""
    folder = pathlib.Path(f"/proc/{process.pid}")
    while process.returncode is None:
        time.sleep(0.01)
        try:
            for descriptor in (folder / "fd").iterdir():
                if os.path.realpath(descriptor) == str(path):
                    info = (folder / "fdinfo" / descriptor.name).read_text()
                    marks.append((time.perf_counter() - start, int(info.split("pos:")[1].split()[0])))
        except (OSError, IndexError):
            if not folder.exists():
                return  # it has ended; a descriptor that was closed meanwhile is no reason to stop


def found():
    """A check that the campaign's client was found."""
    def check(out):
        if CAMPAIGN_CLIENT not in out.read_text():
            said = out.with_suffix(".err").read_text(errors="replace")[-1000:]
            raise Failure(f"no finding about {CAMPAIGN_CLIENT}, whose campaign is in the log; tripline said:\n{said}")
    return check


def seconds_of(runs):
    return statistics.median(run.seconds for run in runs)


def ratios_of(runs, of, to):
    """The ratio of each pair of runs that were neighbours."""
    return [a.seconds / b.seconds for a, b in zip(runs[of], runs[to])]


def spread(values, form="{:.2f}"):
    return f"{form.format(statistics.median(values))} ({form.format(min(values))} to {form.format(max(values))})"


def timing(runs, lines):
    """The cells that every table has: seconds, lines/s, peak RSS."""
    return [spread([run.seconds for run in runs]), f"{lines / seconds_of(runs):,.0f}",
            f"{max(run.peak_rss for run in runs) / 2**20:,.0f} MiB"]


TIMING = ["seconds (least to most)", "lines/s", "peak RSS"]


def table(title, note, head, rows, after=()):
    """A result in Markdown, aligned so that it reads as text too."""
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    def line(cells, fill=" "):
        first = cells[0].ljust(widths[0], fill)
        return "| " + " | ".join([first, *(cell.rjust(width, fill) for cell, width in zip(cells[1:], widths[1:]))]) + " |"
    rule = line(["-"] + ["-:"] * (len(head) - 1), "-")
    body = "\n".join([line(head), rule, *map(line, rows)])
    return "\n\n".join(part for part in [f"## {title}", note, body, "\n".join(f"- {text}" for text in after if text)] if part)


def machine(cores):
    def field(path, key):
        lines = pathlib.Path(path).read_text().splitlines() if pathlib.Path(path).exists() else []
        return next((line.split(":" if ":" in line else "=", 1)[1].strip(' "\t') for line in lines
                     if line.startswith(key)), "unknown")
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    return (f"{field('/proc/cpuinfo', 'model name')}, {len(cores)} of {os.cpu_count()} cores used, {memory:.0f} GiB; "
            f"{field('/etc/os-release', 'PRETTY_NAME')}, Linux {platform.release()}; load before "
            f"{LOAD_BEFORE:.2f}; {time.strftime('%Y-%m-%d')}")
