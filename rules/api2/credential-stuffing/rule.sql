/*
title = "One client tries many passwords, and some fit"
severity = "high"
entity = ["client"]
owasp = ["API2:2023"]
attack = ["T1110.004", "T1110.003"]
params = { min_users = 10, min_failures = 30, min_failure_ratio = 0.8 }
quiet = "3h"
description = """
Finds a client whose sign-ins within an hour mostly fail (`min_failure_ratio`) and which either tries at least `min_users` different users (where the
log names them), or fails at least `min_failures` times and gets in at least once.

Why it matters: lists of stolen passwords fit one account in some hundred. A failure is noise; the success among them is an account taken over.

Looks alike, is harmless: one stale password that an app retries for ever (it never gets in; an agent with `min_failures` failures and no success
is left out, so that the colleagues who do get in from the same address are not held against it), an office that signs in at nine (one in ten mistypes,
not eight of ten). A stale password that is put right at last looks like a guessed one and does fire, once: look at who it was.

It knows sign-ins by POST to common names (login, signin, session, token, auth, wp-login.php ...) and failures by 400, 401, 403, 422 or 429. At token
endpoints 400 does not count: it is how devices are told to wait. Forms that answer a wrong password with 200 hide from it, and so do
lists spread over so many addresses that each fails less than `min_failures` times an hour.
"""
*/
WITH agents AS (
    SELECT window_start, window_end, client, user_agent,
           count(*) AS attempts,
           sum(CASE WHEN status IN (401, 403, 422, 429) OR (status = 400 AND route NOT LIKE '%token%') THEN 1 ELSE 0 END) AS failures,
           sum(CASE WHEN status < 400 THEN 1 ELSE 0 END) AS successes,
           approx_distinct("user") AS users
    FROM hop(requests, ts, INTERVAL '30 minutes', INTERVAL '1 hour')
    WHERE method = 'POST'
      AND regexp_like(lower(route), '/(log-?in|sign-?in|sessions?|(oauth2?/)?token|auth|authenticate|wp-login\.php|xmlrpc\.php)/?$')
    GROUP BY window_start, window_end, client, user_agent
),
clients AS (
    SELECT window_start, window_end, client,
           sum(attempts) AS attempts,
           sum(failures) AS failures,
           sum(successes) AS successes,
           sum(users) AS users,
           count(*) AS agents
    FROM agents
    WHERE successes > 0 OR failures < $min_failures OR users >= $min_users
    GROUP BY window_start, window_end, client
)
SELECT window_start, window_end, client, attempts, failures, successes, users, agents
FROM clients
WHERE failures >= $min_failure_ratio * attempts
  AND (users >= $min_users OR (failures >= $min_failures AND successes > 0))
