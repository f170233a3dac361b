/*
title = "A route is read far more than the site's visitors explain"
severity = "high"
entity = ["route"]
owasp = ["API1:2023", "API6:2023"]
attack = ["T1213"]
params = { min_objects = 30, max_per_client = 5, factor = 2.0, deviations = 12.0 }
quiet = "1h"
description = """
Finds theft that is spread over so many addresses that none of them stands out: within half a minute a route is asked for at least `min_objects` different
objects (or, where the log shows none, answers as many POSTs), of which at most `max_per_client` count for a client, and for more than `factor` times (and `deviations` standard
deviations of a Poisson law above) what the same hour of an earlier day and the rest of the site let expect. If the rest of the site has three times its usual traffic, so may the route.

Why it matters: 200 million accounts left a social network at 11 a second. Over 10,000 addresses that is four requests an hour each: no rule about
clients sees it, the route does.

Looks alike, is harmless: a feature that is switched on for everybody, a job of your own that reads a table once. A rush of visitors is not
(the rest of the site has it too), nor is one product in the news (one object), nor an error that is retried (not answered), nor a single client that
reads much (above-baseline knows those better).

Tuning: attacks below `factor` minus one times the route's own traffic hide in it. Quiet on the first day of a log and of a route. Who did it: group the route's
requests in the window by client, agent and network.
"""
*/
WITH clients AS (
    SELECT window_start, window_end, route, client,
           count(*) AS requests,
           approx_distinct(object) + sum(CASE WHEN object IS NULL AND status < 300 THEN 1 ELSE 0 END) AS objects
    FROM tumble(requests, ts, INTERVAL '30 seconds')
    WHERE (status BETWEEN 200 AND 299 OR status IN (403, 404, 410)) AND method IN ('GET', 'POST') AND (object IS NOT NULL OR method = 'POST')
    GROUP BY window_start, window_end, route, client
),
spread AS (
    SELECT window_start, window_end, route,
           sum(requests) AS requests,
           count(*) AS clients,
           sum(least(objects, $max_per_client)) AS objects
    FROM clients
    GROUP BY window_start, window_end, route
),
-- (what many clients read is one object all the same)
routes AS (
    SELECT window_start, window_end, route,
           approx_distinct(object) + sum(CASE WHEN object IS NULL AND status < 300 THEN 1 ELSE 0 END) AS objects
    FROM tumble(requests, ts, INTERVAL '30 seconds')
    WHERE (status BETWEEN 200 AND 299 OR status IN (403, 404, 410)) AND method IN ('GET', 'POST') AND (object IS NOT NULL OR method = 'POST')
    GROUP BY window_start, window_end, route
),
halves AS (
    SELECT s.window_start, s.window_end, s.route, s.requests, s.clients, least(s.objects, r.objects) AS objects
    FROM spread s
    JOIN routes r ON r.window_start = s.window_start AND r.route = s.route
),
shares AS (
    SELECT *, sum(requests) OVER (PARTITION BY window_start) - requests AS others, date_part('hour', window_start) AS hour
    FROM halves
),
expected AS (
    SELECT w.window_start, w.window_end, w.route, w.requests, w.clients, w.objects,
           norm.requests / 120.0 * greatest(1.0, 120.0 * w.others / greatest(site.requests - norm.requests, 120)) AS expected
    FROM shares w
    LEFT JOIN route_traffic norm
      ON norm.route = w.route AND norm.hour = w.hour
     AND w.window_start >= norm.valid_from AND w.window_start < norm.valid_until
    LEFT JOIN site_traffic site
      ON site.hour = w.hour
     AND w.window_start >= site.valid_from AND w.window_start < site.valid_until
    WHERE w.objects >= $min_objects
)
SELECT window_start, window_end, route, requests, clients, objects, round(expected) AS expected
FROM expected
WHERE expected IS NOT NULL AND objects >= $factor * expected + $deviations * sqrt(expected)
