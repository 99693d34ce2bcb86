#!/usr/bin/env python3
"""A checker that finds nothing proves nothing until it has found something: each fault planted in a small fake gateway must be found,
and a fake that only loses answers, refuses for a while and answers late must pass.

    python3 tests/checker/check_test.py
"""

import json
import os
import random
import re
import subprocess
import sys
import tempfile
import threading
import unittest
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

HERE = os.path.dirname(os.path.abspath(__file__))
GOOD_LAST_LINE = re.compile(r"^acked [1-9][0-9]* lost 0 doubled 0 gaps 0$")


class FakeLog:
    """One bucket's rows and the producers' verdicts, in memory; `fault` breaks one promise, now and then."""

    def __init__(self, fault, unreliable):
        self.fault, self.unreliable = fault, unreliable
        self.rows, self.producers, self.slot = [], {}, 0
        self.second = []  # the other table of atomic writes, without faults but one
        self.lock = threading.Lock()
        self.chance = random.Random(7)
        self.requests = 0

    def now_and_then(self):
        return self.requests % 17 == 0

    def produce(self, rows, query, producer):
        """(status, document) of one request."""
        self.requests += 1
        if any(not isinstance(row["i"], int) for row in rows):
            if self.fault == "writes part of a refused request":
                self.rows.append(rows[0])
            return 422, {"retry": "never", "outcome": "not-committed"}
        name, seq = producer
        if name is not None:
            last, verdicts = self.producers.setdefault(name, (-1, {}))
            if seq in verdicts and not (self.fault == "forgets a producer" and self.chance.random() < 0.5):
                status, document = verdicts[seq]
                return status, dict(document, duplicate=True) if status == 200 else document
            if seq > last + 1:
                return 409, {"expected": last + 1, "retry": "never"}
        status, document = self.commit(rows, query)
        if name is not None:
            verdicts[seq] = (status, document)
            self.producers[name] = (seq, verdicts)
        return status, document

    def write(self, tables, expected, producer):
        """An atomic write: the same rows to both tables."""
        (name, rows), (other, others) = ((table, part["rows"]) for table, part in tables.items())
        query = {"expected_offset": expected[other]["0"]} if expected else {}
        if any(not isinstance(row["i"], int) for row in others):
            if self.fault == "writes one table of a refused request":
                self.rows.extend(rows)
            return 422, {"retry": "never", "outcome": "not-committed"}
        status, document = self.produce(rows, query, producer)
        if status != 200:
            return status, document
        place = dict(document["buckets"][0])
        if not document["duplicate"] and not (self.fault == "writes one table of two" and self.now_and_then()):
            place.update(start=len(self.second), end=len(self.second) + len(rows))
            self.second.extend(rows)
            document["beside"] = place
        halves = ((name, document["buckets"]), (other, [document.get("beside", place)]))
        told = {table: {"rows": len(rows), "buckets": buckets} for table, buckets in halves}
        return 200, {"rows": 2 * len(rows), "slot": document["slot"], "duplicate": document["duplicate"], "tables": told}

    def commit(self, rows, query):
        start = len(self.rows)
        if "expected_offset" in query and int(query["expected_offset"]) != start:
            if self.fault == "writes what it refuses":
                self.rows.extend(rows)
            return 412, {"actual": start, "retry": "never", "outcome": "not-committed"}
        self.slot += 1
        answer = {"rows": len(rows), "slot": self.slot, "duplicate": False, "buckets": [{"bucket": 0, "start": start, "end": start + len(rows)}]}
        if self.fault == "acks without writing" and self.now_and_then():
            return 200, answer
        if self.fault == "loses a row of a request" and self.now_and_then():
            rows = rows[:-1]
        if self.fault == "skips an offset" and self.now_and_then():
            self.rows.append(None)
        if self.fault == "turns rows around" and self.now_and_then():
            rows = rows[::-1]
        if self.fault == "spoils a payload" and self.now_and_then():
            rows = [dict(rows[0], payload="spoilt"), *rows[1:]]
        self.rows.extend(rows)
        return 200, answer

    def end(self, port):
        """How far a gateway sees."""
        if self.fault == "answers stale through one gateway" and port % 2 == 1:
            return max(0, len(self.rows) - 9)
        return len(self.rows)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_):
        pass

    def answer(self, status, document, headers=()):
        body = json.dumps(document).encode()
        self.send_response(status)
        for name, value in (("Content-Length", str(len(body))), *headers):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def do_PUT(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.answer(201, {})

    def do_POST(self):
        log = self.server.log
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        query = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(self.path).query))
        seq = self.headers.get("Producer-Seq")
        with log.lock:
            before, after = log.chance.random(), log.chance.random()
            if log.unreliable and before < 0.05:
                return self.answer(503, {"retry": "after", "outcome": "not-committed"}, [("Retry-After", "0")])
            producer = (self.headers.get("Producer-Id"), None if seq is None else int(seq))
            if self.path.endswith("/write"):
                status, document = log.write(body["tables"], body.get("expected_offset"), producer)
            else:
                status, document = log.produce(body, query, producer)
        if log.unreliable and after < 0.05:
            self.close_connection = True
            return self.connection.close()
        if log.unreliable and after < 0.08:
            return self.answer(504, {"retry": "same", "outcome": "unknown"})
        return self.answer(status, document)

    def do_GET(self):
        log = self.server.log
        parts = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(parts.query))
        second = "_too/" in parts.path
        with log.lock:
            rows = log.second if second else log.rows
            end = len(rows) if second else log.end(self.server.turn)
            if parts.path.endswith("/offsets"):
                return self.answer(200, {"buckets": [{"bucket": 0, "earliest": 0, "latest": end}]})
            start = 0 if query["from"] == "earliest" else int(query["from"].split(":")[-1])
            stop = min(end, start + int(query["limit"]))
            found = [dict(rows[o], __bucket=0, __offset=o) for o in range(start, stop) if rows[o] is not None]
            return self.answer(200, found, [("Frazil-Next", f"0:{stop}"), ("Frazil-Caught-Up", str(stop == end).lower())])


