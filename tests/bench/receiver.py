"""`tripline run` and the other end of its webhooks, on loopback."""

import base64
import contextlib
import hashlib
import hmac
import http.server
import os
import signal
import subprocess
import threading

from tool import Failure

SECRET = b"k" * 32


class Receiver(http.server.ThreadingHTTPServer):
    """Checks every signature. `answer(id, body)` says with which status it answers; one call at a time."""
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, answer):
        self.answer, self.lock, self.wrong = answer, threading.Lock(), []
        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def destination(self, home):
        """What stands in the config."""
        (home / "secret").write_text(f"whsec_{base64.b64encode(SECRET).decode()}\n")
        return ('[[destination]]\nname = "bench"\nallow_http = true\nsecret_file = "secret"\n'
                f'url = "http://127.0.0.1:{self.server_port}/"\n')

    def take(self, headers, body):
        with self.lock:
            message = headers["webhook-id"]
            content = f"{message}.{headers['webhook-timestamp']}.".encode() + body
            mac = base64.b64encode(hmac.digest(SECRET, content, hashlib.sha256)).decode()
            if headers["webhook-signature"] != f"v1,{mac}":
                self.wrong.append(f"{message}: the signature")
            return self.answer(message, body)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        self.send_response(self.server.take(self.headers, body))
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


class Run:
    """A `tripline run`; once it has ended, what it used."""

    def __init__(self, process):
        self.process, self.pid, self.usage = process, process.pid, None


@contextlib.contextmanager
def running(bench, home, config):
    """`tripline run` for as long as the block lasts; then SIGTERM, after which it must end well."""
    with open(home / "run.err", "wb") as errors:
        run = Run(subprocess.Popen([bench.tripline, "run", "-c", config], stdin=subprocess.DEVNULL, stderr=errors))
    try:
        yield run
    finally:
        run.process.send_signal(signal.SIGTERM)
        _, status, run.usage = os.wait4(run.pid, 0)
        run.process.returncode = os.waitstatus_to_exitcode(status)
    if run.process.returncode != 0:
        raise Failure(f"tripline run ended with {run.process.returncode}: {(home / 'run.err').read_text()[-500:]}")
