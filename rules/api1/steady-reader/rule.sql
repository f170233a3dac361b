/*
title = "One client reads object after object and does nothing else"
severity = "medium"
entity = ["client", "route"]
owasp = ["API1:2023"]
attack = ["T1213"]
params = { min_objects = 100, min_minutes = 8, max_pace = 1.0, min_share = 0.95, peer_objects = 50, max_peers = 2 }
quiet = "3h"
description = """
Finds a client that within ten minutes asks for at least `min_objects` different objects of one route, hardly any of them twice, for at least `min_minutes` minutes and in
nearly each of them, and for nothing else: `min_share` of all that it asks of the site. It stands in for above-baseline while that does not know the route: on the first
day of a log, and wherever nobody read the route at this hour of an earlier day.

Why it matters: a theft that runs since the first line has no days before it to be compared with. What tells it from an office that reads as much is
that an application brings pages, pictures, lists and sign-ins along, and that people pause.

Looks alike, is harmless: a phone that syncs its owner's photos, a viewer that fetches a film's segments, a map its tiles, a dashboard's first round of a hundred
devices. More than `max_pace` objects a second is therefore left to object-enumeration, and so is a route of which more than `max_peers` other clients each read `peer_objects` objects in the
ten minutes (alone, or with little else). A program that mirrors your public pages without saying so is found, and should be. Clients whose agent always carries a URL,
as declared crawlers do, are left out, since this is how a polite crawler works.

Tuning: exempt slow jobs of your own with an [[exception]]. A thief that is slower, pauses, or asks for something else every tenth time, is left to dense-ids and slow-enumeration, and is
known to above-baseline from the second day.
"""
*/
WITH readers AS (
    SELECT window_start, window_end, client, route,
           count(*) AS requests,
           approx_distinct(object) AS objects,
           approx_distinct(date_bin(INTERVAL '1 minute', ts)) AS active_minutes,
           (CAST(max(ts) AS BIGINT) - CAST(min(ts) AS BIGINT)) / 60000000.0 AS minutes,
           sum(CASE WHEN status < 300 THEN 1 ELSE 0 END) AS answered,
           bool_and(coalesce(user_agent LIKE '%://%', false)) AS declared
    FROM hop(requests, ts, INTERVAL '5 minutes', INTERVAL '10 minutes')
    WHERE (status BETWEEN 200 AND 299 OR status IN (403, 404, 410)) AND method IN ('GET', 'POST') AND object IS NOT NULL
    GROUP BY window_start, window_end, client, route
    HAVING count(*) >= $peer_objects AND approx_distinct(object) >= $peer_objects
),
everything AS (
    SELECT window_start, window_end, client, count(*) AS requests
    FROM hop(requests, ts, INTERVAL '5 minutes', INTERVAL '10 minutes')
    WHERE status < 400 OR status IN (403, 404, 410)
    GROUP BY window_start, window_end, client
    HAVING count(*) >= $min_objects
),
alone AS (
    SELECT r.*, date_part('hour', r.window_start) AS hour, count(*) OVER (PARTITION BY r.window_start, r.route) - 1 AS peers
    FROM readers r
    LEFT JOIN everything e ON e.window_start = r.window_start AND e.client = r.client
    WHERE NOT r.declared AND r.requests >= $min_share * coalesce(e.requests, 0)
)
SELECT r.window_start, r.window_end, r.client, r.route, r.requests, r.objects, r.answered, round(r.minutes) AS minutes
FROM alone r
LEFT JOIN route_hours norm
  ON norm.route = r.route AND norm.hour = r.hour
 AND r.window_start >= norm.valid_from AND r.window_start < norm.valid_until
WHERE norm.high_objects IS NULL AND r.answered > 0
  AND r.objects >= $min_objects AND r.requests * 5 <= r.objects * 6
  AND r.minutes >= $min_minutes AND r.active_minutes >= 0.9 * r.minutes AND r.objects <= $max_pace * 60 * r.minutes
  AND r.peers <= $max_peers
