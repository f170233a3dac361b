/*
title = "A client is let in on an administrators' route for the first time"
severity = "medium"
mode = "observe"
entity = ["client"]
owasp = ["API5:2023"]
attack = ["T1078", "T1190"]
params = { names = "/admin|/_admin|/internal/|/backoffice|/back-office|/management/|/impersonat|/actuator/", max_newcomers = 3 }
quiet = "1d"
description = """
Finds a client that is answered 2xx on a route whose name says that it is for administrators or for the inside (one of `names`, which stand anywhere in the route, whatever the case), and
that in the month before was answered on no such route (admin_clients).

Why it matters: where an API checks who somebody is, but not what he may do, an ordinary account needs only the name of the function, and such names are easy to guess.

Looks alike, is harmless: an administrator at a new address, a colleague on the first day, a new job of your own. The log does not tell these apart, so the rule only observes. Where administrators
come by verified name (`user_verified`) or from few networks, give it `mode = "alert"` in a copy of yours, with a condition (`AND NOT in_network(client, '192.0.2.0/24')`). A page that is
there for everybody: a route with more than `max_newcomers` of them within an hour is left out, and so is one that `[[route]]` gives the sensitivity low.

Tuning: give the names of your own routes, of this rule and of the baseline admin-clients alike. It is quiet while there is no traffic from the same hour of an earlier day to say that the log is older than a day.
"""
*/
WITH hours AS (
    SELECT window_start, window_end, client, route,
           sum(CASE WHEN method IN ('HEAD', 'OPTIONS') THEN 0 ELSE 1 END) AS requests
    FROM tumble(requests, ts, INTERVAL '1 hour')
    WHERE status BETWEEN 200 AND 299 AND contains_any(route, $names)
    GROUP BY window_start, window_end, client, route
),
newcomers AS (
    SELECT w.window_start, w.window_end, w.client, w.route, w.requests,
           count(*) OVER (PARTITION BY w.window_start, w.route) AS newcomers
    FROM (SELECT *, date_part('hour', window_start) AS hour FROM hours) w
    LEFT JOIN admin_clients known
      ON known.client = w.client
     AND w.window_start >= known.valid_from AND w.window_start < known.valid_until
    LEFT JOIN site_traffic site
      ON site.hour = w.hour
     AND w.window_start >= site.valid_from AND w.window_start < site.valid_until
    LEFT JOIN routes worth ON worth.route = w.route
    WHERE w.requests > 0 AND known.client IS NULL AND site.requests IS NOT NULL AND coalesce(worth.sensitivity, 'medium') <> 'low'
)
SELECT window_start, window_end, client,
       sum(requests) AS requests, count(*) AS routes, min(route) AS route
FROM newcomers
WHERE newcomers <= $max_newcomers
GROUP BY window_start, window_end, client
