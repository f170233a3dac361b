/*
title = "Most of what a route is asked for is new"
severity = "low"
mode = "observe"
entity = ["route"]
owasp = ["API1:2023"]
params = { min_objects = 50, min_new_share = 0.6 }
quiet = "3h"
description = """
Finds a route whose visitors within ten minutes ask for at least `min_objects` different objects, of which `min_new_share` are objects that nobody asked for within a day: whoever
walks through ids, from however many addresses, gets to those that nobody reads.

Looks alike, is harmless: a catalogue import, and routes where each visitor reads what is their own, of which most is new every day: compare with your own routes first.
"""
*/
WITH w AS (
    SELECT window_start, window_end, route, count(*) AS requests, theta_sketch(object) AS objects, theta_once_share(theta_sketch(client)) AS once
    FROM tumble(requests, ts, INTERVAL '10 minutes')
    WHERE status BETWEEN 200 AND 299 AND object IS NOT NULL
    GROUP BY window_start, window_end, route
    HAVING count(*) >= $min_objects
)
SELECT w.window_start, w.window_end, w.route, w.requests, theta_distinct(w.objects) AS objects,
       theta_new_share(w.objects, known.objects) AS new_share, w.once AS one_request_clients
FROM w
LEFT JOIN route_objects known
  ON known.route = w.route AND w.window_start >= known.valid_from AND w.window_start < known.valid_until
WHERE theta_distinct(w.objects) >= $min_objects AND theta_new_share(w.objects, known.objects) >= $min_new_share
