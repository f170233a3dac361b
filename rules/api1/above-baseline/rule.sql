/*
title = "One client asks for more different objects than anybody does"
severity = "high"
entity = ["client", "route"]
owasp = ["API1:2023", "API4:2023", "API6:2023"]
attack = ["T1213"]
params = { min_objects = 30, unknown_objects = 2000.0, route_factor = 4.0, unnamed_factor = 2.0, bulk_factor = 60.0, many_agents = 3, shared_factor = 5.0, own_factor = 1.25, high_factor = 0.5, low_factor = 5.0, declared_factor = 10, picture_factor = 10 }
quiet = "3h"
description = """
Finds a client that within an hour asks for at least `min_objects` different objects of a route, gets at least one, and asks for more than is usual there,
whichever of these is most:
- `route_factor` times what would be extraordinary for a single client of the route at this hour of an earlier day, or the hour beside it; `unnamed_factor` times where the log does
  not show what was asked for (each POST may carry a thousand records);
- on routes that single clients read in bulk (list views, first syncs), `bulk_factor` times what those typically read;
- what the client itself read of the route at this hour of an earlier day, times `shared_factor` if it had `many_agents` agents or more, as offices and
  carriers do, else times `own_factor`: a job that runs each night is known from its second night, and a scraper that raises its pace by more than a
  quarter a day is not;
- on a route that nobody read at this hour of an earlier day, and on the first day of a log, `unknown_objects`.
The first and the last of these are multiplied by `high_factor` on routes of high sensitivity (`[[route]]`), by `low_factor` on those of low.
Where the ids stand and in which order they come makes no difference. Misses (403, 404, 410) count too: whoever looks up guessed phone numbers is seen
by what it asks for long before it is seen by what it gets.

Why it matters: each request is well-formed and answered, so nothing else in the log stands out. Whole user bases left that way. 30 profiles
in an hour are nothing on a page of products and a theft on a page of profiles; the route's own traffic knows which. POSTs count alike: who signs up, redeems, reserves
or checks out far more often than anybody else abuses a flow of the business.

Looks alike, is harmless: an office or partner on its first day, a job that reads much more than the day before. Clients whose agent always carries a URL,
as declared crawlers do, need `declared_factor` times as many; that is no exemption, because anybody can write such an agent: exempt a crawler whose address
you have verified with an [[exception]]. Pages bring their pictures along: routes of image files need `picture_factor` times `min_objects`.

Tuning: `min_objects` decides how much may leak from quiet routes. Whoever stays below it, or spreads over many addresses, is left to slow-enumeration and
route-surge. What it knows of routes can be taught by two clients that read in bulk in one hour, but only after that hour.
"""
*/
WITH hours AS (
    SELECT window_start, window_end, client, route,
           count(*) AS requests,
           approx_distinct(object) + sum(CASE WHEN object IS NULL AND status < 300 THEN 1 ELSE 0 END) AS objects,
           sum(CASE WHEN status < 300 THEN 1 ELSE 0 END) AS answered,
           bool_and(coalesce(user_agent LIKE '%://%', false)) AS declared
    FROM tumble(requests, ts, INTERVAL '1 hour')
    WHERE (status BETWEEN 200 AND 299 OR status IN (403, 404, 410)) AND method IN ('GET', 'POST') AND (object IS NOT NULL OR method = 'POST')
    GROUP BY window_start, window_end, client, route
    HAVING count(*) >= $min_objects AND approx_distinct(object) + sum(CASE WHEN object IS NULL AND status < 300 THEN 1 ELSE 0 END) >= $min_objects
),
usual AS (
    SELECT w.window_start, w.window_end, w.client, w.route, w.requests, w.objects, w.answered, w.declared,
           own.objects AS own_objects,
           greatest(CASE worth.sensitivity WHEN 'high' THEN $high_factor WHEN 'low' THEN $low_factor ELSE 1.0 END
                    * CASE WHEN norm.high_objects IS NULL THEN $unknown_objects
                           ELSE greatest(norm.high_objects, before.high_objects, after.high_objects)
                                * CASE WHEN norm.unnamed_share > 0.5 THEN $unnamed_factor ELSE $route_factor END END,
                    coalesce($bulk_factor * bulk.typical_objects, 0),
                    coalesce(own.objects * CASE WHEN own.agents >= $many_agents THEN $shared_factor ELSE $own_factor END, 0)) AS usual_objects
    FROM (SELECT *, date_part('hour', window_start) AS hour, CAST((date_part('hour', window_start) + 23) % 24 AS INT) AS hour_before,
                 CAST((date_part('hour', window_start) + 1) % 24 AS INT) AS hour_after FROM hours) w
    LEFT JOIN client_hours own
      ON own.client = w.client AND own.route = w.route AND own.hour = w.hour
     AND w.window_start >= own.valid_from AND w.window_start < own.valid_until
    LEFT JOIN route_hours norm
      ON norm.route = w.route AND norm.hour = w.hour
     AND w.window_start >= norm.valid_from AND w.window_start < norm.valid_until
    -- (an hour when everybody read the same page says that one object is usual)
    LEFT JOIN route_hours before
      ON before.route = w.route AND before.hour = w.hour_before
     AND w.window_start >= before.valid_from AND w.window_start < before.valid_until
    LEFT JOIN route_hours after
      ON after.route = w.route AND after.hour = w.hour_after
     AND w.window_start >= after.valid_from AND w.window_start < after.valid_until
    LEFT JOIN route_bulk bulk
      ON bulk.route = w.route
     AND w.window_start >= bulk.valid_from AND w.window_start < bulk.valid_until
    LEFT JOIN routes worth ON worth.route = w.route
)
SELECT window_start, window_end, client, route, requests, objects, answered, own_objects,
       round(usual_objects) AS usual_objects
FROM usual
WHERE objects >= usual_objects AND answered > 0
  -- (sign-ins are credential-stuffing's)
  AND NOT regexp_like(lower(route), '/(log-?in|sign-?in|sessions?|(oauth2?/)?token|auth|authenticate)/?$')
  AND (NOT declared OR objects >= $declared_factor * usual_objects)
  -- (pages bring their pictures along)
  AND (objects >= $picture_factor * $min_objects OR NOT regexp_like(route, '\.(avif|gif|jpe?g|png|svg|webp)$', 'i'))
