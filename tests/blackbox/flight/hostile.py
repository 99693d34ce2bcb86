"""What must be refused with words, bounded, or repeated: each function is one behaviour, and asserts it."""

import json
import sys
import time

import pyarrow as pa
import pyarrow.flight as flight

LOCATION = sys.argv[1]
client = flight.connect(LOCATION)
SCHEMA = pa.schema([("id", pa.int64()), ("url", pa.string())])
ROWS = pa.table({"id": range(100), "url": [f"/{i}" for i in range(100)]}, schema=SCHEMA)


def create(table, columns="id BIGINT NOT NULL, url STRING", **options):
    body = {"table": table, "columns": columns, **options}
    return json.loads(next(client.do_action(("table.create", json.dumps(body).encode()))).body.to_pybytes())


def path(table):
    return flight.FlightDescriptor.for_path("default", table)


def tail(table):
    body = json.dumps({"table": table}).encode()
    return json.loads(next(client.do_action(("offsets", body))).body.to_pybytes())["buckets"][0]["latest"]


def get(table, **members):
    return client.do_get(flight.Ticket(json.dumps({"table": table, **members})))


def producer(name, seq, epoch=0):
    headers = [(b"producer-id", name), (b"producer-epoch", str(epoch).encode()), (b"producer-seq", str(seq).encode())]
    return flight.FlightCallOptions(headers=headers)


def put(descriptor, batches, schema=SCHEMA, options=None):
    """Puts batches and reads the answer to its end: the last acknowledgement, and the error if there was one."""
    writer, acks = client.do_put(descriptor, schema, options)
    last, error = None, None
    try:
        for batch in batches:
            writer.write_table(batch)
        writer.done_writing()
    except Exception as refused:
        error = refused
    try:
        while (ack := acks.read()) is not None:
            last = json.loads(ack.to_pybytes())
    except Exception as refused:
        error = refused
    try:
        writer.close()
    except Exception as refused:
        error = error or refused
    return last, error


def refused(call, *words):
    try:
        call()
    except Exception as error:
        for word in words:
            assert word in str(error), f"{word!r} not in {error}"
        return error
    raise AssertionError(f"not refused; expected {words}")


def what_is_not_known_is_refused_by_name():
    refused(lambda: get("nowhere").read_all(), "no-such-table", "nowhere")
    refused(lambda: get("default.a", colums="id").read_all(), "colums") if create("a") else None
    refused(lambda: client.do_get(flight.Ticket(b"\x00\xff")).read_all(), "malformed")
    refused(lambda: client.do_get(flight.Ticket('{"sql":"SELECT 1"}')).read_all(), "sql")
    refused(lambda: get("a", compression="rar").read_all(), "rar")
    refused(lambda: get("a", **{"from": "0:999"}).read_all(), "beyond-tail")
    refused(lambda: list(client.do_action(("table.fly", b"{}"))), "table.fly", "offsets")
    refused(lambda: list(client.do_action(("table.create", b'{"table":"x","colums":"id INT"}'))), "colums")
    refused(lambda: client.get_flight_info(flight.FlightDescriptor.for_path("a", "b", "c")), "malformed")
    _, error = put(path("nowhere"), [ROWS])
    assert "no-such-table" in str(error), error


def a_batch_that_does_not_fit_ends_the_stream_and_nothing_after_it_is_written():
    create("strict")
    schema = pa.schema([("id", pa.int64()), ("url", pa.string())])
    good = pa.table({"id": [1], "url": ["a"]}, schema=schema)
    bad = pa.table({"id": [2, None], "url": ["b", "c"]}, schema=schema)
    last, error = put(path("strict"), [good, bad, good, good], schema)
    assert "invalid-rows" in str(error) and "row 1" in str(error), error
    # The client throws away what it has not read once a write of its own fails: then the refusal is all it gets.
    assert last is None or last["batches"] == 1, last
    problem = json.loads(error.extra_info) if getattr(error, "extra_info", None) else None
    assert problem is None or problem["batch"] == 1, problem
    assert tail("strict") == 1, tail("strict")
    wrong = pa.table({"id": ["x"], "url": ["a"]})
    assert "invalid-rows" in str(put(path("strict"), [wrong], wrong.schema)[1])
    more = pa.table({"id": [1], "other": ["a"]})
    assert "other" in str(put(path("strict"), [more], more.schema)[1])
    assert tail("strict") == 1


def a_batch_over_the_limit_says_what_to_do():
    create("large")
    large = pa.table({"id": range(40_000), "url": ["x" * 1000] * 40_000}, schema=SCHEMA)
    last, error = put(path("large"), [ROWS, large, ROWS])
    assert "too-large" in str(error) and "max_chunksize" in str(error), error
    assert tail("large") in (0, 100)
    writer, _ = client.do_put(path("large"), SCHEMA)
    before = tail("large")
    writer.write_table(large, max_chunksize=4_000)
    writer.close()
    assert tail("large") == before + 40_000


