/*
title = "A client reads far more than those it behaved like"
severity = "low"
mode = "observe"
entity = ["client"]
owasp = ["API1:2023"]
params = { min_objects = 40, distance = 5.0 }
quiet = "3h"
description = """
Finds a client that in an hour asks for `distance` times the usual spread (on a logarithmic scale) more different objects than is typical of its peers: of the clients it was
grouped with in its last hour that counts. Reading much is no news among partners, and is among people.

Looks alike, is harmless: a client that begins another job. Clients with no history have no peers and are left to rules that need none.

Tuning: a campaign of twenty like clients and more is a group of its own, in which nobody is odd.
"""
*/
WITH hours AS (
    SELECT window_start, window_end, client, count(*) AS requests, approx_distinct(object) AS objects
    FROM tumble(requests, ts, INTERVAL '1 hour')
    GROUP BY window_start, window_end, client
    HAVING approx_distinct(object) >= $min_objects
)
SELECT h.window_start, h.window_end, h.client, h.requests, h.objects, p.peer_group, p.peers,
       p.objects_typical AS typical_objects,
       (ln(1 + h.objects) - ln(1 + p.objects_typical)) / p.objects_spread AS distance
FROM hours h
LEFT JOIN client_peers p
  ON p.client = h.client AND h.window_start >= p.valid_from AND h.window_start < p.valid_until
WHERE (ln(1 + h.objects) - ln(1 + p.objects_typical)) / p.objects_spread >= $distance
