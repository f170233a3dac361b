/*
title = "One client reads object after object and does nothing else"
severity = "medium"
entity = ["client", "route"]
owasp = ["API1:2023"]
attack = ["T1213"]
params = { min_objects = 100, min_minutes = 9, max_pace = 1.0, min_share = 0.95, peer_objects = 25, max_peers = 2 }
quiet = "3h"
description = """
Finds a client that within an hour asks for at least `min_objects` different objects of one route, hardly any of them twice, for at least `min_minutes` minutes without
a pause of some minutes, and for nothing else: `min_share` of all that it asks of the site. It stands in for above-baseline while that does not know the route: on the first day of
a log, and wherever nobody read the route at this hour of an earlier day.

Why it matters: a theft that runs since the first line has no days before it to be compared with. What tells it from an office that reads as much is
that an application brings pages, pictures, lists and sign-ins along, and that people pause.

Looks alike, is harmless: a phone that syncs its owner's photos, a viewer that fetches a film's segments, a map its tiles: more than `max_pace` objects a second is left to
object-enumeration, and so is a route of which more than `max_peers` other clients read `peer_objects` objects in the hour. A program that mirrors your public pages without saying
so is found, and should be. Clients whose agent always carries a URL, as declared crawlers do, are left out, since this is how a polite crawler works.

Tuning: exempt slow jobs of your own with an [[exception]]. A thief that asks for something else every tenth time, or pauses, is left to slow-enumeration, and is
known to above-baseline from the second day.
"""
*/
WITH readers AS (
    SELECT window_start, window_end, client, route,
           count(*) AS requests,
           approx_distinct(object) AS objects,
           approx_distinct(date_bin(INTERVAL '2 minutes', ts)) AS slots,
           (CAST(max(ts) AS BIGINT) - CAST(min(ts) AS BIGINT)) / 60000000.0 AS minutes,
           sum(CASE WHEN status < 300 THEN 1 ELSE 0 END) AS answered,
           bool_and(coalesce(user_agent LIKE '%://%', false)) AS declared
    FROM hop(requests, ts, INTERVAL '5 minutes', INTERVAL '1 hour')
    WHERE (status BETWEEN 200 AND 299 OR status IN (403, 404, 410)) AND method IN ('GET', 'POST') AND object IS NOT NULL
    GROUP BY window_start, window_end, client, route
    HAVING count(*) >= $peer_objects AND approx_distinct(object) >= $peer_objects
),
beside AS (
    SELECT *, count(*) OVER (PARTITION BY window_start, route) - 1 AS peers
    FROM readers
),
everything AS (
    SELECT window_start, window_end, client, count(*) AS requests
    FROM hop(requests, ts, INTERVAL '5 minutes', INTERVAL '1 hour')
    WHERE status < 400 OR status IN (403, 404, 410)
    GROUP BY window_start, window_end, client
    HAVING count(*) >= $min_objects
)
SELECT r.window_start, r.window_end, r.client, r.route, r.requests, r.objects, r.answered, round(r.minutes) AS minutes
FROM (SELECT *, date_part('hour', window_start) AS hour FROM beside) r
JOIN everything e ON e.window_start = r.window_start AND e.client = r.client
LEFT JOIN route_hours norm
  ON norm.route = r.route AND norm.hour = r.hour
 AND r.window_start >= norm.valid_from AND r.window_start < norm.valid_until
WHERE norm.high_objects IS NULL AND NOT r.declared AND r.answered > 0
  AND r.objects >= $min_objects AND r.requests * 5 <= r.objects * 6
  AND r.minutes >= $min_minutes AND r.slots * 2 >= 0.8 * r.minutes AND r.objects <= $max_pace * 60 * r.minutes
  AND r.requests >= $min_share * e.requests
  AND r.peers <= $max_peers
