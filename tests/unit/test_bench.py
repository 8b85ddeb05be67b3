import pytest

from bench.measures import MEASURES


@pytest.mark.parametrize("name", sorted(MEASURES))
def test_the_help_can_say_what_a_measure_is_about(name: str) -> None:
    first, *_ = (MEASURES[name].__doc__ or "").splitlines() or [""]
    assert first.endswith((".", ":"))


def test_every_measure_of_a_goal_can_be_asked_for_by_its_name() -> None:
    assert {"submit", "backlog", "claims", "depth", "growth", "memory", "tokens", "streams", "idle", "jobs"} <= set(
        MEASURES
    )
