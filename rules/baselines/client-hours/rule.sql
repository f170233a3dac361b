/*
title = "What a client reads of a route at an hour of the day"
kind = "baseline"
entity = ["client", "route", "hour"]
params = { min_objects = 8 }
max_age = "14d"
description = """
How many different objects a client asked for, and with how many agents, by client, route and hour of the day (UTC). A row holds until the client's next at the
same hour, at most a fortnight, so that 9 o'clock on Monday is compared with 9 o'clock on Friday, and a nightly export with the night before.

Keyed by the hour of the day for another reason, too: what a client does now is known as its habit only tomorrow. With the hour before as the
yardstick, a theft would be normal an hour after it began.

Hours with fewer than `min_objects` objects are not kept: most clients never have one that counts, and the table stays small.
"""
*/
SELECT window_start, window_end, client, route,
       date_part('hour', window_start) AS hour,
       approx_distinct(object) + sum(CASE WHEN object IS NULL AND status < 300 THEN 1 ELSE 0 END) AS objects,
       approx_distinct(user_agent) AS agents
FROM tumble(requests, ts, INTERVAL '1 hour')
WHERE (status BETWEEN 200 AND 299 OR status IN (403, 404, 410)) AND method IN ('GET', 'POST') AND (object IS NOT NULL OR method = 'POST')
GROUP BY window_start, window_end, client, route
HAVING count(*) >= $min_objects AND approx_distinct(object) + sum(CASE WHEN object IS NULL AND status < 300 THEN 1 ELSE 0 END) >= $min_objects
