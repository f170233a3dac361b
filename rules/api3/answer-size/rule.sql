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
long as those of the same hour of an earlier day, and the difference is `deviations` times its own standard error. Lengths are averaged on a logarithmic scale, so that one long
answer counts for little.

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
           count(CASE WHEN status < 300 AND bytes_out > 0 THEN ln(bytes_out) END) AS answers,
           avg(CASE WHEN status < 300 AND bytes_out > 0 THEN ln(bytes_out) END) AS log_bytes,
           var_pop(CASE WHEN status < 300 AND bytes_out > 0 THEN ln(bytes_out) END) AS log_bytes_variance
    FROM tumble(requests, ts, INTERVAL '1 hour')
    WHERE (status BETWEEN 200 AND 299 OR status IN (403, 404, 410)) AND method IN ('GET', 'POST') AND (object IS NOT NULL OR method = 'POST')
    GROUP BY window_start, window_end, route
)
SELECT w.window_start, w.window_end, w.route, w.answers,
       round(exp(w.log_bytes)) AS bytes,
       round(exp(usual.log_bytes)) AS usual_bytes
FROM (SELECT *, date_part('hour', window_start) AS hour FROM hours) w
LEFT JOIN route_traffic usual
  ON usual.route = w.route AND usual.hour = w.hour
 AND w.window_start >= usual.valid_from AND w.window_start < usual.valid_until
WHERE w.answers >= $min_answers AND usual.answers >= $min_answers
  AND w.log_bytes - usual.log_bytes >= ln($factor)
  AND w.log_bytes - usual.log_bytes >= $deviations * sqrt(w.log_bytes_variance / w.answers + usual.log_bytes_variance / usual.answers)
