/*
title = "One client asks for very many different objects"
severity = "high"
entity = ["client", "route"]
owasp = ["API1:2023"]
attack = ["T1213"]
params = { min_objects = 550, bulk_factor = 60.0, declared_factor = 10 }
description = """
Finds a client that within ten minutes asks for at least `min_objects` different objects of one route, wherever their ids stand in path
or query and in whatever order, and gets at least one of them. Misses (403, 404, 410) count too: whoever looks up guessed phone numbers is
answered mostly with misses, and is seen by what it asks for long before it is seen by what it gets.

It stands in for above-baseline, which needs far fewer objects, while that does not know the route: on the first day of a log, and wherever nobody read the route at this
hour of an earlier day.

Why it matters: each request is well-formed and answered, so nothing else in the log stands out. Whole user bases left that way.

Looks alike, is harmless: an office or a carrier behind one address (300 people read 200 to 300 objects of their busiest route in ten minutes),
the first sync of a device (a phone with 500 photos stays below; one with 5,000 does not, until it is known that single clients read the route in bulk,
and how much: `bulk_factor` times that), a partner's export. A gallery's pictures are objects,
too, and cheap to list by the page: routes of image files need ten times as many. Clients whose agent always carries a URL, as declared crawlers do,
need `declared_factor` times as many. That is no exemption, because anybody can write such an agent: exempt a crawler
whose address you have verified with an [[exception]].

Tuning: set `min_objects` above what your largest office reads in ten minutes. Below one request a second this rule is silent by design:
see steady-reader, dense-ids, above-baseline and slow-enumeration.
"""
*/
WITH asked AS (
    SELECT window_start, window_end, client, route,
           count(*) AS requests,
           approx_distinct(object) AS objects,
           sum(CASE WHEN status < 300 THEN 1 ELSE 0 END) AS answered,
           bool_and(coalesce(user_agent LIKE '%://%', false)) AS declared
    FROM hop(requests, ts, INTERVAL '5 minutes', INTERVAL '10 minutes')
    WHERE (status BETWEEN 200 AND 299 OR status IN (403, 404, 410)) AND method IN ('GET', 'POST') AND object IS NOT NULL
    GROUP BY window_start, window_end, client, route
    HAVING approx_distinct(object) >= $min_objects
)
SELECT a.window_start, a.window_end, a.client, a.route, a.requests, a.objects, a.answered
FROM (SELECT *, date_part('hour', window_start) AS hour FROM asked) a
LEFT JOIN route_hours norm
  ON norm.route = a.route AND norm.hour = a.hour
 AND a.window_start >= norm.valid_from AND a.window_start < norm.valid_until
LEFT JOIN route_bulk bulk
  ON bulk.route = a.route
 AND a.window_start >= bulk.valid_from AND a.window_start < bulk.valid_until
WHERE a.answered > 0
  -- (above-baseline knows better, once it knows)
  AND norm.high_objects IS NULL
  AND a.objects >= coalesce($bulk_factor * bulk.typical_objects, 0)
  AND a.objects >= $min_objects * CASE WHEN a.declared THEN $declared_factor ELSE 1 END
                                * CASE WHEN regexp_like(a.route, '\.(avif|gif|jpe?g|png|svg|webp)$', 'i') THEN 10 ELSE 1 END
