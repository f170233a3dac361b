/*
title = "Attack strings were answered"
severity = "info"
entity = ["kind"]
owasp = ["API7:2023", "API8:2023"]
attack = ["T1595.002", "T1190", "T1552.005"]
quiet = "2d"
description = """
A digest, one alert of a kind for the whole site, with the day's numbers: requests that carry what only attackers write, of which at least one was answered 2xx. `kind` is
- server-side request forgery: the query names, as a URL, the metadata service of a cloud (169.254.169.254 and its other spellings, metadata.google.internal ...), a local file or gopher:;
- code injection: `${jndi:`, templates and shell commands in path or query, paths of known exploits;
- SQL injection, path traversal, cross-site scripting: in path or query.

Why it matters: every site gets thousands of these a day, and nearly all are refused: noise, and quiet here. What was answered is worth a look in the morning: `route` and `query` are
examples, `bytes_out` is the longest answer. What a metadata service tells are the server's own credentials.

Looks alike, is harmless: pages that answer 200 whatever stands in the query, which is most pages, so that the severity is info: send it where nobody is woken, with `severity = "info"` and `group_interval = "1d"`
of a destination of its own, and `severity = "low"` at all others. It is told when the day (UTC) is over.

What it does not see: bodies, headers, names that resolve to an inner address, redirects, strings in pieces. Agents that call themselves scanners count by what they send, not by their name, which anybody can
leave out. Your own scanner: give it an [[exception]]. For files of secrets see sensitive-files, for who looks for what is not there, probing.
"""

[params]
forgery = '''//169.254.169.254|%2f%2f169.254.169.254|//169.254.170.2|%2f%2f169.254.170.2|//0xa9fea9fe|%2f%2f0xa9fea9fe|//2852039166|%2f%2f2852039166|//[::ffff:a9fe:a9fe]|%2f%2f%5b%3a%3affff%3aa9fe%3aa9fe%5d|//[fd00:ec2::254]|%2f%2f%5bfd00%3aec2%3a%3a254%5d|//metadata.google.internal|%2f%2fmetadata.google.internal|//100.100.100.200|%2f%2f100.100.100.200|file:///|file%3a%2f%2f%2f|gopher://|gopher%3a%2f%2f'''
code = '''${jndi:|$%7bjndi|%24{jndi|%24%7bjndi|{{7*7}}|%7b%7b7*7|%7b%7b7%2a7|${7*7}|%24%7b7*7|;cat /|;cat%20/|;cat+/|%3bcat%20/|%3bcat+/|;wget |;wget%20|%3bwget|;curl%20|%3bcurl|$(id)|%24(id|%24%28id|/bin/sh|/bin/bash|%2fbin%2fsh|cmd.exe|eval-stdin.php|allow_url_include|auto_prepend_file|class.module.classloader|invokefunction|__proto__[|_ignition/execute-solution|wls-wsat|/hnap1|boaform/|setup.cgi?next_file|cgi-bin/luci/;stok'''
sql = '''union select|union+select|union%20select|union/**/select|union all select|union+all+select|union%20all%20select|' or '|'+or+'|'%20or%20'|%27+or+|%27%20or%20|' or 1=1|%27or%271|information_schema|pg_sleep|sleep(|sleep%28|benchmark(|benchmark%28|waitfor+delay|waitfor%20delay|xp_cmdshell|extractvalue(|extractvalue%28|updatexml(|updatexml%28|;drop table|%3bdrop|/**/and/**/'''
traversal = '''/../|..%2f|%2e%2e/|%2e%2e%2f|.%2e/|%2e./|..%5c|..\|%252e%252e|..%252f|..%c0%af|/..;/|/etc/passwd|%2fetc%2fpasswd|etc%2fshadow|/proc/self/|proc%2fself|win.ini|boot.ini|php://|php%3a%2f%2f'''
script = '''<script|%3cscript|<svg|%3csvg|<img|%3cimg|<iframe|%3ciframe|onerror=|onerror%3d|javascript:|javascript%3a|alert(|alert%28|document.cookie'''
*/
SELECT window_start, window_end, kind,
       count(*) AS requests,
       sum(CASE WHEN status BETWEEN 200 AND 299 THEN 1 ELSE 0 END) AS answered,
       approx_distinct(client) AS clients,
       max(CASE WHEN status BETWEEN 200 AND 299 THEN bytes_out END) AS bytes_out,
       min(CASE WHEN status BETWEEN 200 AND 299 THEN route END) AS route,
       min(CASE WHEN status BETWEEN 200 AND 299 THEN query END) AS query
FROM (
    SELECT window_start, window_end, client, status, bytes_out, route, query,
           CASE WHEN contains_any(query, $forgery) THEN 'server-side request forgery'
                WHEN contains_any(path, $code) OR contains_any(query, $code) THEN 'code injection'
                WHEN contains_any(path, $sql) OR contains_any(query, $sql) THEN 'SQL injection'
                WHEN contains_any(path, $traversal) OR contains_any(query, $traversal) THEN 'path traversal'
                ELSE 'cross-site scripting' END AS kind
    FROM tumble(requests, ts, INTERVAL '1 day')
    WHERE contains_any(path, $code || '|' || $sql || '|' || $traversal || '|' || $script)
       OR contains_any(query, $forgery || '|' || $code || '|' || $sql || '|' || $traversal || '|' || $script)
)
GROUP BY window_start, window_end, kind
HAVING sum(CASE WHEN status BETWEEN 200 AND 299 THEN 1 ELSE 0 END) >= 1
