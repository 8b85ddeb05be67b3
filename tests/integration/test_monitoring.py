"""The dashboard and the alert rules name only metrics and labels that real servers give after real traffic."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from app.observability.metric_definitions import OF_PROCESSES, OF_QUEUE
from tests import wire
from tests.graph_control import GraphControl
from tests.integration.conftest import Serve
from tests.servers import ROOT

MONITORING = ROOT / "deploy" / "monitoring"
DASHBOARD: dict[str, Any] = json.loads((MONITORING / "grafana-dashboard.json").read_text("utf-8"))
ALERTS: dict[str, Any] = yaml.safe_load((MONITORING / "alerts.yaml").read_text("utf-8"))
RULES = [rule for group in ALERTS["groups"] for rule in group["rules"]]
GRAPHS = {"steps": "tests.graphs:steps", "flaky": "tests.graphs:flaky", "failing": "tests.graphs:failing"}

METRIC = re.compile(r"\b(?:agentq|process|python)_\w+")
SELECTOR = re.compile(r"\b((?:agentq|process|python)_\w+)\{([^}]*)\}")
MATCHER = re.compile(r'(\w+)\s*=~?\s*"')
GROUPING = re.compile(r"\bby \(([^)]*)\)")
OF_SCRAPES = {"job", "instance", "le"}
"""Labels that Prometheus adds, and the bucket's."""


def expressions() -> Iterator[str]:
    yield from (rule["expr"] for rule in RULES)
    for panel in DASHBOARD["panels"]:
        yield from (target["expr"] for target in panel.get("targets", ()))


def labels_of(expression: str) -> Iterator[str]:
    for _, matchers in SELECTOR.findall(expression):
        yield from MATCHER.findall(matchers)
    for group in GROUPING.findall(expression):
        yield from (label.strip() for label in group.split(","))


@pytest.fixture
async def given(serve: Serve, control: GraphControl) -> tuple[set[str], set[str]]:
    """The names of samples and of labels that a server gives once everything has happened to it."""
    other = await serve(agents=GRAPHS, max_attempts=2, retry_base_seconds=0.01, database_url="memory://")
    control.hold("second")  # two texts of one delivery would have no time between them
    answered = await other.submit(agent="steps")
    async with wire.stream(other.url, answered["message_id"]) as stream:
        await stream.until("chunk")
        control.release("second")
        await stream.until("done")
    for agent in ("flaky", "failing"):
        await other.ended((await other.submit(agent=agent))["message_id"])
    server = await serve()
    await server.ended((await server.submit("Hello to all"))["message_id"])
    await server.client.post("/queue/pause")
    waiting = await server.submit()
    server.runtime.services.recorder.store_failed("add", "store_unavailable")  # without taking the store away
    async with wire.stream(server.url, waiting["message_id"]) as stream:
        await stream.until("waiting")
        texts = [(await each.client.get("/metrics")).text for each in (server, other)]
    samples = [each for text in texts for family in text_string_to_metric_families(text) for each in family.samples]
    return {sample.name for sample in samples}, {label for sample in samples for label in sample.labels}


async def test_every_metric_of_an_expression_is_given(given: tuple[set[str], set[str]]) -> None:
    names, labels = given
    found = list(expressions())
    assert len(found) > 50
    assert {name for each in found for name in METRIC.findall(each)} <= names
    assert {label for each in found for label in labels_of(each)} - OF_SCRAPES <= labels


def test_every_metric_of_ours_is_shown_or_watched() -> None:
    """A metric that no panel and no rule uses would be forgotten."""
    text = json.dumps(DASHBOARD) + "\n".join(rule["expr"] for rule in RULES)
    assert [each.name for each in (*OF_PROCESSES, *OF_QUEUE) if each.name not in text] == []


def test_every_rule_says_what_is_wrong_and_what_to_do() -> None:
    assert len({rule["alert"] for rule in RULES}) == len(RULES)
    for rule in RULES:
        assert rule["labels"]["severity"] in {"warning", "critical"}
        assert set(rule["annotations"]) == {"summary", "cure"}


def test_panels_do_not_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24
        taken |= cells
