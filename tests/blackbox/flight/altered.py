"""A table that changes while it is followed: the stream's one schema ends, and the position goes on in the new one."""

import json
import sys

import pyarrow.flight as flight

client = flight.connect(sys.argv[1])


def get(**members):
    return client.do_get(flight.Ticket(json.dumps({"table": "shop", **members})))


reader = get(follow=True)
chunk = reader.read_chunk()
assert chunk.data.schema.names == ["id", "name", "old", "price"], chunk.data.schema
rows = chunk.data.num_rows
position = json.loads(chunk.app_metadata.to_pybytes())["next"]
while rows < 3:
    chunk = reader.read_chunk()
    rows += chunk.data.num_rows
    position = json.loads(chunk.app_metadata.to_pybytes())["next"]
print("waiting", flush=True)
try:
    while True:
        chunk = reader.read_chunk()
        assert chunk.data.num_rows == 0, chunk.data.to_pylist()
        position = json.loads(chunk.app_metadata.to_pybytes())["next"]
except Exception as error:
    assert "schema-changed" in str(error), error
else:
    raise AssertionError("rows of another schema came in a stream of the old one")

new = {"id": 9_000_000_000, "ref": "r", "title": "cap", "price": 3.25}
assert get(**{"from": position}).read_all().to_pylist() == [new]
everything = get().read_all()
assert everything.schema.names == ["id", "ref", "title", "price"], everything.schema
assert everything.column("title").to_pylist() == ["ink", None, "pen", "cap"]
assert everything.column("ref").to_pylist() == [None, None, None, "r"]
assert everything.column("price").to_pylist() == [1.5, 2.5, None, 3.25]
assert client.get_schema(flight.FlightDescriptor.for_path("shop")).schema.names == everything.schema.names
assert get(filter="title LIKE 'p%' OR id > 4294967296", columns="id").read_all().column("id").to_pylist() == [3, 9_000_000_000]
print("all as promised")
