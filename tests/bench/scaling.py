"""What the cost of a line depends on, and what it must not depend on: overlap, length, number of rules, of clients."""

import statistics

import rules
from tool import TIMING, Failure, ratios_of, say, spread, table, timing

MONTH_LINES, MONTH_DAYS = 200_000_000, 30


def overlap(bench):
    """A rule over hop 60 min / 1 min beside the same rule over tumble 1 min."""
    log = bench.log(bench.options.lines or 20_000_000)
    shapes = {
        "with a threshold": {},
        # d * d / n of a client's requests and objects is not monotone: no group can be left out before its window ends.
        "without": {"having": "approx_distinct(object) * approx_distinct(object) / count(*) >= 550"},
    }
    rows = []
    for shape, more in shapes.items():
        folder = bench.scratch / "overlap" / shape.replace(" ", "-")
        windows = {"hop 60 min / 1 min": rules.HOUR_BY_MINUTE, "tumble 1 min": rules.MINUTE}
        pair = [bench.scan(f"{window}, {shape}", log,
                     rules.only(folder / window.split()[0], {"measured": rules.rule(sql, **more)}))
                for window, sql in windows.items()]
        runs = bench.measure(pair)
        ratios = ratios_of(runs, pair[0].name, pair[1].name)
        rows += [[pair[0].name, *timing(runs[pair[0].name], log.lines), spread(ratios)],
                 [pair[1].name, *timing(runs[pair[1].name], log.lines), ""]]
    return table("Overlap", f"{log.describe()}; one rule of approx_distinct by client and route, end to end. "
                 "Wanted: at most 1.3.",
                 ["", *TIMING, "hop / tumble"], rows,
                 ["A log of less than some hours flatters tumble: hop has 59 windows more, at its ends."])


def length(bench):
    """Whether the end of a long file is read as fast as its beginning."""
    log = bench.log(bench.options.lines or 20_000_000)
    folder = bench.scratch / "length"
    contenders = [bench.scan("all shipped rules", log, rules.shipped(folder / "shipped")),
                  bench.scan("one rule, 10 min / 1 min", log,
                             rules.only(folder / "one", {"measured": rules.rule(rules.TEN_MINUTES)}))]
    rows, closing = [], {}
    for name, runs in bench.measure(contenders, watch=log.path).items():
        rows.append([name, *timing(runs, log.lines), ""])
        quarters = [[speed(run.marks, log, n / 4, (n + 1) / 4) for run in runs] for n in range(4)]
        for n, speeds in enumerate(quarters):
            ratios = [a / b for a, b in zip(speeds, quarters[0])]
            rows.append([f"- quarter {n + 1}", "", f"{statistics.median(speeds):,.0f}", "", spread(ratios)])
        closing[name] = spread([run.seconds - run.marks[-1][0] for run in runs])
    return table("Length of the file", f"{log.describe()}. Wanted: the last quarter within 10 % of the first.",
                 ["", *TIMING, "to the first"], rows, [
                     "The speed of a quarter is that of reading, as /proc shows the position in the file, between its "
                     "first fifth and its end: starting up is not in it. Reading is some hundred thousand lines ahead of "
                     "the rules, so that less than four million lines say little.",
                     "From the last byte read to the end, with the windows still open, s: "
                     + ", ".join(f"{name} {text}" for name, text in closing.items())])


def speed(marks, log, begin, end):
    """Lines/s between two places of a file, each a share of it; a fifth at the beginning is left out."""
    begin += (end - begin) / 5
    inside = [(seconds, position) for seconds, position in marks if begin * log.size <= position <= end * log.size]
    if len(inside) < 3 or inside[-1][0] <= inside[0][0]:
        raise Failure("the scan was too short to be followed; ask for more --lines")
    (start, first), (stop, last) = inside[0], inside[-1]
    return (last - first) / log.size * log.lines / (stop - start)


def many_rules(bench):
    """Ten rules over one window beside one."""
    log = bench.log(bench.options.lines or 20_000_000)
    families = {"thresholds": rules.ten_thresholds(), "aggregates": rules.ten_aggregates(), "keys and filters": rules.ten_keys()}
    rows = []
    for family, ten in families.items():
        folder = bench.scratch / "rules" / family.replace(" ", "-")
        pair = [bench.scan(f"{count} {family}", log, rules.only(folder / str(count), dict(named(ten[:count]))))
                for count in (10, 1)]
        runs = bench.measure(pair)
        ratios = ratios_of(runs, pair[0].name, pair[1].name)
        rows += [[pair[0].name, *timing(runs[pair[0].name], log.lines), spread(ratios)],
                 [pair[1].name, *timing(runs[pair[1].name], log.lines), ""]]
    return table("Number of rules", f"{log.describe()}; ten rules over 10 min / 1 min that differ in their threshold, in "
                 "their aggregate, or in keys and filter, beside the first of them. Wanted: at most 4.",
                 ["", *TIMING, "ten / one"], rows)


def named(texts):
    return ((f"rule-{n}", text) for n, text in enumerate(texts))


def distinct(bench):
    """What a client costs that is in the window: approx_distinct for a million of them."""
    clients = 1_100_000
    log = bench.log(bench.options.lines or 12 * clients, "--clients", str(clients), name="million.log")
    folder = bench.scratch / "distinct"
    everybody = {"measured": rules.rule(rules.TEN_MINUTES, keys="client")}
    contenders = [
        bench.scan("all clients", log, rules.only(folder / "all", everybody)),
        # The same reading and rule, and hardly a group to keep.
        bench.scan("one client", log, rules.only(folder / "one", {
            "measured": rules.rule(rules.TEN_MINUTES, keys="client", condition="client = '192.0.2.200'")})),
    ]
    if bench.options.limit_config:
        more = bench.options.limit_config.read_text()
        contenders.append(bench.scan("all clients, limited", log, rules.only(folder / "limited", everybody, more)))
    runs = bench.measure(contenders)
    base = statistics.median(run.peak_rss for run in runs["one client"])
    cost = lambda taken: [(run.peak_rss - base) / log.clients for run in taken]
    rows = [[name, *timing(taken, log.lines), "" if name == "one client" else spread(cost(taken), "{:,.0f}")]
            for name, taken in runs.items()]
    return table("Clients in a window", f"{log.describe()}: ten minutes of event time; approx_distinct(object) by client "
                 "over 10 min / 1 min.",
                 ["", *TIMING, "bytes a client"], rows,
                 ["Bytes a client, in all ten panes: peak RSS less that of the run that keeps one client, by the clients "
                  "in the log."])


def month(bench):
    """A month of logs, compressed, read once."""
    lines = bench.options.lines or MONTH_LINES
    # Fewer lines are a part of the month.
    log = bench.log(lines, "--rate", str(MONTH_LINES / (MONTH_DAYS * 86_400)), "--compress", "zstd", name="month.log.zst")
    days = lines / MONTH_LINES * MONTH_DAYS
    say(f"written in {log.seconds:.0f} s")
    config = rules.shipped(bench.scratch / "month")
    runs = bench.measure([bench.scan("month", log, config)], rounds=1, watch=log.path)["month"]
    quarters = [speed(runs[0].marks, log, n / 4, (n + 1) / 4) for n in range(4)]
    return table("A month", f"{log.describe()} as zstd, {days:.3g} days; all shipped rules, once.",
                 ["", *TIMING], [["scan", *timing(runs, log.lines)]], [
                     "lines/s of the quarters: " + ", ".join(f"{quarter:,.0f}" for quarter in quarters),
                     f"written by tripline-datasets at {lines / log.seconds:,.0f} lines/s, {log.size / lines:.1f} bytes a line"])
