/*
title = "An id that nobody was given was asked for"
severity = "critical"
entity = ["client"]
owasp = ["API1:2023"]
attack = ["T1213"]
lookups = { canaries = ["route", "object"] }
quiet = "3h"
description = """
Finds whoever asks for a canary: an id that exists only as a trap, or that was never issued, and so stands in nobody's links, lists or mails. It waits for
your table of them, the lookup `canaries` with the columns `route` (as `tripline routes` writes it, `/v1/users/{id}`) and `object` (as `tripline parse` does).

Why it matters: whoever counts ids, in any order, however slowly and from however many addresses, sooner or later asks for one that nobody has. One
canary in a thousand ids tells a scrape after a thousand records on average, whatever rules about volume say. Answered or not makes no difference: 404 is right for an id
that was never issued.

Looks alike, is harmless: your own tests, a backup or an index that walks the whole table: give them an [[exception]]. Somebody who mistypes an id: choose canaries that are
not one digit from ids in use.

Tuning: sprinkle them evenly among your ids, and keep the list to yourself. Add what people have found.
"""
*/
SELECT r.window_start, r.window_end, r.client, count(*) AS requests, min(r.route) AS route, min(r.object) AS object
FROM tumble(requests, ts, INTERVAL '1 minute') r
JOIN (SELECT route, CAST(object AS VARCHAR) AS object FROM canaries) c ON c.route = r.route AND c.object = r.object
GROUP BY r.window_start, r.window_end, r.client
