"""The measures by name. Each yields rows for the requested backends as soon as they are known."""

from collections.abc import Callable, Iterator, Sequence

from bench.measures.accept import accept
from bench.measures.backlog import backlog
from bench.measures.claims import claims, depth
from bench.measures.clients import clients
from bench.measures.erasure import erasure
from bench.measures.growth import growth
from bench.measures.jobs import jobs
from bench.measures.keys import keys
from bench.measures.limits import limits
from bench.measures.memory import memory
from bench.measures.metrics import metrics
from bench.measures.runs import first_chunk, runs
from bench.measures.search import search
from bench.measures.shares import shares
from bench.measures.start import start
from bench.measures.stats import stats
from bench.measures.storage import storage
from bench.measures.streams import idle, streams
from bench.measures.submit import submit
from bench.measures.surfaces import surfaces
from bench.measures.tokens import tokens
from bench.measures.traces import traces
from bench.measures.users import users
from bench.measures.workers import workers
from bench.report import Row

Measure = Callable[[Sequence[str]], Iterator[Row]]

MEASURES: dict[str, Measure] = {
    "submit": submit,
    "accept": accept,
    "keys": keys,
    "limits": limits,
    "tokens": tokens,
    "metrics": metrics,
    "traces": traces,
    "runs": runs,
    "first_chunk": first_chunk,
    "backlog": backlog,
    "stats": stats,
    "search": search,
    "claims": claims,
    "depth": depth,
    "erasure": erasure,
    "storage": storage,
    "shares": shares,
    "growth": growth,
    "memory": memory,
    "streams": streams,
    "idle": idle,
    "surfaces": surfaces,
    "jobs": jobs,
    "users": users,
    "workers": workers,
    "start": start,
    "clients": clients,
}
