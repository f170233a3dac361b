#!/usr/bin/env python3
"""Writes the logs in the examples' tests/ folders; the same ones each time. A log with NAME.expected.jsonl beside it must fire as that says, one without must not."""

import gzip
import random
from datetime import datetime, timedelta, timezone
from pathlib import Path

HERE = Path(__file__).resolve().parent
DAY = datetime(2026, 3, 3, tzinfo=timezone.utc)


class Log:
    def __init__(self, seed):
        self.rng, self.lines = random.Random(seed), []

    def ask(self, client, hour, paths, misses=0.0):
        """Requests of a client, spread over an hour."""
        for path in paths:
            time = hour * 3600 + self.rng.random() * 3590
            status = 404 if self.rng.random() < misses else 200
            stamp = (DAY + timedelta(seconds=time)).strftime("%d/%b/%Y:%H:%M:%S +0000")
            self.lines.append((time, f'{client} - - [{stamp}] "GET {path} HTTP/1.1" {status} 640 "-" "Mozilla/5.0"\n'))

    def people(self, hour, misses=0.02):
        """Sixty who look around."""
        for n in range(60):
            kinds = ["users", "products", "orders", "reviews"]
            looks = self.rng.randint(12, 30)
            self.ask(f"203.0.113.{n + 1}", hour, [f"/v1/{self.rng.choice(kinds)}/{self.rng.randrange(9000)}" for _ in range(looks)], misses)

    def partners(self, hour):
        """Thirty that read more than a hundred products each."""
        for n in range(30):
            size = self.rng.randint(120, 200)
            self.ask(f"198.51.100.{n + 1}", hour, [f"/v1/products/{self.rng.randrange(9000)}" for _ in range(size)])

    def write(self, path):
        text = "".join(line for _, line in sorted(self.lines)).encode()
        (HERE / path).write_bytes(gzip.compress(text, mtime=0))


def peers():
    log = Log(1)
    for hour in [9, 10]:
        log.people(hour)
        log.partners(hour)
    log.write("peers/unlike-peers/tests/people-and-partners.log.gz")
    # One of the people reads as much as a partner does.
    log.ask("203.0.113.7", 10, [f"/v1/users/{n}" for n in range(150)])
    # Somebody new has no peers yet.
    log.ask("192.0.2.99", 10, [f"/v1/users/{n}" for n in range(150)])
    log.write("peers/unlike-peers/tests/a-person-like-a-partner.log.gz")


def budget():
    log = Log(2)
    for hour in range(9, 15):
        log.people(hour, misses=0.05)
    log.write("budget/misses/tests/the-usual-misses.log.gz")
    # Three hours in none of which there is enough.
    for hour in range(11, 14):
        log.ask("192.0.2.50", hour, [f"/v1/users/{n}" for n in range(25)], misses=0.5)
    log.write("budget/misses/tests/half-of-it-missed.log.gz")


def sketches():
    log = Log(3)
    # Twelve hundred looks an hour, at what is popular.
    for hour in range(6, 12):
        for n in range(80):
            log.ask(f"203.0.113.{n + 1}", hour, [f"/v1/products/{int(600 * log.rng.random() ** 2)}" for _ in range(15)])
    log.write("sketches/new-objects/tests/what-is-popular.log.gz")
    # Addresses that ask once each, from all over the ids.
    for n in range(1500):
        log.ask(f"10.{n // 250}.0.{n % 250 + 1}", 11, [f"/v1/products/{log.rng.randrange(90_000)}"])
    log.write("sketches/new-objects/tests/ids-from-anywhere.log.gz")


peers()
budget()
sketches()
