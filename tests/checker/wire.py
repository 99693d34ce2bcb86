"""What is sent, how it is sent, and the two ways in which a run can fail."""

import hashlib
import http.client
import json
import time
import urllib.parse

ATTEMPT_TIMEOUT_S = 40.0  # longer than a gateway's own request deadline (25 s)
BACKOFF_MAX_S = 2.0


class Violation(Exception):
    """Frazil broke a promise."""


class Unsettled(Exception):
    """No answer that settles the request came in time."""


# The rows: a function of (run, writer, seq, i).


def make_row(run, writer, seq, i):
    payload = hashlib.sha256(f"{run}/{writer}/{seq}/{i}".encode()).hexdigest()[: 8 + (seq * 7 + i) % 56]
    return {"run": run, "writer": writer, "seq": seq, "i": i, "payload": payload, "checksum": checksum(run, writer, seq, i, payload)}


def checksum(run, writer, seq, i, payload):
    digest = hashlib.sha256(f"{run}|{writer}|{seq}|{i}|{payload}".encode()).digest()
    return int.from_bytes(digest[:7], "big")


def is_meant_to_be_refused(seq):
    """A request whose `expected_offset` cannot hold: the log refuses it, and it uses up its seq."""
    return seq % 23 == 17


def is_sent_twice(seq):
    return seq % 11 == 5


def is_read_back(seq):
    return seq % 13 == 7


def is_preceded_by_bad_rows(seq):
    """Before this one a request with one bad row is sent: all of it is refused, and it uses up no seq."""
    return seq % 29 == 3


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def json(self):
        try:
            return json.loads(self.body)
        except ValueError as error:
            raise Violation(f"status {self.status} with a body that is not JSON: {self.body[:200]!r}") from error

    def problem(self):
        try:
            document = json.loads(self.body)
            return document if isinstance(document, dict) else {}
        except ValueError:
            return {}

    def brief(self):
        return f"{self.status} {self.body[:300].decode(errors='replace')}"


class Client:
    """One thread's connections, kept open."""

    def __init__(self, urls, token):
        self.urls = urls
        self.token = token
        self.connections = {}

    def request(self, url, method, path, body=None, headers=None, timeout_s=ATTEMPT_TIMEOUT_S):
        """One attempt. OSError and HTTPException mean: no answer, outcome unknown."""
        connection = self.connections.pop(url, None)
        if connection is None:
            parts = urllib.parse.urlsplit(url)
            kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
            connection = kind(parts.hostname, parts.port, timeout=timeout_s)
        elif connection.sock is not None:
            connection.sock.settimeout(timeout_s)
        all_headers = {"Content-Type": "application/json"} if body is not None else {}
        all_headers.update(headers or {})
        if self.token:
            all_headers["Authorization"] = "Bearer " + self.token
        try:
            connection.request(method, path, body=body, headers=all_headers)
            response = connection.getresponse()
            answer = Answer(response.status, response.headers, response.read())
        except BaseException:
            connection.close()
            raise
        if response.will_close:
            connection.close()
        else:
            self.connections[url] = connection
        return answer

    def read(self, url, path, deadline):
        """A GET repeated until it has an answer other than `not now`."""
        wait_s = 0.05
        last = "nothing was tried"
        while time.monotonic() < deadline:
            try:
                answer = self.request(url, "GET", path)
                if answer.status < 500 and answer.status != 429:
                    return answer
                last = answer.brief()
            except (OSError, http.client.HTTPException) as error:
                last = repr(error)
            time.sleep(wait_s)
            wait_s = min(wait_s * 2, BACKOFF_MAX_S)
        raise Unsettled(f"GET {path} at {url}: {last}")


def retry_after_s(answer, otherwise):
    try:
        return min(float(answer.headers.get("Retry-After", "")), 5.0)
    except ValueError:
        return otherwise
