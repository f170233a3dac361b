/*
title = "Cloudflare's volumetric abuse detection, as documented"
severity = "medium"
entity = ["client", "route"]
params = { times = 2.0, fallback = 100.0 }
description = """
A comparator, not a rule of ours. Requests of one session to one endpoint in ten minutes, against a threshold that is recommended from the endpoint's p50, p90
and p99 over seven days. Here: twice the p99 of the hour's sessions divided by six, at least `fallback`; sessions are addresses.
"""
*/
WITH w AS (
    SELECT window_start, window_end, client, route, count(*) AS requests
    FROM hop(requests, ts, INTERVAL '5 minutes', INTERVAL '10 minutes')
    GROUP BY window_start, window_end, client, route
    HAVING count(*) >= $fallback
)
SELECT w.window_start, w.window_end, w.client, w.route, w.requests
FROM w LEFT JOIN endpoint_sessions e
  ON e.route = w.route AND w.window_start >= e.valid_from AND w.window_start < e.valid_until
WHERE w.requests >= greatest($fallback, $times * coalesce(e.p99, $fallback))
