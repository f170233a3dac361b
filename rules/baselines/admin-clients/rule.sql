/*
title = "Who is let in on administrators' routes"
kind = "baseline"
entity = ["client"]
params = { names = "/admin|/_admin|/internal/|/backoffice|/back-office|/management/|/impersonat|/actuator/" }
max_age = "30d"
description = """
Clients that were answered 2xx on a route whose name says that it is for administrators or for the inside (one of `names`), within an hour. A row holds until the client's next, at
most a month.
"""
*/
WITH visits AS (
    SELECT window_start, window_end, client, route,
           sum(CASE WHEN method IN ('HEAD', 'OPTIONS') THEN 0 ELSE 1 END) AS requests
    FROM tumble(requests, ts, INTERVAL '1 hour')
    WHERE status BETWEEN 200 AND 299 AND contains_any(route, $names)
    GROUP BY window_start, window_end, client, route
)
SELECT window_start, window_end, client, sum(requests) AS requests
FROM visits
GROUP BY window_start, window_end, client
HAVING sum(requests) > 0
