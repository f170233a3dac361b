/*
title = "How many pages of lists clients read at an hour of the day"
kind = "baseline"
entity = ["route", "hour"]
params = { deviations = 6.0 }
max_age = "14d"
description = """
Of routes whose requests say how many records they ask for (`limit=100`, `ids=1,2,3`): how many different queries would be extraordinary for one client in an hour,
`deviations` standard deviations above the mean on a logarithmic scale.
"""
*/
WITH clients AS (
    SELECT window_start, window_end, route, client, approx_distinct(query) AS pages
    FROM tumble(requests, ts, INTERVAL '1 hour')
    WHERE status BETWEEN 200 AND 299 AND records IS NOT NULL AND query IS NOT NULL
    GROUP BY window_start, window_end, route, client
)
SELECT window_start, window_end, route,
       date_part('hour', window_start) AS hour,
       exp(avg(ln(pages)) + $deviations * coalesce(stddev(ln(pages)), 0)) AS high_pages
FROM clients
GROUP BY window_start, window_end, route
