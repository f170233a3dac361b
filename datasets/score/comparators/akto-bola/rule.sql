/*
title = "Akto's unique values, as documented"
severity = "medium"
entity = ["client", "route"]
params = { values = 50 }
description = "A comparator, not a rule of ours. More than 50 unique values of a parameter within five minutes from one address on one route."
*/
SELECT window_start, window_end, client, route, approx_distinct(object) AS objects, count(*) AS requests
FROM hop(requests, ts, INTERVAL '150 seconds', INTERVAL '300 seconds')
WHERE object IS NOT NULL
GROUP BY window_start, window_end, client, route
HAVING approx_distinct(object) > $values
