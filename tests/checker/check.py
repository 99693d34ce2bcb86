#!/usr/bin/env python3
"""Points at any running Frazil, writes to it, and proves from outside that no acknowledged row was lost or doubled.

    check.py --url http://127.0.0.1:7777                        write for 20 s, follow meanwhile, then verify
    check.py --url A --url B --seconds 300                      the same through two gateways at once
    check.py write  --journal acks.jsonl --url A --seconds 60   only write; may itself be killed and started again
    check.py verify --journal acks.jsonl --url A                only verify what a journal says was acknowledged

Kill the gateways, the store or the network as you like while it writes. It speaks HTTP only, needs nothing but Python 3, and shares no code with
Frazil. The last line of a good run is exactly `acked N lost 0 doubled 0 gaps 0` (N in rows), and only then the exit code is 0.

How: each writer is an idempotent producer of its own (Producer-Id, -Epoch, -Seq) that sends the same request again until it gets an answer that
settles it. What it sends is a function of (run, writer, seq) alone, so that a restarted writer sends the same bytes. Each acknowledgement goes to
the journal, with fsync, before the next request. Some requests are meant to be refused, some are sent twice, some are read back at once through
another gateway. At the end everything is read through each URL and compared, row by row and offset by offset.
"""

import argparse
import http.client
import json
import os
import sys
import tempfile
import threading
import time

from atomic import AtomicWriter
from journal import History, Journal, drop_torn_line
from readers import Follower, verify
from wire import ATTEMPT_TIMEOUT_S, Client
from writers import PlainWriter, Writer

COLUMNS = "run STRING NOT NULL, writer INT NOT NULL, seq BIGINT NOT NULL, i INT NOT NULL, payload STRING NOT NULL, checksum BIGINT NOT NULL"


class Run:
    def __init__(self, options, header, journal):
        self.options, self.header, self.journal = options, header, journal
        self.violations = []
        self.counts = {}
        self.lock = threading.Lock()
        self.stop = threading.Event()
        database = f"/v1/databases/{options.database}"
        self.second = options.table + "_too"  # the other table of atomic writes
        self.base, self.base_of_second = (f"{database}/tables/{table}" for table in (options.table, self.second))
        self.write = f"{database}/write"

    def violated(self, words):
        with self.lock:
            self.violations.append(words)
        print(f"VIOLATION {words}", file=sys.stderr, flush=True)

    def count(self, what, by=1):
        with self.lock:
            self.counts[what] = self.counts.get(what, 0) + by

    def client(self):
        return Client(self.options.url, self.options.token)


def ensure_tables(run):
    ensure_table(run, run.base, run.options.buckets)
    if run.header.get("atomic"):
        ensure_table(run, run.base_of_second, 1)


def ensure_table(run, base, buckets):
    client, deadline = run.client(), time.monotonic() + run.options.settle
    body = json.dumps({"columns": COLUMNS, "buckets": buckets}).encode()
    last = "nothing was tried"
    while time.monotonic() < deadline:
        try:
            answer = client.request(run.options.url[0], "PUT", base, body)
            if answer.status in (200, 201):
                return
            last = answer.brief()
            if answer.status < 500 and answer.status != 429:
                break
        except (OSError, http.client.HTTPException) as error:
            last = repr(error)
        time.sleep(0.1)
    sys.exit(f"cannot ensure {base}: {last}")


def start_run(options, path):
    """Goes on with the journal's run if there is one, else begins one."""
    if os.path.exists(path):
        drop_torn_line(path)
        history = History(path)
        if history.header is not None:
            return Run(options, history.header, Journal(path)), history
    journal = Journal(path)
    header = {"kind": "run", "run": os.urandom(6).hex(), "rows_per_request": options.rows_per_request, "no_refusals": options.no_refusals}
    first = options.writers + 1 + options.flight
    header["atomic"] = list(range(first, first + options.atomic))
    journal.add(header)
    return Run(options, header, journal), History(path)


