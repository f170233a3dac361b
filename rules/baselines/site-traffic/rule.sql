/*
title = "How much the site is used at an hour of the day"
kind = "baseline"
entity = ["hour"]
max_age = "14d"
description = "Requests that read objects, or ask for something in a body (POST), by hour of the day (UTC), of all routes together: what a rush of visitors raises."
*/
SELECT window_start, window_end,
       date_part('hour', window_start) AS hour,
       count(*) AS requests
FROM tumble(requests, ts, INTERVAL '1 hour')
WHERE (status BETWEEN 200 AND 299 OR status IN (403, 404, 410)) AND method IN ('GET', 'POST') AND (object IS NOT NULL OR method = 'POST')
GROUP BY window_start, window_end
