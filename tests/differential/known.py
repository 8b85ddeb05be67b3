"""The differences that are meant, each with its reason."""

from fnmatch import fnmatchcase
from typing import NamedTuple

from tests.differential.comparison import Difference


class Known(NamedTuple):
    """Places where replies are meant to differ, as patterns in which `*` stands for any text."""

    reason: str
    places: tuple[str, ...]
    scenarios: str = "*"


KNOWN = (
    # Notes of replies beside the work.
    Known(
        "LangGraph's platform notes its versions, its host, its user and how it read the request. This one does not.",
        (
            *(f"*.langgraph_{what}" for what in ("api_*", "auth_*", "host", "plan", "request_id", "version")),
            *("*.created_by", "*.user_id", "*.run_attempt", "*.ls_*", "*.langsmith_session_name"),
            *("*.__after_seconds__", "*.__request_start_time_ms__", "GET /ok: body.services", "GET /info: body.*"),
        ),
    ),
    Known(
        "`kwargs` has what this server knows of a run, and the defaults as empty values.",
        ("*.kwargs.*",),
    ),
    Known(
        "A thread has all of its fields, also while they are empty. A copy has its values at once.",
        (
            *("POST /threads: body.error", "POST /threads: body.interrupts", "*/copy: body.error"),
            *("*/copy: body.interrupts", "*/copy: body.values", "POST /threads/search: body.*.error"),
            *("POST /threads/search: body.*.interrupts", "GET /threads/{}: body.error"),
            *("GET /threads/{}: body.interrupts", "PATCH /threads/{}: body.*"),
        ),
    ),
    Known(
        "The config of runs is not kept with the thread.",
        ("GET /threads/{}: body.config.*", "POST /threads/search: body.*.config.configurable"),
    ),
    Known("The metadata of a run are merged into those of its thread.", ("GET /threads/{}: body.metadata.page",)),
    Known(
        "The metadata of a run name its own graph, not the first one of its thread.",
        ("*/runs*: body*.metadata.graph_id", "*/state*: body.metadata.graph_id"),
    ),
    Known(
        "Each run can be resumed, so all frames have ids, and `Location` has the modes of the stream.",
        ("*: stream.*#id", "*: header.location"),
    ),
    Known("The length of a list is counted, not how far the client has read.", ("*/search: header.x-pagination-*",)),
    # Places in a graph.
    Known(
        "The metadata of states and checkpoints have no ids that the request has, and no internal paths of tasks.",
        (
            *("*.metadata.thread_id", "*.metadata.checkpoint_ns", "*.metadata.checkpoint_map", "*.tasks.*.path"),
            *("*.metadata.checkpoint_id", "*.metadata.langgraph_*", "*.checkpoint.checkpoint_map"),
            "*.parent_checkpoint.checkpoint_map",
        ),
    ),
    Known(
        "A config in a stream only names the checkpoint.",
        tuple(
            f"*.configurable.{name}" for name in ("assistant_id", "graph_id", "run_id", "thread_id", "checkpoint_map")
        ),
    ),
    Known(
        "Pieces of messages name their node, not the task that ran it. Names of subgraphs are those of their nodes.",
        (
            *(f"*: stream.messages*.{name}" for name in ("checkpoint_ns", "langgraph_checkpoint_ns", "langgraph_path")),
            *(f"*: stream.messages*.{name}" for name in ("langgraph_step", "langgraph_triggers", "lc_versions")),
            *("*: stream.events.names", "*.tasks.*.checkpoint"),
        ),
    ),
    Known("This server names an empty place in a checkpoint too.", ("*.checkpoint.checkpoint_ns",)),
    Known(
        "An answer goes on with the message that asked, so the checkpoints of both runs have the id of the first.",
        ("*.metadata.run_id",),
        "*question*",
    ),
    Known(
        "A command is applied as a checkpoint of its own, before a node runs.",
        ("*.metadata.source", "*.metadata.step", "POST */history: body"),
        "commands_*",
    ),
    Known("A turn that goes on notes the one before it.", ("*.metadata.turn_after",)),
    Known(
        "Results of tasks are shown as the state will have them: messages as messages.",
        tuple(
            f"*.tasks.*.result.messages.*.{name}"
            for name in ("additional_kwargs", "name", "response_metadata", "role", "type")
        ),
    ),
    # Messages.
    Known(
        "A message that was not streamed is one piece like any other, and no piece says that it is the last.",
        ("*: stream.messages*.chunk_position", "*: stream.messages.*.type", "*: stream.messages.*.tool_call_chunks"),
    ),
    Known("A tool call is one piece with all of its arguments.", ("*: stream.messages.*.tool_calls",), "tools_*"),
    Known(
        "In the mode `messages`, each text is partial, also that of a message that was not streamed.",
        ("*: stream.messages/partial.*.content", "*: stream.messages/partial.*.id", "*: stream.events.order"),
        "subgraphs_in_each_mode",
    ),
    Known(
        "Without `stream_subgraphs`, the stream has no messages of subgraphs; values and updates have them.",
        ("*: stream.events.order",),
        "subgraphs_that_*",
    ),
    Known("A question of a subgraph is shown as one of the graph.", ("*: stream.events.order",), "a_question_inside_*"),
    # Errors.
    Known(
        "Errors of runs have this server's codes, and the name of the exception in the message.",
        ("*: stream.error.*", "*: body.__error__.*", "GET /threads/{}: body.error.*", "*.tasks.*.error"),
    ),
    Known(
        "An unknown graph in a search matches nothing.", ("POST /assistants/search: status",), "assistants_are_found"
    ),
    Known("A bad body gives the status 422.", ("POST /runs/wait: status",), "runs_without_a_thread"),
    Known(
        "Bad values are refused, also where LangGraph's server ignores them or fails.", ("*: status",), "*_of_wrong_*"
    ),
    Known(
        "Errors of items are JSON like all others.",
        ("PUT /store/items: header.content-type", "PUT /store/items: body"),
        "items_of_wrong_bodies",
    ),
    Known(
        "An unknown place gives an error, not an empty list.", ("POST /threads/{}/history: status",), "states_before_*"
    ),
    # Runs.
    Known(
        "A run without a thread has a private one with the id of the run.",
        ("POST /runs*: header.content-location", "POST /runs/*: stream.*.thread_id"),
        "*run*_without_a_thread*",
    ),
    Known(
        "The client can look at the run after its stream, since the reply names its thread.",
        ("requests",),
        "runs_without_a_thread_in_streams",
    ),
    Known("Each run of a batch has its own thread.", ("POST /runs/batch: body.*.thread_id",)),
    Known(
        "A joined stream begins with the frame `metadata`, whatever modes are asked for.",
        ("GET */stream*: stream.events.order",),
    ),
    Known(
        "Only failed runs can be deleted.",
        ("DELETE /threads/{}/runs/{}: status", "GET /threads/{}/runs/{}: status", "GET /threads/{}/state*: body.*"),
        "ended_runs_*",
    ),
    Known("A run that was rolled back stays in the list.", ("GET /threads/{}/runs/{}: status",), "runs_*roll*"),
    Known(
        "A changed state names the assistant and the run before it.",
        ("*.metadata.assistant_id", "*.metadata.run_id"),
        "states_*",
    ),
    Known(
        "A thread shows its newest state, also a changed one or that of a cancelled run.",
        ("GET /threads/{}: body.values*",),
    ),
    Known("The mode `events` is refused.", ("*: status", "requests"), "chat_in_events"),
    # Questions.
    Known(
        "A run that waits behind another one stays behind its question.",
        ("GET */runs/{}: body.*", "GET /threads/{}: body.*", "POST */runs/wait: *"),
        "a_run_behind_*",
    ),
    Known("There are no schemas of answers.", ("*.response_schema",)),
    Known(
        "A question is answered once. Without one there is nothing to answer.",
        ("POST */runs/wait: status",),
        "a_question_is_answered",
    ),
    Known("One value answers all open questions.", ("POST */runs/wait: *",), "one_answer_*"),
    Known(
        "The result of a run that asks has the whole state.",
        ("POST */runs/wait: body.*", "GET */join: body.messages"),
        "*question*",
    ),
    Known("An open question can be cancelled.", ("POST */cancel*: status",), "a_question_is_joined"),
    Known(
        "New input cancels an open question, whose run is then `interrupted`.",
        ("GET */runs*: body.*.status",),
        "new_input_*",
    ),
    Known("An answer cannot change the metadata of its run.", ("POST */runs/wait: status",), "an_answer_*"),
    Known("A stop at a node asks nothing, so it has no frame of its own.", ("*: stream.events.order",), "runs_stop_*"),
    Known(
        "Messages are shown as LangChain writes them.",
        ("*.additional_kwargs.invalid_tool_calls", "*.additional_kwargs.usage_metadata"),
        "commands_*",
    ),
    Known("A command needs a state.", ("POST */runs/wait: body*",), "commands_need_*"),
    Known(
        "A command cannot go to a node that the graph does not have, so it makes no run and no state.",
        ("POST */runs/wait: status", "*.metadata.run_id"),
        "commands_change_*",
    ),
    # Assistants, threads and items.
    Known(
        "Nobody notes when an agent was configured.",
        ("POST /assistants/{}/versions: body.*.updated_at",),
    ),
    Known(
        "Schemas are those of the graph itself. There is no second schema of the context, and no further keys.",
        ("GET /assistants/{}/schemas: body.*",),
    ),
    Known(
        "Searches do not match arrays and objects in metadata.",
        ("POST /threads/search: status",),
        "threads_keep_nested_metadata",
    ),
    Known(
        "Searches find the latest item first, and there is no semantic search.",
        ("POST /store/items/search: body.items.*",),
    ),
    Known("There are no crons.", ("*/runs/crons*: status",), "crons"),
)


def known_place(difference: Difference) -> tuple[str, str] | None:
    """Return the reason and the pattern of a known difference; None for one that is not known.

    No failure of this server is known, besides operations that it does not have.
    """
    if difference.place.endswith(": status") and difference.ours >= 500 and difference.ours != 501:
        return None
    for known in KNOWN:
        if fnmatchcase(difference.scenario, known.scenarios):
            for place in known.places:
                if fnmatchcase(difference.place, place):
                    return known.reason, place
    return None
