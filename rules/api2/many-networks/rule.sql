/*
title = "One user or token comes from many networks at once"
severity = "medium"
mode = "observe"
entity = ["client"]
owasp = ["API2:2023"]
attack = ["T1078", "T1539", "T1528"]
params = { min_networks = 6, own_factor = 2.0 }
quiet = "12h"
description = """
Finds a user that the server has verified, or a session, that is answered 2xx from at least `min_networks` networks within an hour, and from `own_factor` times as many as in the hour in which it last
came from three or more (client_networks). Networks are autonomous systems where `[mmdb]` knows them, otherwise /24 and /64.

Why it matters: a token that was stolen, sold or put into an app is used by many, and each request is signed in.

Looks alike, is harmless: a telephone on a train, whose carrier sends each connection from another network (name a database of autonomous systems under `[mmdb]`: then that is one), anonymity networks, an
account that a team shares, a key that a fleet of machines uses (known from its second hour). The log does not tell these apart, so the rule only observes.

Tuning: it waits for a source whose `client` names `user` (with `user_verified = true`) or `session`; without one there is no name to believe and the rule is quiet. Where one user is one person, give it
`mode = "alert"` in a copy of yours.
"""
*/
WITH addresses AS (
    SELECT window_start, window_end, client, client_ip, count(*) AS requests
    FROM tumble(requests, ts, INTERVAL '1 hour')
    WHERE (client LIKE 'user:%' OR client LIKE 'session:%') AND status BETWEEN 200 AND 299
    GROUP BY window_start, window_end, client, client_ip
),
users AS (
    SELECT window_start, window_end, client,
           sum(requests) AS requests,
           count(*) AS addresses,
           count(DISTINCT coalesce(CAST(asn(client_ip) AS VARCHAR), subnet(client_ip, 24, 64))) AS networks
    FROM addresses
    GROUP BY window_start, window_end, client
    HAVING count(*) >= $min_networks
)
SELECT u.window_start, u.window_end, u.client, u.requests, u.addresses, u.networks, own.networks AS own_networks
FROM users u
LEFT JOIN client_networks own
  ON own.client = u.client
 AND u.window_start >= own.valid_from AND u.window_start < own.valid_until
WHERE u.networks >= $min_networks AND u.networks >= $own_factor * coalesce(own.networks, 0)
