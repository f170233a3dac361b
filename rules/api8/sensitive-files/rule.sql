/*
title = "A file that must not be public was served"
severity = "critical"
entity = ["path"]
owasp = ["API8:2023"]
attack = ["T1083", "T1552.001"]
params = { catch_all_paths = 4 }
quiet = "1d"
description = """
Finds requests for files with secrets (.env, .git, private keys, cloud credentials, database dumps and backups, wp-config copies, heap dumps, phpinfo ...)
that were answered 2xx with content. The alert is on the file, not on who asked: it is the file that has to go, and the secrets in it that have to be changed.

Why it matters: scanners ask every site for these names every day; nearly always the answer is 404. The one time it is not, they have the keys.

Looks alike, is harmless: a page that answers 200 to any name (single-page apps, "soft 404"). Two signs are used: an answer as long as one that `/`
gave in the same hour, and `catch_all_paths` or more of these names answered with one length. What it cannot tell apart: a catch-all whose answers
differ in length (it writes the name into the page), one asked for fewer names than that in an hour while nobody read `/`, a decoy file, a dump that is
published on purpose. Where the log has no lengths, the signs are missing and every 2xx counts. Conversely, a client that fetches four copies of one
secret file within the hour is taken for a catch-all; and what an application encodes as 200 with an error page is reported.
"""
*/
WITH served AS (
    SELECT window_start, window_end, path, bytes_out,
           count(*) AS requests,
           approx_distinct(client) AS clients
    FROM hop(requests, ts, INTERVAL '30 minutes', INTERVAL '1 hour')
    WHERE status BETWEEN 200 AND 299 AND method IN ('GET', 'POST')
      -- (quick to tell, and true of few requests of an API)
      AND (path LIKE '%.%' OR path LIKE '%/id_%' OR path LIKE '%/heapdump' OR path LIKE '%/actuator/%')
      AND regexp_like(path, '/\.(git|svn|hg|aws|ssh|docker|kube)/.|/\.(env|npmrc|netrc|pgpass|htpasswd|bash_history)($|[.~_-])|/wp-config\.php.|/id_(rsa|dsa|ecdsa|ed25519)$|/(private|privkey|server|ssl|tls)[^/]*\.(key|pem)$|\.(p12|pfx|kdbx)$|/(info|phpinfo)\.php$|/heapdump($|\.)|/actuator/(env|configprops|threaddump)$|/(backup|dump)[^/]*\.(zip|tgz|tar|gz|bak|rar|7z)$|/(database|db|htdocs|site|www)[0-9._-]*\.(zip|tgz|tar|tar\.gz|bak|rar|7z)$|\.sql($|\.)')
      AND bytes_out > 0
    GROUP BY window_start, window_end, path, bytes_out
),
home AS (
    SELECT window_start, window_end, bytes_out
    FROM hop(requests, ts, INTERVAL '30 minutes', INTERVAL '1 hour')
    WHERE path = '/' AND status BETWEEN 200 AND 299
    GROUP BY window_start, window_end, bytes_out
),
lengths AS (
    SELECT *, count(*) OVER (PARTITION BY window_start, bytes_out) AS paths_of_length
    FROM served
)
SELECT l.window_start, l.window_end, l.path,
       sum(l.requests) AS requests,
       max(l.clients) AS clients,
       max(l.bytes_out) AS bytes_out
FROM lengths l
LEFT JOIN home h ON h.window_start = l.window_start AND h.bytes_out = l.bytes_out
WHERE h.bytes_out IS NULL AND l.paths_of_length < $catch_all_paths
GROUP BY l.window_start, l.window_end, l.path
