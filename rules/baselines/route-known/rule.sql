/*
title = "Which routes are in use"
kind = "baseline"
entity = ["route"]
max_age = "14d"
description = """
Routes that read objects, or ask for something in a body (POST), and were answered 2xx within an hour. A row holds until the route's next, at most a fortnight: a route
without one is new, or was asleep that long.
"""
*/
SELECT window_start, window_end, route,
       sum(CASE WHEN status < 300 THEN 1 ELSE 0 END) AS answered
FROM tumble(requests, ts, INTERVAL '1 hour')
WHERE (status BETWEEN 200 AND 299 OR status IN (403, 404, 410)) AND method IN ('GET', 'POST') AND (object IS NOT NULL OR method = 'POST')
GROUP BY window_start, window_end, route
HAVING sum(CASE WHEN status < 300 THEN 1 ELSE 0 END) > 0
