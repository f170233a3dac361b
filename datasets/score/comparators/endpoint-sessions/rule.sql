/*
title = "What sessions ask of an endpoint in an hour"
kind = "baseline"
entity = ["route"]
description = "For the comparator cloudflare-sessions: the 99th percentile of requests by address and route, of those with any."
*/
WITH sessions AS (
    SELECT window_start, window_end, route, client, count(*) AS requests
    FROM tumble(requests, ts, INTERVAL '1 hour')
    GROUP BY window_start, window_end, route, client
)
SELECT window_start, window_end, route, approx_percentile_cont(requests, 0.99) AS p99
FROM sessions
GROUP BY window_start, window_end, route
