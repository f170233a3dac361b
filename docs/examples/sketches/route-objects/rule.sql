/*
title = "Which objects of a route were asked for within a day"
kind = "baseline"
entity = ["route"]
max_age = "2d"
description = "Every hour, of the day before it: at most 12 KiB a route, however many objects there are."
*/
SELECT window_start, window_end, route, theta_sketch(object) AS objects
FROM hop(requests, ts, INTERVAL '1 hour', INTERVAL '1 day')
WHERE status BETWEEN 200 AND 299 AND object IS NOT NULL
GROUP BY window_start, window_end, route
