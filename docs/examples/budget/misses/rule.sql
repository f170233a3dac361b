/*
title = "A client is refused more often than chance would have it"
severity = "low"
mode = "observe"
entity = ["client"]
owasp = ["API2:2023"]
budget = { p_value = "p" }
params = { usual_hits = 19.0, usual_misses = 1.0 }
description = """
How probable so many refusals of a client's requests in an hour are, if clients are refused about one request in twenty, some more, some less. The alert budget
decides what is told: it adds up each client's hours.
"""
*/
SELECT window_start, window_end, client,
       count(*) AS requests,
       sum(CASE WHEN status IN (401, 403, 404) THEN 1 ELSE 0 END) AS refused,
       beta_binomial_tail(CAST(sum(CASE WHEN status IN (401, 403, 404) THEN 1 ELSE 0 END) AS DOUBLE), CAST(count(*) AS DOUBLE), $usual_misses, $usual_hits) AS p
FROM tumble(requests, ts, INTERVAL '1 hour')
GROUP BY window_start, window_end, client