def check(fault=None, unreliable=False, arguments=("--requests", "60")):
    """Runs check.py against two fake gateways over one log: (exit code, its lines)."""
    log = FakeLog(fault, unreliable)
    servers = []
    for turn in range(2):
        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.log, server.turn, server.daemon_threads = log, turn, True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
    urls = [part for server in servers for part in ("--url", f"http://127.0.0.1:{server.server_address[1]}")]
    command = [sys.executable, os.path.join(HERE, "check.py"), *arguments, *urls, "--settle", "10"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    for server in servers:
        server.shutdown()
        server.server_close()
    return done.returncode, done.stdout.splitlines(), done.stderr


class CheckTest(unittest.TestCase):
    def assert_good(self, outcome):
        code, lines, errors = outcome
        self.assertEqual(code, 0, (lines, errors))
        self.assertRegex(lines[-1], GOOD_LAST_LINE)

    def assert_found(self, fault, words, arguments=("--requests", "60")):
        code, lines, _ = check(fault, unreliable=fault == "forgets a producer", arguments=arguments)
        self.assertEqual(code, 1, lines)
        self.assertNotRegex(lines[-1], GOOD_LAST_LINE)
        self.assertIn(words, "\n".join(lines))

    def test_a_correct_gateway_passes(self):
        self.assert_good(check())

    def test_lost_answers_refusals_and_unknown_outcomes_pass(self):
        self.assert_good(check(unreliable=True, arguments=("--requests", "80", "--plain")))

    def test_atomic_writes_pass(self):
        self.assert_good(check(unreliable=True, arguments=("--requests", "60", "--writers", "1", "--atomic", "2")))

    def test_an_atomic_write_in_part(self):
        for fault in ("writes one table of two", "writes one table of a refused request"):
            self.assert_found(fault, "in part", ("--requests", "60", "--writers", "1", "--atomic", "2"))

    def test_nothing_acked_is_no_success(self):
        code, lines, _ = check(arguments=("--requests", "0"))
        self.assertEqual(code, 1)
        self.assertIn("proves nothing", lines[-1])

    def test_a_row_acked_and_not_written(self):
        self.assert_found("acks without writing", "VIOLATION")

    def test_a_row_lost(self):
        self.assert_found("loses a row of a request", "VIOLATION")

    def test_a_retry_that_writes_twice(self):
        self.assert_found("forgets a producer", "VIOLATION")

    def test_a_gap_in_the_offsets(self):
        self.assert_found("skips an offset", "missing")

    def test_rows_out_of_order(self):
        self.assert_found("turns rows around", "order")

    def test_a_spoilt_row(self):
        self.assert_found("spoils a payload", "wrong checksum")

    def test_a_refused_request_that_is_there(self):
        self.assert_found("writes what it refuses", "refused, and yet there")

    def test_a_refused_request_that_is_there_in_part(self):
        self.assert_found("writes part of a refused request", "refused, and yet there")

    def test_a_stale_answer(self):
        self.assert_found("answers stale through one gateway", "VIOLATION")


class WriteThenVerifyTest(unittest.TestCase):
    def test_a_writer_killed_and_started_again_goes_on_and_its_journal_is_verified(self):
        log = FakeLog(None, True)
        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.log, server.turn, server.daemon_threads = log, 0, True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}"
        with tempfile.TemporaryDirectory() as scratch:
            journal = os.path.join(scratch, "acks.jsonl")
            command = [sys.executable, os.path.join(HERE, "check.py")]
            for _ in range(2):
                writer = subprocess.Popen([*command, "write", "--url", url, "--journal", journal, "--plain"], stdout=subprocess.DEVNULL)
                threading.Event().wait(1.5)
                writer.kill()
                writer.wait()
            with open(journal, "ab") as file:
                file.write(b'{"kind":"ack","writ')
            last = [*command, "write", "--requests", "20", "--url", url, "--journal", journal, "--plain"]
            self.assertEqual(subprocess.run(last, stdout=subprocess.DEVNULL, timeout=60, check=False).returncode, 0)
            done = subprocess.run([*command, "verify", "--url", url, "--journal", journal], capture_output=True, text=True, timeout=60, check=False)
            self.assertEqual(done.returncode, 0, done.stdout)
            self.assertRegex(done.stdout.splitlines()[-1], GOOD_LAST_LINE)
            log.rows.pop()
            done = subprocess.run([*command, "verify", "--url", url, "--journal", journal], capture_output=True, text=True, timeout=60, check=False)
            self.assertEqual(done.returncode, 1, done.stdout)
        server.shutdown()
        server.server_close()


if __name__ == "__main__":
    unittest.main()
