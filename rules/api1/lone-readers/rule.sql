/*
title = "Many visitors come for one object of a route and nothing else"
severity = "high"
entity = ["route"]
owasp = ["API1:2023", "API6:2023"]
attack = ["T1213"]
params = { max_objects = 2, min_lone = 20, min_slots = 4, factor = 3.0, deviations = 8.0 }
quiet = "3h"
description = """
Finds theft that is spread over so many addresses, and is so small a share of a route's traffic, that neither the addresses nor the route stand out: within an hour at least
`min_lone` clients ask the route for `max_objects` different objects at most, and the rest of the site for none; they are `factor` times (and `deviations` standard deviations of a Poisson
law above) as many as at this hour of an earlier day, in at least `min_slots` of the hour's six ten-minute slots. If the rest of the site has three times its usual traffic, there may be three times
as many.

Why it matters: ten thousand addresses that each read one account a day take a user base in a year. An application asks for more than one thing; whoever rents
addresses to read accounts asks for accounts.

Looks alike, is harmless: a link to single objects that is sent to many (the first time), an app that is changed so that a screen needs one request only,
a retry by everybody after a failure (in one slot). Links in mails and widgets on others' pages bring such visitors every day, and are known from the day before.

Tuning: what the route has of such visitors on ordinary days hides as many again. It is quiet on the first day of a log and of a route, and does not see those who ask for
something else as well. Who it was: the clients that asked for nothing but this route in the window.
"""
*/
WITH visits AS (
    SELECT window_start, window_end, route, client,
           count(*) AS requests,
           approx_distinct(object) + sum(CASE WHEN object IS NULL AND status < 300 THEN 1 ELSE 0 END) AS objects,
           sum(date_part('minute', ts)) AS minutes
    FROM tumble(requests, ts, INTERVAL '1 hour')
    WHERE (status BETWEEN 200 AND 299 OR status IN (403, 404, 410)) AND method IN ('GET', 'POST') AND (object IS NOT NULL OR method = 'POST')
    GROUP BY window_start, window_end, route, client
),
lone AS (
    SELECT window_start, window_end, client, max(route) AS route, max(requests) AS requests, max(objects) AS objects, max(minutes) / max(requests) AS minute
    FROM visits
    GROUP BY window_start, window_end, client
    HAVING count(*) = 1 AND max(objects) <= $max_objects
),
routes AS (
    SELECT window_start, window_end, route, date_part('hour', window_start) AS hour,
           count(*) AS lone, sum(requests) AS requests, sum(objects) AS objects,
           count(DISTINCT minute / 10) AS slots
    FROM lone
    GROUP BY window_start, window_end, route
    HAVING count(*) >= $min_lone
),
site AS (
    SELECT window_start, window_end, count(*) AS requests
    FROM tumble(requests, ts, INTERVAL '1 hour')
    WHERE (status BETWEEN 200 AND 299 OR status IN (403, 404, 410)) AND method IN ('GET', 'POST') AND (object IS NOT NULL OR method = 'POST')
    GROUP BY window_start, window_end
),
expected AS (
    SELECT w.*, CASE WHEN known.requests > 0
                     THEN coalesce(norm.lone, 0) * greatest(1.0, s.requests / CAST(greatest(usual.requests, 100) AS DOUBLE)) END AS expected
    FROM routes w
    JOIN site s ON s.window_start = w.window_start
    LEFT JOIN route_lone norm
      ON norm.route = w.route AND norm.hour = w.hour
     AND w.window_start >= norm.valid_from AND w.window_start < norm.valid_until
    LEFT JOIN route_traffic known
      ON known.route = w.route AND known.hour = w.hour
     AND w.window_start >= known.valid_from AND w.window_start < known.valid_until
    LEFT JOIN site_traffic usual
      ON usual.hour = w.hour
     AND w.window_start >= usual.valid_from AND w.window_start < usual.valid_until
)
SELECT window_start, window_end, route, requests, lone AS clients, objects, round(expected) AS expected
FROM expected
WHERE expected IS NOT NULL AND slots >= $min_slots
  AND lone >= $factor * expected + $deviations * sqrt(expected)
