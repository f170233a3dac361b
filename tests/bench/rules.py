"""The rules that are measured: the shipped ones with a finer window, and rules of the bench's own."""

import json
import re

from tool import ROOT, Failure

SHIPPED = "api1/object-enumeration"
WINDOW = re.compile(r"hop\(requests, ts, INTERVAL '\d+ minutes?', INTERVAL '10 minutes'\)")

RULE = """/*
title = "{title}"
severity = "high"
entity = [{entity}]
*/
SELECT window_start, window_end, {keys}, {columns}
FROM {window}
WHERE {condition}
GROUP BY window_start, window_end, {keys}
HAVING {having}
"""

HOUR_BY_MINUTE = "hop(requests, ts, INTERVAL '1 minute', INTERVAL '60 minutes')"
MINUTE = "tumble(requests, ts, INTERVAL '1 minute')"
TEN_MINUTES = "hop(requests, ts, INTERVAL '1 minute', INTERVAL '10 minutes')"
OBJECTS = "approx_distinct(object)"


def rule(window, keys="client, route", columns=f"count(*) AS requests, {OBJECTS} AS objects",
         condition="object IS NOT NULL", having=f"{OBJECTS} >= 550", title="Measured"):
    # Only what stays the same while somebody is at it identifies an alert.
    return RULE.format(title=title, entity=json.dumps([key.strip() for key in keys.split(",")])[1:-1], keys=keys,
                       columns=columns, window=window, condition=condition, having=having)


def config(folder, rules, disable=(), more=""):
    """A folder with tripline.toml and rules, by their names; returns the path of the config."""
    for name, text in rules.items():
        path = folder / "rules" / "bench" / name / "rule.sql"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    path = folder / "tripline.toml"
    path.write_text(f'[rules]\ndirs = ["rules"]\ndisable = {json.dumps(list(disable))}\n{more}')
    return path


def only(folder, rules, more=""):
    """A config with these rules and no shipped one. (Baselines that nobody uses are not computed.)"""
    return config(folder, {name: text for name, text in rules.items()}, ["api*/*"], more)


def shipped(folder, more=""):
    """All shipped rules, with object-enumeration's window of ten minutes sliding by one minute instead of five."""
    text = (ROOT / "rules" / SHIPPED / "rule.sql").read_text()
    finer, changed = WINDOW.subn(TEN_MINUTES, text)
    if not changed:
        raise Failure(f"rules/{SHIPPED}/rule.sql has no window of ten minutes any more: see tests/bench/rules.py")
    return config(folder, {"object-enumeration": finer}, [SHIPPED], more)


def ten_thresholds():
    return [rule(TEN_MINUTES, having=f"{OBJECTS} >= {550 + 50 * n}") for n in range(10)]


def ten_aggregates():
    aggregates = [
        "count(*)", "sum(bytes_out)", "max(bytes_out)", "min(bytes_out)", "avg(bytes_out)", "stddev(bytes_out)",
        "approx_distinct(user_agent)", "approx_distinct(path)", "count(DISTINCT status)",
        "sum(CASE WHEN status < 300 THEN 1 ELSE 0 END)",
    ]
    return [rule(TEN_MINUTES, columns=f"{OBJECTS} AS objects, {aggregate} AS value") for aggregate in aggregates]


def ten_keys():
    """Nothing in common but the window: other keys, other filters. A threshold that no benign client reaches."""
    shapes = [
        ("client, route", "object IS NOT NULL"),
        ("client", "status BETWEEN 200 AND 299"),
        ("client, method", "object IS NOT NULL AND status < 400"),
        ("client, status", "method = 'GET'"),
        ("client, user_agent", "status < 500"),
        ("client_ip, route", "bytes_out > 0"),
        ("client, route, method", "status = 200"),
        ("client, route, status", "method <> 'POST'"),
        ("client, protocol", "route LIKE '/v1/%'"),
        ("client, route, user_agent", "status IN (200, 201, 304)"),
    ]
    having = "approx_distinct(object) >= 4000"
    return [rule(TEN_MINUTES, keys=keys, condition=condition, having=having) for keys, condition in shapes]
