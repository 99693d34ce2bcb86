"""A writer of atomic writes: each request has rows of the table and the same rows of a second one. Neither may ever be there without the other."""

import json
import time

from wire import Answer, Violation, make_row
from writers import Writer


class AtomicDoor:
    """Takes what an HTTP client takes, so that the writer need not know: rows for the table, doubled into the second one."""

    def __init__(self, run):
        self.run, self.client = run, run.client()

    def request(self, url, _method, path, body, headers):
        table, second = self.run.options.table, self.run.second
        rows = json.loads(body)
        write = {"tables": {table: {"rows": rows}, second: {"rows": rows}}}
        if "expected_offset=" in path:
            write["expected_offset"] = {second: {"0": 999999999999}}
        answer = self.client.request(url, "POST", self.run.write, json.dumps(write).encode(), headers)
        return ack_of_rows(answer, table, second) if answer.status == 200 else answer


def ack_of_rows(answer, table, second):
    """An answer of `write` in the form of an answer of `rows`, and beside it where the second table's rows are."""
    told = answer.json()
    tables = told["tables"]
    if set(tables) != {table, second} or tables[table]["rows"] != tables[second]["rows"]:
        raise Violation(f"rows of two tables were sent, the ack says {answer.brief()}")
    ack = {"rows": tables[table]["rows"], "slot": told["slot"], "duplicate": told["duplicate"]}
    ack.update(buckets=tables[table]["buckets"], beside=tables[second]["buckets"])
    return Answer(200, answer.headers, json.dumps(ack).encode())


class AtomicWriter(Writer):
    """An idempotent producer of atomic writes. Its rows of the table are judged as any writer's; those of the second table must be the same."""

    def __init__(self, run, number, first_seq, may_have_been_sent):
        super().__init__(run, number, first_seq, may_have_been_sent)
        self.door = AtomicDoor(run)

    def request_of(self, seq):
        path, body, headers, refuse = super().request_of(seq)
        return path if refuse else path.split("?")[0], body, headers, refuse

    def send_bad_rows(self):
        """Good rows of the table, a bad one of the second: nothing of either is written."""
        header, seq = self.run.header, -1 - self.seq
        good = make_row(header["run"], self.number, seq, 0)
        write = {"tables": {self.run.options.table: {"rows": [good]}, self.run.second: {"rows": [dict(good, i="one")]}}}
        _, _, headers, _ = self.request_of(self.seq)
        self.door, door = self.door.client, self.door
        give_up = time.monotonic() + self.run.options.settle
        answer, _ = self.settle(self.run.write, json.dumps(write).encode(), headers, give_up)
        self.door = door
        if answer.status != 422:
            raise Violation(f"a row of the wrong type in one of two tables was answered with {answer.brief()}")
        self.run.journal.add({"kind": "refused", "writer": self.number, "seq": seq})
        self.run.count("requests refused as they should be")
