/*
title = "From how many networks a user or a token usually comes"
kind = "baseline"
entity = ["client"]
params = { min_networks = 3 }
max_age = "14d"
description = """
Users that the server has verified, and sessions, which the source's `client` names, that came from at least `min_networks` networks within an hour: autonomous systems where `[mmdb]`
knows them, otherwise /24 and /64. A row holds until the client's next, at most a fortnight.
"""
*/
WITH addresses AS (
    SELECT window_start, window_end, client, client_ip, count(*) AS requests
    FROM tumble(requests, ts, INTERVAL '1 hour')
    WHERE (client LIKE 'user:%' OR client LIKE 'session:%') AND status BETWEEN 200 AND 299
    GROUP BY window_start, window_end, client, client_ip
)
SELECT window_start, window_end, client,
       count(DISTINCT coalesce(CAST(asn(client_ip) AS VARCHAR), subnet(client_ip, 24, 64))) AS networks
FROM addresses
GROUP BY window_start, window_end, client
HAVING count(*) >= $min_networks
   AND count(DISTINCT coalesce(CAST(asn(client_ip) AS VARCHAR), subnet(client_ip, 24, 64))) >= $min_networks