def a_retry_by_sequence_gets_the_first_answer():
    create("retried")
    first, error = put(path("retried"), [ROWS] * 5, options=producer(b"p", 0))
    assert error is None and first["duplicate"] is False and first["rows"] == 500, (first, error)
    again, error = put(path("retried"), [ROWS] * 5, options=producer(b"p", 0))
    assert error is None and again["duplicate"] is True and again["buckets"] == first["buckets"], (again, error)
    both, error = put(path("retried"), [ROWS] * 3, options=producer(b"p", 4))
    assert error is None and both["duplicates"] == 1 and both["duplicate"] is False, (both, error)
    assert tail("retried") == 700
    other, error = put(path("retried"), [ROWS.slice(1)], options=producer(b"p", 6))
    assert "sequence-conflict" in str(error), error
    _, error = put(path("retried"), [ROWS], options=producer(b"p", 9))
    assert "sequence-gap" in str(error) and "7" in str(error), error
    _, error = put(path("retried"), [ROWS], options=producer(b"new", 3))
    assert "sequence-gap" in str(error), error
    assert tail("retried") == 700


def dictionaries_views_and_compressed_messages_are_rows_like_others():
    create("typed", "id INT, word STRING")
    words = pa.array(["a", "b", None, "a"]).dictionary_encode()
    schema = pa.schema([("id", pa.int32()), ("word", words.type)])
    table = pa.table({"id": pa.array([1, 2, 3, 4], pa.int32()), "word": words}, schema=schema)
    for codec in [None, "lz4", "zstd"]:
        options = flight.FlightCallOptions(write_options=pa.ipc.IpcWriteOptions(compression=codec))
        last, error = put(path("typed"), [table, table], schema, options)
        assert error is None and last["rows"] == 8, (last, error)
        back = get("typed", compression=codec or "none").read_all()
        assert back.column("word").to_pylist()[-4:] == ["a", "b", None, "a"], back
    view = pa.table({"id": pa.array([5], pa.int32()), "word": pa.array(["view"], pa.string_view())})
    assert put(path("typed"), [view], view.schema)[1] is None
    assert get("typed").read_all().column("word").to_pylist()[-1] == "view"


def what_is_read_can_be_written():
    create("copy", "id BIGINT NOT NULL, url STRING")
    put(path("copy"), [ROWS])
    back = get("copy", columns=["*", "__bucket", "__offset", "__timestamp"]).read_all()
    assert back.column("__offset").to_pylist() == list(range(100))
    last, error = put(path("copy"), [back], back.schema)
    assert error is None and last["buckets"] == [{"bucket": 0, "start": 100, "end": 200}], (last, error)


def acknowledgements_that_nobody_reads_hold_nobody_up():
    create("unread")
    one = ROWS.slice(0, 1)
    began = time.monotonic()
    writer, acks = client.do_put(path("unread"), SCHEMA)
    for _ in range(10_000):
        writer.write_table(one)
    writer.close()
    assert tail("unread") == 10_000
    print(f"10,000 batches unread: {time.monotonic() - began:.1f} s")


