/*
title = "What a client reads of a route at an hour of the day"
kind = "baseline"
entity = ["client", "route", "hour"]
params = { min_objects = 20 }
max_age = "14d"
description = """
Requests answered with an object, and how many different objects, by client, route and hour of the day (UTC). A row holds until the client's next at the
same hour, at most a fortnight, so that 9 o'clock on Monday is compared with 9 o'clock on Friday, and a nightly export with the night before.

Keyed by the hour of the day for another reason, too: what a client does now is known as its habit only tomorrow. With the hour before as the
yardstick, a theft would be normal an hour after it began.

Hours with fewer than `min_objects` objects are not kept: most clients never have one that counts, and the table stays small.
"""
*/
SELECT window_start, window_end, client, route,
       date_part('hour', window_start) AS hour,
       count(*) AS requests,
       approx_distinct(object) AS objects
FROM tumble(requests, ts, INTERVAL '1 hour')
WHERE status BETWEEN 200 AND 299 AND object IS NOT NULL
GROUP BY window_start, window_end, client, route
HAVING approx_distinct(object) >= $min_objects
