/*
title = "One client turns page after page of a list"
severity = "medium"
entity = ["client", "route"]
owasp = ["API4:2023", "API6:2023"]
attack = ["T1213"]
params = { min_pages = 20, unknown_pages = 100.0, route_factor = 1.0, min_records = 1000, declared_factor = 10 }
quiet = "3h"
description = """
Finds a client that within an hour makes at least `min_pages` different queries for lists or batches of one route (page after page, offset after offset,
`ids=` after `ids=`), for at least `min_records` records in sum, and `route_factor` times as many queries as would be extraordinary there at this hour
of an earlier day; where that is not known, `unknown_pages`.

Why it matters: one request for 100 accounts is worth a hundred, and rules that count objects do not see it: there is no id in it.

Looks alike, is harmless: a report that somebody runs, an integration on its first day. People turn a few pages. Clients whose agent always carries a URL, as
declared crawlers do, need `declared_factor` times as many.

Tuning: it sees routes whose query says how many (`limit`, `per_page`, `count`, `ids` ...), the others it does not.
"""
*/
WITH hours AS (
    SELECT window_start, window_end, client, route,
           count(*) AS requests,
           approx_distinct(query) AS pages,
           sum(records) AS records,
           bool_and(coalesce(user_agent LIKE '%://%', false)) AS declared
    FROM tumble(requests, ts, INTERVAL '1 hour')
    WHERE status BETWEEN 200 AND 299 AND records IS NOT NULL AND query IS NOT NULL
    GROUP BY window_start, window_end, client, route
    HAVING count(*) >= $min_pages AND approx_distinct(query) >= $min_pages
),
usual AS (
    SELECT w.*, coalesce($route_factor * norm.high_pages, $unknown_pages) AS usual_pages
    FROM (SELECT *, date_part('hour', window_start) AS hour FROM hours) w
    LEFT JOIN page_hours norm
      ON norm.route = w.route AND norm.hour = w.hour
     AND w.window_start >= norm.valid_from AND w.window_start < norm.valid_until
)
SELECT window_start, window_end, client, route, requests, pages, records, round(usual_pages) AS usual_pages
FROM usual
WHERE pages >= usual_pages AND records >= $min_records
  AND (NOT declared OR pages >= $declared_factor * usual_pages)
