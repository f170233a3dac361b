/*
title = "CrowdSec http-crawl-non_statics, as documented"
severity = "medium"
entity = ["client"]
params = { names = 40 }
description = """
A comparator, not a rule of ours. 40 different file names (what follows the last slash, without the query) of GET and HEAD requests that are no static files,
by one address, while a bucket leaks one in 0.5 s. A bucket has no window; 20 seconds are as long as it takes to leak 40, so this is
a little stricter on fast clients and misses what a bucket would hold over from before.
"""
*/
SELECT window_start, window_end, client, approx_distinct(regexp_replace(path, '^.*/', '')) AS objects, count(*) AS requests
FROM hop(requests, ts, INTERVAL '10 seconds', INTERVAL '20 seconds')
WHERE method IN ('GET', 'HEAD') AND NOT regexp_like(path, '\.(css|js|png|jpe?g|gif|svg|webp|ico|woff2?|map)$')
GROUP BY window_start, window_end, client
HAVING approx_distinct(regexp_replace(path, '^.*/', '')) > $names
