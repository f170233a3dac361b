/*
title = "Wallarm's enumeration protection, as documented"
severity = "medium"
entity = ["client", "route"]
params = { values = 30 }
description = "A comparator, not a rule of ours. More than 30 unique values of a parameter within 30 seconds from one address."
*/
SELECT window_start, window_end, client, route, approx_distinct(object) AS objects, count(*) AS requests
FROM hop(requests, ts, INTERVAL '15 seconds', INTERVAL '30 seconds')
WHERE object IS NOT NULL
GROUP BY window_start, window_end, client, route
HAVING approx_distinct(object) > $values
