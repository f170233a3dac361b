/*
title = "How much a route is used at an hour of the day"
kind = "baseline"
entity = ["route", "hour"]
max_age = "14d"
description = """
Requests of a route that read objects, or ask for something in a body (POST), by hour of the day (UTC), and how long the answers with content were: how many,
their bytes in sum, and the sum of the bytes' squares. A row holds until the same hour of another day, at most a fortnight.
"""
*/
SELECT window_start, window_end, route,
       date_part('hour', window_start) AS hour,
       count(*) AS requests,
       sum(CASE WHEN status < 300 AND bytes_out > 0 THEN 1 ELSE 0 END) AS answers,
       sum(CASE WHEN status < 300 AND bytes_out > 0 THEN bytes_out END) AS bytes,
       sum(CASE WHEN status < 300 AND bytes_out > 0 THEN CAST(bytes_out AS DOUBLE) * CAST(bytes_out AS DOUBLE) END) AS squares
FROM tumble(requests, ts, INTERVAL '1 hour')
WHERE (status BETWEEN 200 AND 299 OR status IN (403, 404, 410)) AND method IN ('GET', 'POST') AND (object IS NOT NULL OR method = 'POST')
GROUP BY window_start, window_end, route
