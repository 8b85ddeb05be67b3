"""Measures what traces cost."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from bench.measures.metrics import runs_of, submits_of
from bench.report import Row, ratios, row

SAMPLED = "0.01"
MOST_RATIO = 1.05


def traces(backends: Sequence[str]) -> Iterator[Row]:
    """Measure the processor time of submits and of runs with 1 % of traces recorded and with none, at the same time."""
    with _collector() as url:
        values = {
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"{url}/v1/traces",
            "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
            "OTEL_TRACES_SAMPLER_ARG": SAMPLED,
        }
        for name in backends:
            submits, runs = submits_of(name, values=values), runs_of(name, values=values)
            for what, with_traces, without in (("a submit", *submits), ("a run of 200 tokens", *runs)):
                yield row(f"processor time of {what}, {name}", with_traces, "us")
                yield row("  without traces", without, "us")
                yield row("  ratio", ratios(with_traces, without), most=MOST_RATIO)


@contextmanager
def _collector() -> Iterator[str]:
    """Take whatever is pushed, on a free port."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
