"""A collector of OpenTelemetry in a test: it decodes what is pushed to it by OTLP over HTTP."""

import gzip
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric
from opentelemetry.proto.trace.v1.trace_pb2 import Span


class Collector:
    """Keeps the newest push of metrics, and all spans with the names of the processes that pushed them."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.status = 200
        self.pushes = 0
        self.newest: dict[str, Metric] = {}
        self.resource: dict[str, str] = {}
        self.spans: list[tuple[str, Span]] = []

    def take(self, path: str, body: bytes) -> None:
        if path == "/v1/traces":
            for recorded in ExportTraceServiceRequest.FromString(body).resource_spans:
                process = labels_of(recorded.resource.attributes)["service.instance.id"]
                self.spans += [(process, span) for scope in recorded.scope_spans for span in scope.spans]
        if path == "/v1/metrics":
            (pushed,) = ExportMetricsServiceRequest.FromString(body).resource_metrics
            self.newest = {metric.name: metric for scope in pushed.scope_metrics for metric in scope.metrics}
            self.resource = labels_of(pushed.resource.attributes)
            self.pushes += 1


def labels_of(attributes: Iterable[KeyValue]) -> dict[str, str]:
    return {each.key: each.value.string_value for each in attributes}


@contextmanager
def collector() -> Iterator[Collector]:
    """A collector on a free port."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            if found.status == 200:
                found.take(self.path, body)
            self.send_response(found.status)
            self.end_headers()
            self.wfile.write(ExportMetricsServiceResponse().SerializeToString())

        def log_message(self, format: str, *args: object) -> None:
            """Log nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found = Collector(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
