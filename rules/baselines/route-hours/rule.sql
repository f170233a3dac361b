/*
title = "What single clients read of a route at an hour of the day"
kind = "baseline"
entity = ["route", "hour"]
params = { max_agents = 3, deviations = 6.0, prior_deviation = 0.6, prior_clients = 5.0 }
max_age = "14d"
description = """
How many clients ask for objects of a route in an hour of the day, and how many different objects would be extraordinary: `deviations` standard deviations above
the mean on a logarithmic scale. What clients read is spread over orders of magnitude, and on that scale a single client that reads thousands
hardly moves the norm: a thief cannot raise it alone. Few clients say little about how far others may go: the deviation is drawn towards `prior_deviation` (of the
logarithm) as if `prior_clients` more had been seen. `unnamed_share` is of POSTs whose objects the log does not show.

Clients with more than `max_agents` agents are many people behind one address. They do not count here; they have their own habits (client_hours).
A row holds until the same hour of another day, at most a fortnight: that there is none says that the route is new, or the log.
"""
*/
WITH clients AS (
    SELECT window_start, window_end, route, client,
           approx_distinct(object) + sum(CASE WHEN object IS NULL AND status < 300 THEN 1 ELSE 0 END) AS objects,
           sum(CASE WHEN object IS NULL AND status < 300 THEN 1 ELSE 0 END) AS unnamed,
           approx_distinct(user_agent) AS agents
    FROM tumble(requests, ts, INTERVAL '1 hour')
    WHERE (status BETWEEN 200 AND 299 OR status IN (403, 404, 410)) AND method IN ('GET', 'POST') AND (object IS NOT NULL OR method = 'POST')
    GROUP BY window_start, window_end, route, client
)
SELECT window_start, window_end, route,
       date_part('hour', window_start) AS hour,
       count(*) AS clients,
       sum(unnamed) / CAST(sum(objects) AS DOUBLE) AS unnamed_share,
       exp(avg(ln(objects)) + $deviations * sqrt((count(*) * var_pop(ln(objects)) + $prior_clients * $prior_deviation * $prior_deviation)
                                                 / (count(*) + $prior_clients))) AS high_objects
FROM clients
WHERE agents <= $max_agents AND objects > 0
GROUP BY window_start, window_end, route