def write(run, history):
    resumed = bool(history.acked or history.refused or history.maybe)
    writers = [Writer(run, n, history.next_seq(n), may_have_been_sent=True) for n in range(run.options.writers)]
    if run.options.plain:
        n = run.options.writers
        writers.append(PlainWriter(run, n, history.next_plain_seq(n), False))
    if run.options.flight:
        from flight import FlightWriter

        first = run.options.writers + 1
        for n in range(first, first + run.options.flight):
            writers.append(FlightWriter(run, n, history.next_seq(n), may_have_been_sent=True))
    for n in run.header.get("atomic", []):
        writers.append(AtomicWriter(run, n, history.next_seq(n), may_have_been_sent=True))
    if not resumed:
        for writer in writers:
            writer.may_have_been_sent = False
    threads = [threading.Thread(target=writer.write, daemon=True) for writer in writers]
    for thread in threads:
        thread.start()
    idempotent = [thread for thread, writer in zip(threads, writers) if not isinstance(writer, PlainWriter)]
    if run.options.seconds is not None:
        run.stop.wait(run.options.seconds)
        run.stop.set()
    for thread in idempotent:
        thread.join()
    run.stop.set()
    for thread in threads:
        thread.join(ATTEMPT_TIMEOUT_S + 5)


def run_all(options, path):
    run, history = start_run(options, path)
    ensure_tables(run)
    follower = Follower(run)
    following = threading.Thread(target=follower.follow, daemon=True)
    following.start()
    write(run, history)
    time.sleep(1.0)
    follower.done.set()
    following.join(ATTEMPT_TIMEOUT_S + 5)
    return verify(run, History(path), follower.seen)


def parse_arguments(arguments):
    parser = argparse.ArgumentParser(prog="check.py", description=__doc__.split("\n\n")[0], epilog="See the head of this file.")
    parser.add_argument("mode", nargs="?", choices=["run", "write", "verify"], default="run")
    parser.add_argument("--url", action="append", required=True, help="a gateway; repeat for several")
    parser.add_argument("--database", default="default")
    parser.add_argument("--table", default="frazil_check", help="made if it is not there; other runs' rows in it do no harm")
    parser.add_argument("--buckets", type=int, default=1, help="of the table, when it is made")
    parser.add_argument("--writers", type=int, default=4)
    parser.add_argument("--flight", type=int, default=0, help="so many more writers, by Arrow Flight (needs pyarrow)")
    parser.add_argument("--atomic", type=int, default=0, help="so many more writers of atomic writes: each request to two tables")
    parser.add_argument("--plain", action="store_true", help="one more writer, without producer headers")
    parser.add_argument("--seconds", type=float, help="how long to write (default 20)")
    parser.add_argument("--requests", type=int, help="how many requests each writer sends, in place of --seconds")
    parser.add_argument("--rows-per-request", type=int, default=3)
    parser.add_argument("--no-refusals", action="store_true", help="send no request that is meant to be refused")
    parser.add_argument("--journal", help="where acks are written (default: a temporary file)")
    parser.add_argument("--settle", type=float, default=120.0, help="seconds to wait at most for a gateway that is away")
    parser.add_argument("--token", default=os.environ.get("FRAZIL_TOKEN"))
    options = parser.parse_args(arguments)
    options.url = [url.rstrip("/") for url in options.url]
    if options.mode == "verify" and not options.journal:
        parser.error("verify needs --journal")
    if options.seconds is None and options.requests is None:
        options.seconds = 20.0
    return options


def main(arguments):
    options = parse_arguments(arguments)
    with tempfile.TemporaryDirectory() as scratch:
        path = options.journal or os.path.join(scratch, "acks.jsonl")
        if options.mode == "run":
            return run_all(options, path)
        if options.mode == "verify":
            history = History(path)
            return verify(Run(options, history.header, None), history, None)
        run, history = start_run(options, path)
        ensure_tables(run)
        write(run, history)
        print(f"{run.counts.get('rows acked', 0)} rows acked; verify them with: check.py verify --journal {path}")
        return 1 if run.violations else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
