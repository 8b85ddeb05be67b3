"""The abilities of users over each surface: the table of docs/reference/surfaces.md, and the test that holds a cell."""

from typing import NamedTuple

ANY = "yes"
NO = "–"
RESPONSES = "responses"

SURFACES = ("Native", "LangGraph", "OpenAI", "AI SDK", "AG-UI", "Durable Streams", "MCP", "A2A")


class Cell(NamedTuple):
    """The text of a cell, and the test that holds it: `file.py::test`, below `tests`."""

    text: str
    test: str


NATIVE = "integration/test_streaming.py::"
LANGGRAPH_STREAMS = "integration/test_langgraph_streams.py::"
LANGGRAPH_RUNS = "integration/test_langgraph_runs.py::"
OPENAI = "integration/test_openai_sdk.py::"
PAGE = Cell(ANY, "integration/test_ai_sdk.py::test_a_page_of_the_ai_sdk_has_its_whole_day")
RUNS = "integration/test_agui.py::test_a_page_of_ag_ui_has_its_whole_day"
AG_UI = Cell(ANY, RUNS)
READER = "integration/test_durable_streams.py::"
TASKS = "integration/test_a2a.py::"
TASK_STREAMS = "integration/test_a2a_streams.py::"
BESIDE = Cell(ANY, f"{TASK_STREAMS}test_reasoning_tools_and_the_position_are_told_beside_the_answer")
WRITES = Cell(NO, f"{READER}test_a_stream_takes_no_writes")
AS_EVENTS = Cell("as native events", f"{READER}test_events_of_each_kind_are_the_native_ones")

TOOLS = "integration/test_mcp.py::"
CALLS = "integration/test_mcp_streams.py::"
NOTES = Cell("as progress", f"{CALLS}test_notes_tell_what_is_no_text_of_the_answer")

