"""The journal: one JSON object a line, each on disk before the writer goes on."""

import copy
import json
import os
import threading


class Journal:
    def __init__(self, path):
        self.path = path
        self.lock = threading.Lock()
        drop_torn_line(path)
        self.file = open(path, "ab")

    def add(self, entry):
        with self.lock:
            self.file.write(json.dumps(entry, separators=(",", ":")).encode() + b"\n")
            self.file.flush()
            os.fsync(self.file.fileno())


def drop_torn_line(path):
    if os.path.exists(path):
        with open(path, "rb+") as file:
            whole = file.read()
            file.truncate(whole.rfind(b"\n") + 1)


class History:
    """What a journal says: the run, and what became of each (writer, seq)."""

    def __init__(self, path):
        self.header = None
        self.acked = {}  # (writer, seq) -> buckets of the answer, or None
        self.beside = {}  # the same in the second table, of atomic writes
        self.refused = set()
        self.maybe = set()
        with open(path, "rb") as file:
            lines = file.read().split(b"\n")
        for line in lines[:-1]:  # what follows the last newline is torn
            entry = json.loads(line)
            key = (entry.get("writer"), entry.get("seq"))
            if entry["kind"] == "run":
                self.header = entry
            elif entry["kind"] == "ack":
                self.acked[key] = entry["buckets"]
                if "beside" in entry:
                    self.beside[key] = entry["beside"]
                self.maybe.discard(key)
            elif entry["kind"] == "refused":
                self.refused.add(key)
                self.maybe.discard(key)
            elif entry["kind"] == "sent":
                self.maybe.add(key)

    def of_second_table(self):
        """What the second table must hold: what atomic writes were acknowledged, and nothing that was refused."""
        history = copy.copy(self)
        history.acked = self.beside
        return history

    def next_seq(self, writer):
        seqs = [seq for (of, seq) in self.acked.keys() | self.refused if of == writer and seq >= 0]
        return max(seqs) + 1 if seqs else 0

    def next_plain_seq(self, writer):
        seqs = [seq for (of, seq) in self.acked.keys() | self.maybe | self.refused if of == writer and seq >= 0]
        return max(seqs) + 1 if seqs else 0
