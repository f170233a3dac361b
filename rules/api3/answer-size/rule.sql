/*
title = "A route gives out more per answer than it did"
severity = "medium"
mode = "observe"
entity = ["route"]
owasp = ["API3:2023"]
attack = ["T1213"]
params = { min_answers = 50, factor = 1.5, deviations = 6.0 }
quiet = "1d"
description = """
Finds a route whose answers (2xx with content, of requests for objects and POSTs) have become longer: within an hour at least `min_answers` of them are on average `factor` times as
long as those of the same hour of an earlier day, or of the two hours after it, and the difference is `deviations` times its own standard error: a few very long answers
are not enough.

Why it matters: a profile that used to have a name and now has an address and a telephone number, too, is answered as politely as before. A release that gives out
fields that nobody asked for, or a query that makes it do so (`expand=`, `fields=*`), shows in nothing but the bytes.

Looks alike, is harmless: a release that gives out more on purpose, longer texts or better pictures, compression that is switched off, one client that is half of a route's traffic and reads other
objects than the others. The log does not tell these apart, so the rule only observes. Fewer bytes are quiet.

Tuning: what is longer today is what is usual tomorrow, so that each change is told once; slow growth never is. Where sizes are steady and releases announced, give it
`mode = "alert"` in a copy of yours, with a condition on the routes that matter. Quiet on the first day of a log and of a route, and where the log has no lengths. Single clients that get more
than others do not move the mean of a busy route.
"""
*/
WITH hours AS (
    SELECT window_start, window_end, route,
           sum(CASE WHEN status < 300 AND bytes_out > 0 THEN 1 ELSE 0 END) AS answers,
           sum(CASE WHEN status < 300 AND bytes_out > 0 THEN bytes_out END) AS bytes,
           sum(CASE WHEN status < 300 AND bytes_out > 0 THEN CAST(bytes_out AS DOUBLE) * CAST(bytes_out AS DOUBLE) END) AS squares
    FROM tumble(requests, ts, INTERVAL '1 hour')
    WHERE (status BETWEEN 200 AND 299 OR status IN (403, 404, 410)) AND method IN ('GET', 'POST') AND (object IS NOT NULL OR method = 'POST')
    GROUP BY window_start, window_end, route
),
means AS (
    SELECT w.window_start, w.window_end, w.route, w.answers,
           w.bytes / CAST(w.answers AS DOUBLE) AS mean, w.squares / w.answers AS square,
           usual.answers AS usual_answers,
           usual.bytes / CAST(usual.answers AS DOUBLE) AS usual_mean, usual.squares / usual.answers AS usual_square,
           greatest(usual.bytes / CAST(usual.answers AS DOUBLE), after.bytes / CAST(after.answers AS DOUBLE),
                    later.bytes / CAST(later.answers AS DOUBLE)) AS high_mean
    FROM (SELECT *, date_part('hour', window_start) AS hour, CAST((date_part('hour', window_start) + 1) % 24 AS INT) AS hour_after,
                 CAST((date_part('hour', window_start) + 2) % 24 AS INT) AS hour_later FROM hours) w
    LEFT JOIN route_traffic usual
      ON usual.route = w.route AND usual.hour = w.hour
     AND w.window_start >= usual.valid_from AND w.window_start < usual.valid_until
    -- (a rush of visitors who get short answers makes one hour's mean short, and the next day's look long)
    LEFT JOIN route_traffic after
      ON after.route = w.route AND after.hour = w.hour_after
     AND w.window_start >= after.valid_from AND w.window_start < after.valid_until
    LEFT JOIN route_traffic later
      ON later.route = w.route AND later.hour = w.hour_later
     AND w.window_start >= later.valid_from AND w.window_start < later.valid_until
    WHERE w.answers >= $min_answers AND usual.answers >= $min_answers
)
SELECT window_start, window_end, route, answers, round(mean) AS bytes, round(high_mean) AS usual_bytes
FROM means
WHERE mean >= $factor * high_mean
  AND mean - usual_mean >= $deviations * sqrt(greatest(square - mean * mean, 0.0) / answers + greatest(usual_square - usual_mean * usual_mean, 0.0) / usual_answers)
