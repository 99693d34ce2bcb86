"""The readers: a follower while the writers write, and the judge at the end."""

import http.client
import threading
import time

from wire import Unsettled, Violation, checksum, retry_after_s

PAGE_ROWS = 5000
VIOLATIONS_SHOWN = 20


class Follower:
    """Reads with `wait` while the writers write; what it saw must be what is there at the end."""

    def __init__(self, run):
        self.run = run
        self.client = run.client()
        self.seen = {}  # (bucket, offset) -> (run, writer, seq, i)
        self.done = threading.Event()

    def follow(self):
        position, turn = "earliest", 0
        while not self.done.is_set():
            turn += 1
            url = self.run.options.url[turn % len(self.run.options.url)]
            path = f"{self.run.base}/rows?format=json&columns=*,__bucket,__offset&limit={PAGE_ROWS}&wait=1s&from={position}"
            try:
                answer = self.client.request(url, "GET", path)
                if answer.status in (429, 503, 504):
                    self.done.wait(retry_after_s(answer, 0.1))
                    continue
                if answer.status != 200:
                    raise Violation(f"from={position}: {answer.brief()}")
                add_page(self.seen, answer.json())
                position = answer.headers["Frazil-Next"]
            except (OSError, http.client.HTTPException):
                self.done.wait(0.05)
            except Violation as error:
                self.run.violated(f"follower: {error}")
                return


def add_page(seen, rows):
    for row in rows:
        place = (row["__bucket"], row["__offset"])
        what = (row["run"], row["writer"], row["seq"], row["i"])
        if row["checksum"] != checksum(*what, row["payload"]):
            raise Violation(f"the row at {place[0]}:{place[1]} has a wrong checksum: {row}")
        if place in seen:
            raise Violation(f"offset {place[0]}:{place[1]} was delivered twice: {seen[place]}, then {what}")
        seen[place] = what


def offsets(client, base, url, deadline):
    answer = client.read(url, base + "/offsets", deadline)
    if answer.status != 200:
        raise Violation(f"GET offsets at {url}: {answer.brief()}")
    return {b["bucket"]: (b["earliest"], b["latest"]) for b in answer.json()["buckets"]}


def parse_position(text):
    return {int(part.split(":")[0]): int(part.split(":")[1]) for part in text.split(",") if part}


def read_all(run, base, url, deadline):
    """Everything from earliest, through one URL: {(bucket, offset): (run, writer, seq, i)} and the offsets that bound it."""
    client, seen, position = run.client(), {}, "earliest"
    while True:
        path = f"{base}/rows?format=json&columns=*,__bucket,__offset&limit={PAGE_ROWS}&from={position}"
        answer = client.read(url, path, deadline)
        if answer.status != 200:
            raise Violation(f"consume from={position} at {url}: {answer.brief()}")
        add_page(seen, answer.json())
        position = answer.headers["Frazil-Next"]
        if answer.headers.get("Frazil-Caught-Up", "").lower() == "true":
            bounds = offsets(client, base, url, deadline)
            reached = parse_position(position)
            if all(reached.get(bucket, 0) == latest for bucket, (_, latest) in bounds.items()):
                return seen, bounds
        elif not answer.json():
            raise Violation(f"consume from={position} at {url}: no rows, and not caught up")


class Result:
    def __init__(self):
        self.lost = self.doubled = self.gaps = 0
        self.words = []

    def say(self, words):
        self.words.append(words)


