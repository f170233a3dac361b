/*
title = "Visitors who come for one object and nothing else"
kind = "baseline"
entity = ["route", "hour"]
params = { max_objects = 2 }
max_age = "14d"
description = """
How many clients ask a route for `max_objects` different objects at most, and all of the rest of the site for none, by hour of the day (UTC). On most routes hardly anybody: who looks
at a profile looks at an order, too. A row holds until the same hour of another day, at most a fortnight.
"""
*/
WITH clients AS (
    SELECT window_start, window_end, route, client,
           count(*) AS requests,
           approx_distinct(object) + sum(CASE WHEN object IS NULL AND status < 300 THEN 1 ELSE 0 END) AS objects,
           min(ts) AS first
    FROM tumble(requests, ts, INTERVAL '1 hour')
    WHERE (status BETWEEN 200 AND 299 OR status IN (403, 404, 410)) AND method IN ('GET', 'POST') AND (object IS NOT NULL OR method = 'POST')
    GROUP BY window_start, window_end, route, client
),
alone AS (
    SELECT *, count(*) OVER (PARTITION BY window_start, client) AS routes
    FROM clients
)
SELECT window_start, window_end, route,
       date_part('hour', window_start) AS hour,
       sum(CASE WHEN routes = 1 AND objects <= $max_objects THEN 1 ELSE 0 END) AS lone
FROM alone
GROUP BY window_start, window_end, route