TABLE: dict[str, tuple[Cell, ...]] = {
    "Submit": (
        Cell(ANY, "integration/test_submitting.py::test_a_submit_can_be_a_stream_at_once"),
        Cell(ANY, f"{LANGGRAPH_STREAMS}test_a_run_is_made_streamed_and_joined_by_later_readers"),
        Cell(ANY, f"{OPENAI}test_responses_are_made_streamed_and_read_again"),
        PAGE,
        AG_UI,
        WRITES,
        Cell(ANY, f"{TOOLS}test_messages_are_submitted_awaited_and_listed"),
        Cell(ANY, f"{TASKS}test_a_task_is_a_message_and_a_context_a_thread"),
    ),
    "Priority": (
        Cell(ANY, "integration/test_submitting.py::test_messages_are_listed_by_what_they_have"),
        Cell(ANY, f"{LANGGRAPH_RUNS}test_a_header_gives_the_priority_of_runs_that_name_none"),
        Cell(ANY, f"{OPENAI}test_models_and_chat_completions"),
        PAGE,
        AG_UI,
        WRITES,
        Cell(ANY, f"{TOOLS}test_a_header_gives_the_priority_of_calls_that_name_none"),
        Cell(ANY, f"{TASKS}test_the_priority_is_that_of_the_header"),
    ),
    "Position in the queue": (
        Cell(ANY, f"{NATIVE}test_positions_are_told_to_all_who_wait"),
        Cell("comment", f"{LANGGRAPH_STREAMS}test_a_waiting_run_tells_its_position"),
        Cell(
            "comment",
            "integration/test_openai_errors.py::test_the_header_tells_the_priority_and_a_full_queue_when_to_come_again",
        ),
        PAGE,
        AG_UI,
        Cell("comment", f"{READER}test_positions_are_comments_behind_the_newest_offset"),
        Cell("as progress", f"{TOOLS}test_a_waiting_call_tells_the_position"),
        Cell(ANY, f"{TASKS}test_the_position_in_the_queue_is_told"),
    ),
    "Tokens": (
        Cell(ANY, f"{NATIVE}test_tokens_arrive_one_by_one"),
        Cell(ANY, "unit/test_langgraph_projection.py::test_pieces_have_the_text_since_the_piece_before_and_the_run"),
        Cell(ANY, f"{OPENAI}test_responses_are_made_streamed_and_read_again"),
        PAGE,
        AG_UI,
        AS_EVENTS,
        Cell("as progress", f"{TOOLS}test_each_agent_is_a_tool_with_its_input"),
        Cell(ANY, f"{TASKS}test_a_task_is_a_message_and_a_context_a_thread"),
    ),
    "Tools": (
        Cell(ANY, f"{NATIVE}test_tool_calls_and_their_results"),
        Cell(ANY, "integration/test_langgraph_protocol.py::test_pythons_client_sees_tools_and_what_they_write"),
        Cell(ANY, f"{OPENAI}test_tools_of_the_agent_are_calls_that_were_made"),
        PAGE,
        AG_UI,
        AS_EVENTS,
        NOTES,
        BESIDE,
    ),
    "Reasoning": (
        Cell(ANY, "unit/test_answer_builder.py::test_reasoning_is_shown_wherever_the_model_puts_it"),
        Cell(ANY, "unit/test_langgraph_projection.py::test_reasoning_is_apart_from_the_text"),
        Cell(RESPONSES, "unit/test_openai_projection.py::test_text_that_is_taken_back_is_not_in_the_output"),
        PAGE,
        AG_UI,
        AS_EVENTS,
        NOTES,
        BESIDE,
    ),
    "Questions": (
        Cell(ANY, "integration/test_interrupts.py::test_of_many_answers_the_first_one_counts"),
        Cell(ANY, f"{LANGGRAPH_STREAMS}test_a_question_ends_the_stream_and_its_answer_begins_another"),
        Cell(RESPONSES, f"{OPENAI}test_a_question_is_a_function_call_and_its_answer_another_response"),
        PAGE,
        AG_UI,
        Cell("shown", f"{READER}test_a_question_leaves_the_stream_open"),
        Cell(ANY, f"{TOOLS}test_a_question_ends_the_run_and_its_answer_goes_on"),
        Cell(ANY, f"{TASKS}test_a_question_asks_for_input_and_the_next_message_of_the_task_answers"),
    ),
    "Resume a stream": (
        Cell("from any event", f"{NATIVE}test_resuming_goes_on_exactly_there"),
        Cell("from any event", f"{LANGGRAPH_STREAMS}test_a_client_that_is_cut_off_continues_by_itself"),
        Cell("from any event", f"{OPENAI}test_responses_are_made_streamed_and_read_again"),
        Cell("the whole answer", PAGE.test),
        Cell(
            "snapshot and the rest",
            "integration/test_agui_streams.py::test_a_page_that_is_cut_off_100_times_has_no_gap_and_no_double",
        ),
        Cell("from any event", f"{READER}test_offsets_sort_and_each_one_resumes_behind_its_event"),
        Cell(
            "up to 2025-11-25",
            f"{CALLS}test_a_call_that_is_cut_off_at_any_byte_misses_nothing_and_is_told_nothing_twice",
        ),
        Cell("from any event", f"{TASK_STREAMS}test_a_client_that_is_cut_off_100_times_has_no_gap_and_no_double"),
    ),
    "Cancel": (
        Cell(ANY, "integration/test_control_api.py::test_a_cancelled_run_ends_as_cancelled_whatever_comes"),
        Cell(ANY, f"{LANGGRAPH_RUNS}test_cancelled_runs_keep_their_steps_or_lose_them"),
        Cell(ANY, f"{OPENAI}test_responses_in_the_background"),
        PAGE,
        AG_UI,
        WRITES,
        Cell(ANY, f"{CALLS}test_a_cancelled_run_of_an_agent_is_cancelled"),
        Cell(ANY, f"{TASKS}test_a_cancelled_task_never_completes"),
    ),
    "Usage": (
        Cell(ANY, "integration/test_usage.py::test_the_status_tells_what_all_attempts_used_and_cost"),
        Cell("in the state", "integration/test_langgraph_threads.py::test_states_are_read_and_changed"),
        Cell(ANY, f"{OPENAI}test_tools_of_the_agent_are_calls_that_were_made"),
        Cell(ANY, "unit/test_ai_sdk_projection.py::test_usage_is_the_sum_of_all_calls"),
        Cell(ANY, "unit/test_agui_projection.py::test_the_usage_is_that_of_all_calls_by_model"),
        AS_EVENTS,
        Cell(NO, f"{TOOLS}test_messages_are_submitted_awaited_and_listed"),
        Cell(NO, f"{TASKS}test_a_task_is_a_message_and_a_context_a_thread"),
    ),
}


def lines() -> list[str]:
    """Return the table as Markdown."""
    rows = [["", *SURFACES], ["---"] * (len(SURFACES) + 1)]
    rows += [[name, *(cell.text for cell in cells)] for name, cells in TABLE.items()]
    return [f"| {' | '.join(row)} |".replace("|  |", "| |") for row in rows]
