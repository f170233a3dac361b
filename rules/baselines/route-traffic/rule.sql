/*
title = "How much a route is used at an hour of the day"
kind = "baseline"
entity = ["route", "hour"]
max_age = "14d"
description = """
Requests of a route that read objects, or ask for something in a body (POST), by hour of the day (UTC), and how long the answers were: `log_bytes` is the mean of the logarithm of
the bytes of an answer with content, `log_bytes_variance` its variance. A row holds until the same hour of another day, at most a fortnight.
"""
*/
SELECT window_start, window_end, route,
       date_part('hour', window_start) AS hour,
       count(*) AS requests,
       count(CASE WHEN status < 300 AND bytes_out > 0 THEN ln(bytes_out) END) AS answers,
       avg(CASE WHEN status < 300 AND bytes_out > 0 THEN ln(bytes_out) END) AS log_bytes,
       var_pop(CASE WHEN status < 300 AND bytes_out > 0 THEN ln(bytes_out) END) AS log_bytes_variance
FROM tumble(requests, ts, INTERVAL '1 hour')
WHERE (status BETWEEN 200 AND 299 OR status IN (403, 404, 410)) AND method IN ('GET', 'POST') AND (object IS NOT NULL OR method = 'POST')
GROUP BY window_start, window_end, route