def judge(history, seen, bounds, result):
    """Compares what is there with what the journal says."""
    run = history.header["run"]
    for bucket, (earliest, latest) in sorted(bounds.items()):
        missing = [o for o in range(latest) if (bucket, o) not in seen]
        beyond = [o for (b, o) in seen if b == bucket and o >= latest]
        result.gaps += len(missing) + len(beyond)
        if missing or beyond or earliest:
            result.say(f"bucket {bucket}: earliest {earliest}, latest {latest}, {len(missing)} missing {missing[:5]}, {len(beyond)} beyond the tail")
    places, last = {}, {}
    for (bucket, offset), (of, writer, seq, i) in sorted(seen.items()):
        if of != run:
            continue
        places.setdefault((writer, seq), []).append((i, bucket, offset))
        if last.get((writer, bucket), (-1, -1)) >= (seq, i) and seq >= 0:
            result.say(f"order: writer {writer} has seq {seq} row {i} at {bucket}:{offset} after {last[writer, bucket]}")
        last[writer, bucket] = (seq, i)
    for (writer, seq), rows in sorted(places.items()):
        extra = len(rows) - len({i for i, _, _ in rows})
        if extra:
            result.doubled += extra
            result.say(f"doubled: writer {writer} seq {seq} at {[(b, o) for _, b, o in rows][:8]}")
        if (writer, seq) in history.refused:
            result.say(f"refused, and yet there: writer {writer} seq {seq} at {rows[0][1]}:{rows[0][2]}")
        if {i for i, _, _ in rows} != set(range(history.header["rows_per_request"])):
            result.say(f"not whole: writer {writer} seq {seq} has rows {sorted(i for i, _, _ in rows)}")
    judge_acks(history, places, result)


def judge_atomic(history, seen, of_second, result):
    """Both tables' rows of a request, or none."""
    run, atomic = history.header["run"], set(history.header["atomic"])
    rows, beside = ({what for what in table.values() if what[0] == run and what[1] in atomic} for table in (seen, of_second))
    for words, alone in (("the first", rows - beside), ("the second", beside - rows)):
        if alone:
            result.say(f"in part: {len(alone)} rows of atomic writes are in {words} table alone, such as {sorted(alone)[:3]}")


def judge_acks(history, places, result):
    wanted_rows = history.header["rows_per_request"]
    for (writer, seq), buckets in sorted(history.acked.items()):
        rows = places.get((writer, seq), [])
        absent = wanted_rows - len({i for i, _, _ in rows})
        if absent:
            result.lost += absent
            result.say(f"lost: writer {writer} seq {seq}, acked at {buckets}, {absent} of {wanted_rows} rows are not there")
        elif buckets is not None:
            promised = {(b["bucket"], o) for b in buckets for o in range(b["start"], b["end"])}
            elsewhere = promised - {(bucket, offset) for _, bucket, offset in rows}
            if elsewhere:
                result.say(f"not where it was acked: writer {writer} seq {seq}, acked at {buckets}, found at {[(b, o) for _, b, o in rows][:8]}")


def verify(run, history, followed):
    """Reads everything through each URL and prints the verdict; the process's exit code."""
    result = Result()
    first = None
    for url in run.options.url:
        try:
            deadline = time.monotonic() + run.options.settle
            seen, bounds = read_all(run, run.base, url, deadline)
            if history.header.get("atomic"):
                of_second, bounds_of_second = read_all(run, run.base_of_second, url, deadline)
                judge_atomic(history, seen, of_second, result)
            if first is None:
                first = seen
                judge(history, seen, bounds, result)
                if history.header.get("atomic"):
                    judge(history.of_second_table(), of_second, bounds_of_second, result)
            elif seen != first:
                differing = [place for place in set(seen) | set(first) if seen.get(place) != first.get(place)]
                result.say(f"{url} shows other rows than {run.options.url[0]} at {sorted(differing)[:5]}")
            print(f"{url}: {len(seen)} rows in {len(bounds)} buckets")
        except (Violation, Unsettled) as error:
            result.say(f"verify through {url}: {error}")
    for place, what in (followed or {}).items():
        if first is not None and first.get(place) != what:
            result.say(f"the follower saw {what} at {place}, now it is {first.get(place)}")
    for words in (run.violations + result.words)[:VIOLATIONS_SHOWN]:
        print("VIOLATION", words)
    acked = len(history.acked) * history.header["rows_per_request"]
    for what, number in sorted(run.counts.items()):
        print(f"{number:10} {what}")
    if followed is not None:
        print(f"{len(followed):10} rows seen by the follower")
    others = len(run.violations) + len(result.words)
    good = acked > 0 and others == 0
    verdict = f"acked {acked} lost {result.lost} doubled {result.doubled} gaps {result.gaps}"
    print(verdict if good else f"{verdict} violations {others}" + ("" if acked else " (nothing was acked: this proves nothing)"))
    return 0 if good else 1
