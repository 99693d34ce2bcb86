"""A writer by Arrow Flight: each request is a DoPut of one batch. What it sends, and what it writes down, is as with any other writer."""

import json
import urllib.parse

import pyarrow as pa
import pyarrow.flight as pf
from wire import ATTEMPT_TIMEOUT_S, Answer
from writers import Writer

TYPES = {"run": pa.string(), "writer": pa.int32(), "seq": pa.int64(), "i": pa.int32(), "payload": pa.string(), "checksum": pa.int64()}
SCHEMA = pa.schema([pa.field(name, kind, nullable=False) for name, kind in TYPES.items()])


class FlightDoor:
    """Takes what an HTTP client takes, so that the writer need not know: rows as JSON, producer headers, and gives back the answer."""

    def __init__(self, options):
        self.path = [options.database.encode(), options.table.encode()]
        self.token = options.token
        self.connections = {}

    def request(self, url, _method, _path, body, headers):
        """One attempt. OSError means: no answer, outcome unknown."""
        connection = self.connections.pop(url, None)
        if connection is None:
            parts = urllib.parse.urlsplit(url)
            connection = pf.connect(f"grpc://{parts.hostname}:{parts.port}")
        try:
            answer = Answer(200, {}, self.put(connection, json.loads(body), headers))
        except pf.FlightError as error:
            connection.close()
            return self.refusal(error)
        except pa.ArrowException as error:
            connection.close()
            return self.refusal(error)
        self.connections[url] = connection
        return answer

    def put(self, connection, rows, headers):
        pairs = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        if self.token:
            pairs.append((b"authorization", b"Bearer " + self.token.encode()))
        options = pf.FlightCallOptions(timeout=ATTEMPT_TIMEOUT_S, headers=pairs)
        writer, reader = connection.do_put(pf.FlightDescriptor.for_path(*self.path), SCHEMA, options)
        with writer:
            writer.write_batch(pa.RecordBatch.from_pylist(rows, schema=SCHEMA))
            writer.done_writing()
            last = None
            while (told := reader.read()) is not None:
                last = told.to_pybytes()
        if last is None:
            raise OSError("the stream ended without an acknowledgement")
        return last

    @staticmethod
    def refusal(error):
        """A problem is an answer; anything else is none."""
        details = getattr(error, "extra_info", b"") or b""
        try:
            problem = json.loads(details)
            return Answer(problem["status"], {"Retry-After": "1"}, details)
        except (ValueError, KeyError, TypeError):
            raise OSError(f"{type(error).__name__}: {str(error)[:300]}") from error


class FlightWriter(Writer):
    """An idempotent producer by Flight. Its acks are read back over HTTP."""

    def __init__(self, run, number, first_seq, may_have_been_sent):
        super().__init__(run, number, first_seq, may_have_been_sent)
        self.door = FlightDoor(run.options)

    def request_of(self, seq):
        path, body, headers, _ = super().request_of(seq)
        return path.split("?")[0], body, headers, False

    def send_bad_rows(self):
        """A batch has the table's types, or is refused before it is sent."""
