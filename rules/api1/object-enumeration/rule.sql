/*
title = "One client reads very many different objects"
severity = "high"
entity = ["client", "route"]
owasp = ["API1:2023"]
attack = ["T1213"]
params = { min_objects = 500 }
description = """
placeholder
"""
*/
SELECT window_start, window_end, client, route,
       count(*) AS requests, approx_distinct(object) AS objects
FROM hop(requests, ts, INTERVAL '1 minute', INTERVAL '10 minutes')
WHERE status BETWEEN 200 AND 299 AND object IS NOT NULL
GROUP BY window_start, window_end, client, route
HAVING approx_distinct(object) >= $min_objects
