/*
title = "One client looks for what is not there"
severity = "medium"
entity = ["client"]
owasp = ["API8:2023", "API9:2023"]
attack = ["T1595.003"]
params = { min_routes = 8, max_clients = 3, declared_factor = 10 }
quiet = "3h"
description = """
Finds a client that within an hour is refused (400, 403, 404, 405, 410) on at least `min_routes` different routes on which at most `max_clients`
clients were refused in that hour, and no more in any half hour of the day before (dead_links): it follows no link that others follow.

Why it matters: whoever tries names of backups, consoles and forgotten versions is choosing a way in.

Looks alike, is harmless: a release that breaks links (its 404s are shared by all who follow them, then or earlier that day), a list of deleted items (one route, however
many ids), an expired session (401 does not count), a crawler with an old map (agents that always carry a URL, as declared
crawlers do, need `declared_factor` times as many routes). On a site with few visitors nobody shares a broken release's 404s: raise `min_routes` there.

The word lists that hundreds of scanners try everywhere are shared among them, and so stay quiet on a busy site; what they find there is
reported by sensitive-files.
"""
*/
WITH refused AS (
    SELECT window_start, window_end, client, route,
           count(*) AS requests,
           bool_and(coalesce(user_agent LIKE '%://%', false)) AS declared
    FROM hop(requests, ts, INTERVAL '30 minutes', INTERVAL '1 hour')
    WHERE status IN (400, 403, 404, 405, 410)
    GROUP BY window_start, window_end, client, route
),
shared AS (
    SELECT *, count(*) OVER (PARTITION BY window_start, route) AS clients
    FROM refused
),
probes AS (
    SELECT s.window_start, s.window_end, s.client,
           sum(s.requests) AS requests,
           count(*) AS routes,
           bool_and(s.declared) AS declared
    FROM shared s
    LEFT JOIN dead_links dead
      ON dead.route = s.route
     AND s.window_start >= dead.valid_from AND s.window_start < dead.valid_until
    WHERE s.clients <= $max_clients AND dead.route IS NULL
    GROUP BY s.window_start, s.window_end, s.client
)
SELECT window_start, window_end, client, requests, routes
FROM probes
WHERE routes >= $min_routes * CASE WHEN declared THEN $declared_factor ELSE 1 END
