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
WITH visits AS (
    SELECT window_start, window_end, route, client,
           approx_distinct(object) + sum(CASE WHEN object IS NULL AND status < 300 THEN 1 ELSE 0 END) AS objects
    FROM tumble(requests, ts, INTERVAL '1 hour')
    WHERE (status BETWEEN 200 AND 299 OR status IN (403, 404, 410)) AND method IN ('GET', 'POST') AND (object IS NOT NULL OR method = 'POST')
    GROUP BY window_start, window_end, route, client
),
lone AS (
    SELECT window_start, window_end, client, max(route) AS route
    FROM visits
    GROUP BY window_start, window_end, client
    HAVING count(*) = 1 AND max(objects) <= $max_objects
)
SELECT window_start, window_end, route,
       date_part('hour', window_start) AS hour,
       count(*) AS lone
FROM lone
GROUP BY window_start, window_end, route