def a_slow_reader_gets_everything_in_order():
    create("slow", buckets=2)
    put(path("slow"), [ROWS] * 200)
    seen, positions = {0: 0, 1: 0}, []
    reader = get("slow", columns="__bucket,__offset", max_bytes=1 << 20, follow=True)
    while sum(seen.values()) < 20_000:
        chunk = reader.read_chunk()
        for bucket, offset in zip(*(column.to_pylist() for column in chunk.data.columns)):
            assert offset == seen[bucket], (bucket, offset, seen)
            seen[bucket] += 1
        positions.append(json.loads(chunk.app_metadata.to_pybytes())["next"])
        time.sleep(0.01)
    reader.cancel()
    # Each position is a place to go on from: what was read until there and what comes after it is everything.
    for position in positions[:: max(1, len(positions) // 5)]:
        ahead = sum(int(pair.split(":")[1]) for pair in position.split(","))
        assert get("slow", **{"from": position}).read_all().num_rows == 20_000 - ahead, position


def a_follower_sees_rows_as_they_come_and_a_position_before_any():
    create("live")
    reader = get("live", **{"from": "latest", "follow": True})
    chunk = reader.read_chunk()
    assert chunk.data.num_rows == 0 and json.loads(chunk.app_metadata.to_pybytes())["next"] == "0:0"
    put(path("live"), [ROWS])
    assert reader.read_chunk().data.num_rows == 100
    reader.cancel()
    limited = get("live", limit=30).read_all()
    assert limited.column("id").to_pylist() == list(range(30))


def infos_tell_what_there_is():
    create("told_one", buckets=3)
    put(path("told_one"), [ROWS] * 3)
    info = client.get_flight_info(flight.FlightDescriptor.for_command('{"table":"told_one","columns":["url"]}'))
    assert info.total_records == 300 and len(info.endpoints) == 3 and info.schema.names == ["url"]
    rows = sum(client.do_get(endpoint.ticket).read_all().num_rows for endpoint in info.endpoints)
    assert rows == 300, rows
    listed = [tuple(info.descriptor.path) for info in client.list_flights(b"told")]
    assert listed == [(b"default", b"told_one")], listed
    assert list(client.list_flights(b"default.nothing")) == []
    actions = {action.type for action in client.list_actions()}
    assert actions == {"table.create", "table.alter", "table.drop", "offsets", "groups.put"}, actions
    next(client.do_action(("table.drop", b'{"table":"told_one"}')))
    refused(lambda: client.get_schema(path("told_one")), "no-such-table")


def a_table_changes_and_old_rows_are_read():
    before = create("changed")["schema_id"]
    put(path("changed"), [ROWS])
    alter = {"table": "changed", "alter": [{"add": {"name": "ref", "type": "STRING"}}], "schema_id": before}
    altered = json.loads(next(client.do_action(("table.alter", json.dumps(alter).encode()))).body.to_pybytes())
    assert altered["schema_id"] != before
    refused(lambda: list(client.do_action(("table.alter", json.dumps(alter).encode()))), "schema-changed")
    wide = ROWS.append_column("ref", pa.array(["r"] * 100))
    assert put(path("changed"), [wide], wide.schema)[1] is None
    assert get("changed").read_all().column("ref").to_pylist() == [None] * 100 + ["r"] * 100


def act(action, body):
    return json.loads(next(client.do_action((action, json.dumps(body).encode()))).body.to_pybytes())


def a_filter_a_group_and_a_time_are_asked_for_as_over_http():
    create("asked")
    put(path("asked"), [ROWS])
    time.sleep(0.02)
    put(path("asked"), [ROWS])
    found = get("asked", filter="id >= 97 AND url LIKE '/9%'").read_all().column("id").to_pylist()
    assert found == [97, 98, 99] * 2, found
    chunk = get("asked", filter="id = -1").read_chunk()
    assert chunk.data.num_rows == 0 and json.loads(chunk.app_metadata.to_pybytes())["next"] == "0:200"
    follow = get("asked", filter="id = 7", follow=True, columns="__offset")
    assert [follow.read_chunk().data.column(0).to_pylist() for _ in range(2)] == [[7], [107]]
    follow.cancel()
    refused(lambda: get("asked", filter="nope = 1").read_all(), "nope")

    rows = get("asked", columns="__offset,__timestamp").read_all()
    second = rows.column("__timestamp")[100].as_py()
    for begin, offset in [(second.isoformat(), 100), ("1970-01-01", 0), ("2100-01-01T00:00:00Z", 200), ("-15m", 0)]:
        assert get("asked", **{"from": begin}).read_all().num_rows == 200 - offset, begin
        assert act("offsets", {"table": "asked", "at": begin})["position"] == f"0:{offset}", begin
    refused(lambda: get("asked", **{"from": "2026-01-01T00:00:00"}).read_all(), "malformed")

    stored = act("groups.put", {"group": "etl", "positions": {"asked": "0:150"}})
    assert stored["created"] is True and stored["lag"]["asked"]["rows"] == 50, stored
    assert get("asked", group="etl").read_all().num_rows == 50
    assert get("asked", group="etl", **{"from": "latest"}).read_all().num_rows == 50
    assert get("asked", group="nobody").read_all().num_rows == 200, "who stands nowhere begins at `from`"
    moved = {"group": "etl", "positions": {"asked": "0:160"}, "expected": {"asked": "0:150"}}
    assert act("groups.put", moved)["positions"] == {"asked": "0:160"}
    refused(lambda: act("groups.put", moved), "expected-position")
    refused(lambda: act("groups.put", {**moved, "expected": {}, "if_generation": stored["generation"] + 1}), "generation")
    refused(lambda: act("groups.put", {"group": "etl", "positions": {"asked": "0:201"}}), "beyond-tail")
    refused(lambda: act("groups.put", {"group": "etl", "position": {"asked": "0:1"}}), "position")
    refused(lambda: act("groups.put", {"positions": {"asked": "0:1"}}), "which group")


def a_handshake_is_answered_though_there_is_nothing_to_agree_on():
    class Handler(flight.ClientAuthHandler):
        def authenticate(self, outgoing, incoming):
            outgoing.write(b"user")
            assert incoming.read() == b""

        def get_token(self):
            return b"none"

    one = flight.connect(LOCATION)
    one.authenticate(Handler())
    assert list(one.list_actions())
    other = flight.connect(LOCATION)
    header, token = other.authenticate_basic_token("user", "password")
    assert not token, (header, token)
    assert list(other.list_actions())


for name, behaviour in list(globals().items()):
    if callable(behaviour) and "_" in name and behaviour.__module__ == "__main__":
        behaviour()
        print("ok", name)
print("all as promised")
