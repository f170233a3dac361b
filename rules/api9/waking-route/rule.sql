/*
title = "A route that nobody used is read"
severity = "medium"
mode = "observe"
entity = ["route"]
owasp = ["API9:2023"]
attack = ["T1190"]
params = { min_objects = 20 }
quiet = "1d"
description = """
Finds a route that answers requests for at least `min_objects` different objects (or as many POSTs) within an hour and that nobody had used in the fortnight before, or since the log
began: a version that was switched off in the app and not on the server, a test host that became public, an endpoint that was never announced.

Why it matters: millions of customers of a telephone company were read from an interface that had been asleep for years. Nobody looks after such a
route, and nobody's usual traffic is there to compare with: the rules that know a route by its use are blind on its first day.

Looks alike, is harmless: a new feature, a yearly report, a renamed path. The log does not tell these apart from the rest, so the rule only observes:
`tripline alerts list` shows what it found. Where routes are released through an OpenAPI file, give it `mode = "alert"` in a copy of yours.

Tuning: it is quiet while there is no traffic from the same hour of an earlier day to say that the log is older than a day. Paths that are not known as templates are routes of their
own and have no objects: `tripline routes` proposes templates.
"""
*/
WITH hours AS (
    SELECT window_start, window_end, route,
           count(*) AS requests,
           sum(CASE WHEN status < 300 THEN 1 ELSE 0 END) AS answered,
           approx_distinct(object) + sum(CASE WHEN object IS NULL AND status < 300 THEN 1 ELSE 0 END) AS objects
    FROM tumble(requests, ts, INTERVAL '1 hour')
    WHERE (status BETWEEN 200 AND 299 OR status IN (403, 404, 410)) AND method IN ('GET', 'POST') AND (object IS NOT NULL OR method = 'POST')
    GROUP BY window_start, window_end, route
    HAVING count(*) >= $min_objects
)
SELECT w.window_start, w.window_end, w.route, w.requests, w.answered, w.objects
FROM (SELECT *, date_part('hour', window_start) AS hour FROM hours) w
LEFT JOIN route_known known
  ON known.route = w.route
 AND w.window_start >= known.valid_from AND w.window_start < known.valid_until
LEFT JOIN site_traffic site
  ON site.hour = w.hour
 AND w.window_start >= site.valid_from AND w.window_start < site.valid_until
WHERE known.route IS NULL AND site.requests IS NOT NULL
  AND w.answered >= $min_objects AND w.objects >= $min_objects
