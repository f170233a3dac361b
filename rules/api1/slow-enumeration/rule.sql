/*
title = "One client does nothing for hours but read object after object"
severity = "medium"
entity = ["client", "route"]
owasp = ["API1:2023"]
attack = ["T1213"]
params = { min_objects = 360, min_slots = 30, min_share = 0.8 }
quiet = "12h"
description = """
Finds slow enumeration, of ids of any kind and in any order: within six hours the client read at least `min_objects` different objects of one
route, hardly any of them twice, was at it in at least `min_slots` of the 36 ten-minute slots, and did little else: `min_share` of what it read by id was
on that route.

Why it matters: one request every 30 seconds takes 2,880 records a day and stays below every threshold that leaves offices in peace. What
gives it away is not how much it reads but that it does nothing else, and does not pause.

Looks alike, is harmless: an office behind one address reads more, but of many routes; a person reads for an hour or two and returns
to what was seen before; a dashboard polls the same objects. Clients whose agent always carries a URL, as declared crawlers do, are left to the rules on
volume (object-enumeration, dense-ids, above-baseline), since this is how a polite crawler works. A program that mirrors your public pages
without saying so is found here, and should be.

Tuning: `min_objects` decides what is noticed at all: 360 is one a minute. A scraper that reads other routes for every fourth object, or that
rests for an hour of the six, is not found.
"""
*/
WITH routes AS (
    SELECT window_start, window_end, client, route,
           count(*) AS requests,
           approx_distinct(object) AS objects,
           approx_distinct(date_bin(INTERVAL '10 minutes', ts)) AS active_slots,
           bool_and(coalesce(user_agent LIKE '%://%', false)) AS declared
    FROM hop(requests, ts, INTERVAL '3 hours', INTERVAL '6 hours')
    WHERE status BETWEEN 200 AND 299 AND object IS NOT NULL
    GROUP BY window_start, window_end, client, route
    HAVING approx_distinct(object) >= $min_objects
),
clients AS (
    SELECT window_start, window_end, client, count(*) AS requests
    FROM hop(requests, ts, INTERVAL '3 hours', INTERVAL '6 hours')
    WHERE status BETWEEN 200 AND 299 AND object IS NOT NULL
    GROUP BY window_start, window_end, client
)
SELECT r.window_start, r.window_end, r.client, r.route, r.requests, r.objects, r.active_slots, c.requests AS all_requests
FROM routes r
JOIN clients c ON c.window_start = r.window_start AND c.client = r.client
WHERE r.active_slots >= $min_slots
  AND NOT r.declared
  AND r.requests >= $min_share * c.requests
  AND r.requests * 2 <= r.objects * 3
