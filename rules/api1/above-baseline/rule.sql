/*
title = "One client reads many times what is usual"
severity = "medium"
entity = ["client", "route"]
owasp = ["API1:2023", "API4:2023"]
attack = ["T1213"]
params = { min_objects = 150, factor = 10.0, unknown_objects = 150.0, declared_factor = 10 }
quiet = "3h"
description = """
Finds a client that within an hour reads at least `min_objects` different objects of a route and `factor` times as many as usual. Usual is what
the client itself read of that route at this hour of an earlier day, or what an extraordinary client of the route reads in an hour, whichever is more;
of a route without a norm (fewer than 20 clients, or the first hour of a log), `unknown_objects`.
Clients whose agent always carries a URL, as declared crawlers do, are not measured by what people read alone: usual for them is
at least `declared_factor` times `unknown_objects`. Anybody can write such an agent, so it is a higher bar and no exemption.

Why it matters: 200 profiles in an hour are nothing on a page of products and a theft on a page of profiles. One threshold cannot know that; the
route's own traffic does. That is why this rule reaches rates that object-enumeration must let pass.

Looks alike, is harmless: a new office or a new partner in its first day on a route that otherwise single people use; a campaign that brings the visitors
of a carrier's few addresses. A nightly partner is quiet from its second night.

Tuning: `factor` for all routes, `min_objects` for the quiet ones. Whoever raises its pace by less than `factor` from day to day teaches the
baseline; dense-ids and slow-enumeration have no memory that could be taught.
"""
*/
WITH hours AS (
    SELECT window_start, window_end, client, route,
           count(*) AS requests,
           approx_distinct(object) AS objects,
           bool_and(coalesce(user_agent LIKE '%://%', false)) AS declared
    FROM tumble(requests, ts, INTERVAL '1 hour')
    WHERE status BETWEEN 200 AND 299 AND object IS NOT NULL
    GROUP BY window_start, window_end, client, route
    HAVING approx_distinct(object) >= $min_objects
),
usual AS (
    SELECT w.window_start, w.window_end, w.client, w.route, w.requests, w.objects, w.declared,
           own.objects AS own_objects,
           greatest(coalesce(own.objects, 0), coalesce(norm.high_objects, $unknown_objects)) AS usual_objects
    FROM (SELECT *, date_part('hour', window_start) AS hour FROM hours) w
    LEFT JOIN client_hours own
      ON own.client = w.client AND own.route = w.route AND own.hour = w.hour
     AND w.window_start >= own.valid_from AND w.window_start < own.valid_until
    LEFT JOIN route_hours norm
      ON norm.route = w.route
     AND w.window_start >= norm.valid_from AND w.window_start < norm.valid_until
)
SELECT window_start, window_end, client, route, requests, objects, own_objects,
       round(usual_objects) AS usual_objects
FROM usual
WHERE objects >= $factor * usual_objects
  AND (NOT declared OR objects >= $factor * $unknown_objects * $declared_factor)
