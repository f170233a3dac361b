/*
title = "The server is asked to fetch what only it can reach, and answers"
severity = "high"
mode = "observe"
entity = ["client", "route"]
owasp = ["API7:2023"]
attack = ["T1190", "T1552.005"]
quiet = "3h"
description = """
Finds requests whose query names, as a URL, the metadata service of a cloud (169.254.169.254 and its other spellings, metadata.google.internal, 100.100.100.200), a local file or
gopher:, and which are answered 2xx: server-side request forgery. What the metadata service tells are the server's own credentials.

Looks alike, is harmless: pages that answer 200 whatever stands in the query. Scanners try `?url=http://169.254.169.254/` on every page of the web, so that the rule only observes: look at
`bytes_out` beside what the route usually answers, and give it `mode = "alert"` in a copy of yours, with a condition on the routes that do fetch for their callers (`AND route IN (...)`).

What it does not see: a body, names that resolve to such an address, redirects. A search for the address itself is no URL, and quiet.
"""
*/
SELECT window_start, window_end, client, route,
       count(*) AS requests,
       max(bytes_out) AS bytes_out,
       min(query) AS query
FROM tumble(requests, ts, INTERVAL '1 minute')
WHERE status BETWEEN 200 AND 299 AND query IS NOT NULL
  AND contains_any(query, '//169.254.169.254|%2f%2f169.254.169.254|//169.254.170.2|%2f%2f169.254.170.2|//0xa9fea9fe|%2f%2f0xa9fea9fe|//2852039166|%2f%2f2852039166|//[::ffff:a9fe:a9fe]|%2f%2f%5b%3a%3affff%3aa9fe%3aa9fe%5d|//[fd00:ec2::254]|%2f%2f%5bfd00%3aec2%3a%3a254%5d|//metadata.google.internal|%2f%2fmetadata.google.internal|//100.100.100.200|%2f%2f100.100.100.200|file:///|file%3a%2f%2f%2f|gopher://|gopher%3a%2f%2f')
GROUP BY window_start, window_end, client, route
