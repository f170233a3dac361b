/*
title = "Routes that single clients usually read in bulk"
kind = "baseline"
entity = ["route"]
params = { bulk_objects = 40, min_clients = 2, max_agents = 3, prior_objects = 200.0, prior_clients = 5.0 }
max_age = "14d"
description = """
Some routes are read in bulk by ordinary clients: a list view fetches its 200 items one by one, a new phone its owner's photos. A row says that in one hour
at least `min_clients` clients with at most `max_agents` agents (not offices) each read `bulk_objects` objects or more, and how many they typically read
(geometric mean). An hour has few such clients, and the next may be a phone with twenty times the photos: the mean is drawn towards `prior_objects` as if
`prior_clients` more clients had read as many. Hours without bulk leave no row, so the newest one holds, at most a fortnight: what happens once a day is still
known.

One thief alone makes no row. Two that work in the same hour do, but only after it.
"""
*/
WITH bulk AS (
    SELECT window_start, window_end, route, client,
           approx_distinct(object) + sum(CASE WHEN object IS NULL AND status < 300 THEN 1 ELSE 0 END) AS objects,
           approx_distinct(user_agent) AS agents
    FROM tumble(requests, ts, INTERVAL '1 hour')
    WHERE (status BETWEEN 200 AND 299 OR status IN (403, 404, 410)) AND method IN ('GET', 'POST') AND (object IS NOT NULL OR method = 'POST')
    GROUP BY window_start, window_end, route, client
    HAVING count(*) >= $bulk_objects AND approx_distinct(object) + sum(CASE WHEN object IS NULL AND status < 300 THEN 1 ELSE 0 END) >= $bulk_objects
)
SELECT window_start, window_end, route,
       count(*) AS clients,
       exp((sum(ln(objects)) + $prior_clients * ln($prior_objects)) / (count(*) + $prior_clients)) AS typical_objects
FROM bulk
WHERE agents <= $max_agents
GROUP BY window_start, window_end, route
HAVING count(*) >= $min_clients
