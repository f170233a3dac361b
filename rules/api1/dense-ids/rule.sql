/*
title = "One client reads whole blocks of consecutive ids"
severity = "high"
entity = ["client", "route"]
owasp = ["API1:2023"]
attack = ["T1213"]
params = { bulk_ids = 1000, steady_ids = 60, steady_slots = 8, bulk_factor = 60.0, own_factor = 1.25, declared_factor = 10 }
quiet = "3h"
description = """
Finds a client that within an hour reads numeric ids so densely that it must be counting: in a block of 1,000 ids it read at least half of what lies
between the lowest and the highest it asked for. The order does not matter, sequential and shuffled look the same. Two ways to fire:
bulk, at least `bulk_ids` ids in such blocks; or steady, at least `steady_ids` ids in each of them, spread over `steady_slots` or more of the hour's twelve
five-minute slots (slots are added up over blocks). Steady is what a scraper looks like that takes an id every 10 to 50 seconds to stay unnoticed.

Why it matters: ids that can be counted are the shortest way from one account to all of them; nobody's own records are numbered without gaps.

Looks alike, is harmless: a list view that fetches its 50 items (one slot, too few), a phone that syncs its owner's 500 photos (two
slots, below bulk; 1,000 and more do fire, unless it is known by then that single clients read the route in bulk, and how much: `bulk_factor` times that), a dashboard that polls a hundred neighbouring devices (reads each id again and again: more than three
requests an id are not counting), an office reading a catalogue (a tenth of a block, not half). A job that read
as much at this hour of an earlier day (`own_factor` times that). A poller that takes more than twenty minutes for
a round of neighbouring devices, and a back office that works through today's orders in the order of their numbers, do look like this: give them
an [[exception]]. Clients whose agent always carries a URL (declared crawlers, partners)
fire in bulk only, at `declared_factor` times as many ids.

It sees the last id of an object (/users/7/orders/42: 42), and numbers only. Reading every third id hides from it, and so do
bursts on fewer than `steady_slots` slots an hour that stay below `bulk_ids`; above-baseline and slow-enumeration do not care about either.
"""
*/
WITH blocks AS (
    SELECT window_start, window_end, client, route,
           id / 1000 AS block,
           count(*) AS requests,
           approx_distinct(id) AS ids,
           max(id) - min(id) + 1 AS span,
           approx_distinct(date_bin(INTERVAL '5 minutes', ts)) AS slots,
           bool_and(coalesce(user_agent LIKE '%://%', false)) AS declared
    FROM (
        SELECT window_start, window_end, ts, client, route, user_agent, CAST(object_part(object, -1) AS BIGINT) AS id
        FROM tumble(requests, ts, INTERVAL '1 hour')
        WHERE status BETWEEN 200 AND 299 AND method IN ('GET', 'POST') AND object IS NOT NULL
    )
    WHERE id >= 0
    GROUP BY window_start, window_end, client, route, id / 1000
    HAVING approx_distinct(id) >= $steady_ids
),
clients AS (
    SELECT window_start, window_end, client, route,
           sum(requests) AS requests,
           sum(ids) AS ids,
           count(*) AS blocks,
           sum(slots) AS active_slots,
           bool_and(declared) AS declared
    FROM blocks
    WHERE ids * 2 >= span AND requests <= 3 * ids
    GROUP BY window_start, window_end, client, route
)
SELECT c.window_start, c.window_end, c.client, c.route, c.requests, c.ids, c.blocks, c.active_slots
FROM (SELECT *, date_part('hour', window_start) AS hour FROM clients) c
LEFT JOIN client_hours own
  ON own.client = c.client AND own.route = c.route AND own.hour = c.hour
 AND c.window_start >= own.valid_from AND c.window_start < own.valid_until
LEFT JOIN route_bulk bulk
  ON bulk.route = c.route
 AND c.window_start >= bulk.valid_from AND c.window_start < bulk.valid_until
WHERE CASE WHEN c.declared THEN c.ids >= $bulk_ids * $declared_factor
           ELSE c.ids >= $bulk_ids OR c.active_slots >= $steady_slots END
  AND c.ids >= coalesce($bulk_factor * bulk.typical_objects, 0)
  AND c.ids >= coalesce($own_factor * own.objects, 0)
