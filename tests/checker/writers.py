"""The writers: they send until an answer settles the request, and write down what was acknowledged."""

import http.client
import json
import sys
import time

from wire import (
    BACKOFF_MAX_S,
    Unsettled,
    Violation,
    is_meant_to_be_refused,
    is_preceded_by_bad_rows,
    is_read_back,
    is_sent_twice,
    make_row,
    retry_after_s,
)


class Writer:
    """An idempotent producer: the same request again until an answer settles it."""

    def __init__(self, run, number, first_seq, may_have_been_sent):
        self.run, self.number, self.seq = run, number, first_seq
        self.client = self.door = run.client()  # the door is what writes go through
        self.sendings = number  # chooses the URL
        self.may_have_been_sent = may_have_been_sent
        self.last_slot = -1

    def write(self):
        options = self.run.options
        requests = 0
        give_up = None if options.seconds is None else time.monotonic() + options.seconds + options.settle
        try:
            while not self.run.stop.is_set() and (options.requests is None or requests < options.requests):
                if is_preceded_by_bad_rows(self.seq) and not self.run.header["no_refusals"]:
                    self.send_bad_rows()
                self.one_request(give_up)
                self.seq += 1
                requests += 1
        except Unsettled as error:
            self.run.count("requests given up unsettled")
            print(f"writer {self.number} seq {self.seq} was given up: {error}", file=sys.stderr)
        except Violation as error:
            self.run.violated(f"writer {self.number} seq {self.seq}: {error}")

    def next_url(self):
        self.sendings += 1
        return self.run.options.url[self.sendings % len(self.run.options.url)]

    def request_of(self, seq):
        header = self.run.header
        rows = [make_row(header["run"], self.number, seq, i) for i in range(header["rows_per_request"])]
        refuse = is_meant_to_be_refused(seq) and not header["no_refusals"]
        query = "?bucket=0&expected_offset=999999999999" if refuse else ""
        headers = {"Producer-Id": f"{header['run']}-{self.number}", "Producer-Epoch": "0", "Producer-Seq": str(seq)}
        return self.run.base + "/rows" + query, json.dumps(rows).encode(), headers, refuse

    def one_request(self, give_up):
        path, body, headers, refuse = self.request_of(self.seq)
        answer, attempts = self.settle(path, body, headers, give_up)
        key = {"writer": self.number, "seq": self.seq}
        if refuse:
            if answer.status != 412:
                raise Violation(f"expected_offset cannot hold, yet the answer is {answer.brief()}")
            self.run.journal.add({"kind": "refused", **key})
            self.run.count("requests refused as they should be")
        else:
            ack = self.checked_ack(answer, attempts)
            beside = {"beside": ack["beside"]} if "beside" in ack else {}
            self.run.journal.add({"kind": "ack", **key, "slot": ack["slot"], "buckets": ack["buckets"], **beside})
            self.run.count("requests acked")
            self.run.count("rows acked", ack["rows"])
            if is_read_back(self.seq) and ack["buckets"]:
                self.read_back(ack["buckets"][0])
        self.may_have_been_sent = False
        if is_sent_twice(self.seq):
            self.send_again(path, body, headers, answer)

    def settle(self, path, body, headers, give_up):
        """The answer that settles the request, and how many attempts it took. 4xx answers settle it, except 408 and 429."""
        attempts, wait_s, last = 0, 0.02, "nothing was tried"
        while give_up is None or time.monotonic() < give_up:
            attempts += 1
            pause_s = wait_s
            try:
                answer = self.door.request(self.next_url(), "POST", path, body, headers)
                retry = answer.problem().get("retry") if answer.status >= 400 else None
                if answer.status < 500 and answer.status not in (408, 429) and retry not in ("same", "after"):
                    return answer, attempts
                self.run.count(f"answers {answer.status}")
                pause_s = retry_after_s(answer, wait_s)
                last = answer.brief()
                if answer.status in (429, 503) and answer.headers.get("Retry-After") is None:
                    raise Violation(f"{answer.status} without Retry-After: {last}")
            except (OSError, http.client.HTTPException) as error:
                self.run.count("attempts without an answer")
                last = repr(error)
            time.sleep(min(pause_s, 5.0))
            wait_s = min(wait_s * 2, BACKOFF_MAX_S)
        raise Unsettled(last)

    def checked_ack(self, answer, attempts):
        if answer.status != 200:
            raise Violation(f"a good request was refused: {answer.brief()}")
        ack = answer.json()
        rows = self.run.header["rows_per_request"]
        if ack.get("rows") != rows:
            raise Violation(f"{rows} rows sent, the ack says {ack.get('rows')}")
        if ack.get("duplicate") and attempts == 1 and not self.may_have_been_sent:
            raise Violation(f"called a duplicate though it was sent once: {answer.brief()}")
        if ack["buckets"] is not None and sum(b["end"] - b["start"] for b in ack["buckets"]) != rows:
            raise Violation(f"the acked ranges do not hold {rows} rows: {answer.brief()}")
        if ack["slot"] is not None:
            if ack["slot"] < self.last_slot:
                raise Violation(f"slot {ack['slot']} after slot {self.last_slot}")
            self.last_slot = ack["slot"]
        return ack

    def send_again(self, path, body, headers, first):
        """The same request once more: nothing is added, and the answer is the first one."""
        again, _ = self.settle(path, body, headers, time.monotonic() + self.run.options.settle)
        self.run.count("requests sent twice on purpose")
        if again.status != first.status:
            raise Violation(f"sent again: first {first.brief()}, then {again.brief()}")
        if again.status == 200 and (not again.json().get("duplicate") or again.json()["buckets"] != first.json()["buckets"]):
            raise Violation(f"sent again: first {first.brief()}, then {again.brief()}")

    def read_back(self, place):
        """What was acked anywhere is readable everywhere, at once."""
        bucket, start = place["bucket"], place["start"]
        url = self.next_url()
        path = f"{self.run.base}/rows?format=json&bucket={bucket}&from={start}&limit={place['end'] - start}"
        answer = self.client.read(url, path, time.monotonic() + self.run.options.settle)
        found = [(row["writer"], row["seq"]) for row in answer.json()] if answer.status == 200 else answer.brief()
        if found != [(self.number, self.seq)] * (place["end"] - start):
            raise Violation(f"acked at {bucket}:{start}, read at once through {url}: {str(found)[:300]}")
        self.run.count("acks read back at once")

    def send_bad_rows(self):
        header = self.run.header
        good = make_row(header["run"], self.number, -1 - self.seq, 0)
        bad = dict(good, i="one")
        path, _, headers, _ = self.request_of(self.seq)
        give_up = time.monotonic() + self.run.options.settle
        answer, _ = self.settle(path.split("?")[0], json.dumps([good, bad]).encode(), headers, give_up)
        if answer.status != 422:
            raise Violation(f"a row of the wrong type was answered with {answer.brief()}")
        self.run.journal.add({"kind": "refused", "writer": self.number, "seq": -1 - self.seq})
        self.run.count("requests refused as they should be")


class PlainWriter(Writer):
    """A writer without producer headers: never sends again, and may not know what became of a request."""

    def write(self):
        path = self.run.base + "/rows"
        header = self.run.header
        while not self.run.stop.is_set():
            rows = [make_row(header["run"], self.number, self.seq, i) for i in range(header["rows_per_request"])]
            key = {"writer": self.number, "seq": self.seq}
            self.run.journal.add({"kind": "sent", **key})
            try:
                answer = self.client.request(self.next_url(), "POST", path, json.dumps(rows).encode())
                if answer.status == 200:
                    self.run.journal.add({"kind": "ack", **key, "slot": answer.json()["slot"], "buckets": answer.json()["buckets"]})
                    self.run.count("plain requests acked")
                    self.run.count("rows acked", header["rows_per_request"])
                elif answer.problem().get("outcome") == "not-committed":
                    self.run.journal.add({"kind": "refused", **key})
                    self.run.count("plain requests refused")
            except (OSError, http.client.HTTPException):
                self.run.count("plain requests of unknown outcome")
            except Violation as error:
                self.run.violated(f"plain writer seq {self.seq}: {error}")
            self.seq += 1
            self.run.stop.wait(0.05)
