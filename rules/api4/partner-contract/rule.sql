/*
title = "A partner does what its contract does not say"
severity = "medium"
entity = ["client"]
owasp = ["API4:2023", "API5:2023", "API2:2023"]
attack = ["T1078", "T1213"]
lookups = { partners = ["client", "owner", "daily_records", "routes", "networks"] }
quiet = "12h"
params = { volume_factor = 1.25, min_elsewhere = 20 }
description = """
Finds a partner that within a day takes more records than was agreed (`volume_factor` times `daily_records`), or is answered at least `min_elsewhere` times on routes
that are not among its `routes`, or from outside its `networks`. It waits for your table of partners, the lookup `partners`: `client` as `tripline parse`
shows it (an address, or `user:NAME` where keys are users), once each, `owner` (whom to call), `daily_records`, `routes` (as `tripline routes` writes them, joined by
spaces) and `networks` (joined by commas). An empty cell allows everything.

Why it matters: a partner may read much, so rules about volume learn to leave it alone. When its key is stolen, or its staff help themselves, what tells is the contract.

Looks alike, is harmless: a contract that has changed and a table that has not, a partner that moved to another provider, a backlog made good in one day.

Tuning: a request counts as many records as its query says (`limit=`, `ids=`), otherwise one, if it names an object. The rule says which of the three it was by its numbers.
"""
*/
WITH days AS (
    SELECT r.window_start, r.window_end, r.client, max(p.owner) AS owner, max(p.daily_records) AS daily_records,
           sum(coalesce(CAST(r.records AS BIGINT), CASE WHEN r.object IS NULL THEN 0 ELSE 1 END)) AS records,
           sum(CASE WHEN strpos(' ' || p.routes || ' ', ' ' || r.route || ' ') = 0 THEN 1 ELSE 0 END) AS other_routes,
           sum(CASE WHEN NOT in_network(r.client_ip, p.networks) THEN 1 ELSE 0 END) AS other_networks
    FROM hop(requests, ts, INTERVAL '1 hour', INTERVAL '1 day') r
    JOIN (
        SELECT client, CAST(owner AS VARCHAR) AS owner, CAST(daily_records AS DOUBLE) AS daily_records,
               CAST(routes AS VARCHAR) AS routes, CAST(networks AS VARCHAR) AS networks
        FROM partners
    ) p ON p.client = r.client
    WHERE r.status BETWEEN 200 AND 299
    GROUP BY r.window_start, r.window_end, r.client
)
SELECT window_start, window_end, client, owner, records, daily_records, other_routes, other_networks
FROM days
WHERE records >= $volume_factor * daily_records OR other_routes >= $min_elsewhere OR other_networks >= $min_elsewhere
