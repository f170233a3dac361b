/*
title = "What a client does in an hour, and who does alike"
kind = "baseline"
entity = ["client"]
params = { min_requests = 10 }
max_age = "14d"
peers = { features = ["requests", "objects", "routes", "misses"], groups = 6, min_members = 20 }
description = """
Clients that asked at least `min_requests` times in an hour, in groups of like behaviour: people who look around, apps that synchronise, partners. A row holds
until the client's next such hour, at most a fortnight.
"""
*/
SELECT window_start, window_end, client,
       count(*) AS requests,
       approx_distinct(object) AS objects,
       approx_distinct(route) AS routes,
       sum(CASE WHEN status >= 400 THEN 1 ELSE 0 END) AS misses
FROM tumble(requests, ts, INTERVAL '1 hour')
GROUP BY window_start, window_end, client
HAVING count(*) >= $min_requests
