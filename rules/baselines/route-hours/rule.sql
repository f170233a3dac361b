/*
title = "What clients read of a route in an hour"
kind = "baseline"
entity = ["route"]
params = { min_clients = 20, deviations = 6.0 }
max_age = "14d"
description = """
How many clients read objects of a route in an hour, how many objects they typically read (geometric mean), and how many would be extraordinary:
`deviations` standard deviations above it on a logarithmic scale. What clients read is spread over orders of magnitude, and on that scale a single
client that reads thousands hardly moves the norm: a thief cannot raise it alone.

Hours with fewer than `min_clients` clients say nothing about a route and are not kept; the row before holds on, at most a fortnight.
"""
*/
WITH clients AS (
    SELECT window_start, window_end, route, client, approx_distinct(object) AS objects
    FROM tumble(requests, ts, INTERVAL '1 hour')
    WHERE status BETWEEN 200 AND 299 AND object IS NOT NULL
    GROUP BY window_start, window_end, route, client
)
SELECT window_start, window_end, route,
       count(*) AS clients,
       exp(avg(ln(objects))) AS typical_objects,
       exp(avg(ln(objects)) + $deviations * stddev(ln(objects))) AS high_objects
FROM clients
GROUP BY window_start, window_end, route
HAVING count(*) >= $min_clients
