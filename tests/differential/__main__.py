"""`make differential`: the same requests to LangGraph's own server and to this one, and where the replies differ.

Names of scenarios as arguments have only those run. `-v` prints all differences, the known ones too.
"""

import asyncio
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import httpx
from langgraph_sdk import get_client
from langgraph_sdk.client import LangGraphClient

from tests.differential.comparison import Comparison, Difference
from tests.differential.known import KNOWN, known_place
from tests.differential.recording import Exchange, Recorder
from tests.differential.scenarios import SCENARIOS, Scenario
from tests.differential.scenarios.talk import Talk
from tests.differential.servers import Server, our_server, reference_server

REQUEST_SECONDS = 30.0
MAX_SHOWN = 400


def show(line: str) -> None:
    """Print at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


async def record(scenario: Scenario, server: Server) -> tuple[list[Exchange], str | None]:
    """Play a scenario on a server. Return what was said, and the error that ended the scenario early."""
    failure = None
    recorder = Recorder()
    async with (
        httpx.AsyncClient(base_url=server.url, transport=recorder, timeout=REQUEST_SECONDS) as http,
        get_client(url=server.url, api_key=None) as unrecorded,
    ):
        try:
            await scenario(Talk(LangGraphClient(http), unrecorded, server.control))
        except Exception as error:  # noqa: BLE001  the difference shows it
            failure = f"{type(error).__name__}: {error}"
        finally:
            server.control.release_all()
    return recorder.exchanges, failure


async def differences(scenarios: Sequence[Scenario], reference: Server, ours: Server) -> list[Difference]:
    """Play scenarios on both servers. Return all differences."""
    found: list[Difference] = []
    for scenario in scenarios:
        (theirs, failed), (our, we_failed) = await asyncio.gather(record(scenario, reference), record(scenario, ours))
        found += Comparison(scenario.__name__).differences(theirs, our)
        if failed or we_failed:
            found.append(Difference(scenario.__name__, "the scenario failed", failed, we_failed))
    return found


def report(found: Sequence[Difference], *, all_played: bool, verbose: bool) -> int:
    """Print the differences that are not known, and the known ones that are gone. Return the exit code."""
    unseen = {(known.reason, place) for known in KNOWN for place in known.places} if all_played else set()
    unknown = 0
    for difference in found:
        place = known_place(difference)
        unseen.discard(place or ("", ""))
        unknown += place is None
        if place is None or verbose:
            reason = "" if place is None else f"\n  known: {place[0]}"
            show(f"{difference.scenario}: {difference.place}{reason}")
            show(f"  LangGraph: {str(difference.reference)[:MAX_SHOWN]}\n  ours: {str(difference.ours)[:MAX_SHOWN]}")
    for reason, pattern in sorted(unseen):
        show(f"no longer differs: {pattern} ({reason})")
    show(f"{len(found)} differences, {unknown} of them not known; {len(unseen)} known ones are gone")
    return 1 if unknown or unseen else 0


def main(arguments: Sequence[str]) -> int:
    """Return 0 if the servers differ only where it is meant."""
    names = [argument for argument in arguments if not argument.startswith("-")]
    scenarios = [scenario for scenario in SCENARIOS if not names or scenario.__name__ in names]
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        with reference_server(place / "reference") as reference, our_server(place / "ours") as ours:
            found = asyncio.run(differences(scenarios, reference, ours))
    show(f"{len(scenarios)} scenarios")
    return report(found, all_played=not names, verbose="-v" in arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
