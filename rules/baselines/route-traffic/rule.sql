/*
title = "How much a route is used at an hour of the day"
kind = "baseline"
entity = ["route", "hour"]
max_age = "14d"
description = """
Requests of a route that read objects, or ask for something in a body (POST), by hour of the day (UTC). A row holds until the same hour of another day, at most a fortnight.
"""
*/
SELECT window_start, window_end, route,
       date_part('hour', window_start) AS hour,
       count(*) AS requests
FROM tumble(requests, ts, INTERVAL '1 hour')
WHERE (status BETWEEN 200 AND 299 OR status IN (403, 404, 410)) AND method IN ('GET', 'POST') AND (object IS NOT NULL OR method = 'POST')
GROUP BY window_start, window_end, route
