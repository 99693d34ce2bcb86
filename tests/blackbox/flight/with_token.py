"""Flight with a token: without it every call is UNAUTHENTICATED, with it all is as ever."""

import sys

import pyarrow as pa
import pyarrow.flight as flight

client = flight.connect(sys.argv[1])
rows = pa.table({"id": [1, 2, 3]})
create = flight.FlightDescriptor.for_command('{"table":"t","create":true}')


def put(options):
    writer, _ = client.do_put(create, rows.schema, options)
    writer.write_table(rows)
    writer.close()


for options in [flight.FlightCallOptions(), flight.FlightCallOptions(headers=[(b"authorization", b"Bearer wrong")])]:
    calls = [
        lambda: put(options),
        lambda: client.do_get(flight.Ticket('{"table":"t"}'), options).read_all(),
        lambda: list(client.list_flights(options=options)),
        lambda: list(client.do_action(("offsets", b'{"table":"t"}'), options)),
    ]
    for call in calls:
        try:
            call()
        except flight.FlightUnauthenticatedError as error:
            assert "unauthenticated: " in str(error), error
        else:
            raise AssertionError("answered without the token")

options = flight.FlightCallOptions(headers=[(b"authorization", b"Bearer secret")])
put(options)
assert client.do_get(flight.Ticket('{"table":"t"}'), options).read_all() == rows.cast(
    client.get_schema(flight.FlightDescriptor.for_path("t"), options).schema
)
print("all as promised")
