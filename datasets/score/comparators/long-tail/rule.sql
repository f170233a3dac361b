/*
title = "The long-tail rule of Ro, Han and Im (2018), after the paper's idea"
severity = "medium"
entity = ["client"]
params = { least = 50, share = 0.9 }
description = """
A comparator, not a rule of ours. A client most of whose requests in an hour are for objects of the long tail: here, objects that at most one
other client asked for in that hour.
"""
*/
WITH pairs AS (
    SELECT window_start, window_end, client, route, object, count(*) AS requests
    FROM tumble(requests, ts, INTERVAL '1 hour')
    WHERE object IS NOT NULL
    GROUP BY window_start, window_end, client, route, object
),
popularity AS (
    SELECT *, count(*) OVER (PARTITION BY window_start, route, object) AS readers
    FROM pairs
)
SELECT window_start, window_end, client, sum(requests) AS requests,
       sum(CASE WHEN readers <= 2 THEN requests ELSE 0 END) AS tail
FROM popularity
GROUP BY window_start, window_end, client
HAVING sum(requests) >= $least AND sum(CASE WHEN readers <= 2 THEN requests ELSE 0 END) >= $share * sum(requests)
