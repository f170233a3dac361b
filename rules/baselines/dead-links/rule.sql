/*
title = "Routes that several clients are refused alike"
kind = "baseline"
entity = ["route"]
params = { max_clients = 3 }
max_age = "1d"
description = """
Routes that were refused (400, 403, 404, 405, 410) to more than `max_clients` clients within half an hour: a release with dead links, a list of names that every scanner tries. A row
holds a day, so that who follows such a link when the rush is over looks like those before.
"""
*/
SELECT window_start, window_end, route, approx_distinct(client) AS clients
FROM tumble(requests, ts, INTERVAL '30 minutes')
WHERE status IN (400, 403, 404, 405, 410)
GROUP BY window_start, window_end, route
HAVING approx_distinct(client) > $max_clients
