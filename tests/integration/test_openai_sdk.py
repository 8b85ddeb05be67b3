"""OpenAI's own client, unmodified, uses the surface for all that it serves."""

import asyncio
import json
from typing import Any

import openai
import pytest

from app.protocols import departures
from tests.graph_control import GraphControl
from tests.integration.conftest import Serve
from tests.integration.states import SECRET
from tests.openai_clients import AGENTS, kinds, sdk
from tests.openai_stub import Answer, StubServer, ToolCall
from tests.receiver import receiver
from tests.servers import LiveServer, until

HI: Any = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]


async def state_of(server: LiveServer, message_id: str) -> str:
    return str((await server.status(message_id))["state"])


async def frames_after(server: LiveServer, response_id: str, more: str = "") -> list[str]:
    """The frames of a response that has ended, without the line `retry`, whose number is random."""
    text = (await server.client.get(f"/v1/responses/{response_id}?stream=true{more}")).text
    frames = [frame.rpartition("retry: ")[2] for frame in text.split("\n\n") if "data: " in frame]
    return [frame if frame.startswith("event") else frame.split("\n", 1)[1] for frame in frames]


async def test_models_and_chat_completions(serve: Serve, control: GraphControl) -> None:
    server = await serve(agents=AGENTS, max_attempts=1)
    async with sdk(server) as client:
        names = [model.id async for model in client.models.list()]
        assert names == ["steps", "approving", "failing", "tools", "flaky", "plain"]
        assert (await client.models.retrieve("steps")).object == "model"

        done = await client.chat.completions.create(model="steps", messages=HI, service_tier="priority")
        assert done.choices[0].message.content == "Heard: Hi"
        assert done.choices[0].finish_reason == "stop"
        stored = (await server.client.get(f"/messages/{done.id.removeprefix('chatcmpl-')}")).json()
        assert (stored["priority"], stored["thread_id"]) == ("high", None)

        text = ""
        options: Any = {"include_usage": True}
        stream = await client.chat.completions.create(model="steps", messages=HI, stream=True, stream_options=options)
        async for chunk in stream:
            text += (chunk.choices[0].delta.content or "") if chunk.choices else ""
        assert text == "Step one. \n\nHeard: Hi", "what is taken back is a paragraph of its own"

        with pytest.raises(openai.InternalServerError, match="this graph cannot") as failed:
            await client.chat.completions.create(model="failing", messages=HI)
        assert failed.value.code == "agent_error"
        assert failed.value.response.headers["x-should-retry"] == "false"
        with pytest.raises(openai.APIError, match="this graph cannot"):
            async for _ in await client.chat.completions.create(model="failing", messages=HI, stream=True):
                pass
        with pytest.raises(openai.BadRequestError, match="asks a human"):
            await client.chat.completions.create(model="approving", messages=HI)
        plain = await client.chat.completions.create(model="plain", messages=HI[1:])
        assert plain.choices[0].message.content == "Hi"


@pytest.mark.parametrize("stream", [False, True])
async def test_a_completion_is_cancelled_when_its_reader_leaves(
    serve: Serve, control: GraphControl, monkeypatch: pytest.MonkeyPatch, stream: bool
) -> None:
    monkeypatch.setattr(departures, "GRACE_SECONDS", 0.0)
    server = await serve(agents=AGENTS)
    control.hold("first")
    async with sdk(server) as client:
        asked = asyncio.create_task(_read(client, stream=stream))
        await until(lambda: control.waits("first"), "the run has begun")
        [message] = (await server.client.get("/messages")).json()["messages"]
        asked.cancel()
        await asyncio.gather(asked, return_exceptions=True)

        async def cancelled() -> bool:
            return await state_of(server, message["message_id"]) == "cancelled"

        await until(cancelled, "the run is cancelled")


async def _read(client: openai.AsyncOpenAI, *, stream: bool) -> None:
    made: Any = await client.chat.completions.create(model="steps", messages=HI, stream=stream)
    async for _ in made:
        pass


async def test_responses_are_made_streamed_and_read_again(serve: Serve, control: GraphControl) -> None:
    server = await serve(agents=AGENTS, max_attempts=1)
    async with sdk(server) as client:
        plain = await client.responses.create(
            model="steps", input="Hi", instructions="Be brief.", metadata={"topic": "greeting"}
        )
        assert (plain.status, plain.output_text, plain.metadata) == ("completed", "Heard: Hi", {"topic": "greeting"})
        again = await client.responses.retrieve(plain.id)
        assert again.model_dump() == plain.model_dump()
        items = await client.responses.input_items.list(plain.id)
        assert [item.content[0].text for item in items.data] == ["Hi"]

        run = plain.id.removeprefix("resp_")
        thread = (await server.status(run))["thread_id"]
        elsewhere = await server.client.get(f"/langgraph/threads/{thread}/runs/{run}/stream")
        assert "event: messages\n" in elsewhere.text, "another surface shows it as one from elsewhere"
        native = await server.submit("Hi", agent="steps", thread_id="a/b")
        await server.ended(native["message_id"])
        shown = await client.responses.retrieve(f"resp_{native['message_id']}")
        assert shown.output_text == "Heard: Hi"
        assert shown.conversation is not None
        assert (await client.conversations.retrieve(shown.conversation.id)).id == "conv_a/b"

        async with client.responses.stream(model="steps", input="Hi") as stream:
            events = [event async for event in stream]
            final = await stream.get_final_response()
        assert final.output_text == "Heard: Hi"
        assert [event.sequence_number for event in events] == list(range(len(events)))
        assert [event.type.removeprefix("response.") for event in events][:6] == [
            "created", "queued", "in_progress", "output_item.added", "content_part.added", "output_text.delta",
        ]  # fmt: skip
        whole = await frames_after(server, final.id)
        assert len(whole) == len(events)
        for number in (-1, 0, 3, len(events) - 2, len(events) - 1):
            assert await frames_after(server, final.id, f"&starting_after={number}") == whole[number + 1 :]
        beyond = await client.responses.retrieve(final.id, stream=True, starting_after=len(events))
        with pytest.raises(openai.APIError, match=f"no event {len(events)}; its last is {len(events) - 1}"):
            await anext(aiter(beyond))

        failed = await client.responses.create(model="failing", input="Hi")
        assert failed.status == "failed"
        assert failed.error is not None
        assert "this graph cannot" in failed.error.message
        assert (await client.responses.delete(failed.id)) is None
        with pytest.raises(openai.NotFoundError):
            await client.responses.retrieve(failed.id)


async def test_responses_in_the_background(serve: Serve, control: GraphControl) -> None:
    server = await serve(agents=AGENTS)
    control.hold("second")
    async with sdk(server) as client:
        begun = await client.responses.create(model="steps", input="Hi", background=True, service_tier="flex")
        assert (begun.status, begun.background, begun.output) == ("queued", True, [])
        assert (await state_of(server, begun.id.removeprefix("resp_"))) in ("queued", "processing")
        await until(lambda: control.waits("second"), "the run has begun")
        assert (await client.responses.retrieve(begun.id)).status == "in_progress"
        seen = []
        async for event in await client.responses.retrieve(begun.id, stream=True):
            seen.append(event)
            if event.type == "response.output_text.delta":
                break
        control.release("second")
        rest = [
            event
            async for event in await client.responses.retrieve(
                begun.id, stream=True, starting_after=seen[-1].sequence_number
            )
        ]
        assert rest[0].sequence_number == seen[-1].sequence_number + 1
        assert rest[-1].type == "response.completed"
        assert rest[-1].response.output_text == "Heard: Hi"

        control.hold("first")
        slow = await client.responses.create(model="steps", input="Hi", background=True)
        assert (await client.responses.cancel(slow.id)).status == "cancelled"
        assert (await client.responses.cancel(slow.id)).status == "cancelled"
        assert (await client.responses.cancel(begun.id)).status == "completed"
        ended = await kinds(await client.responses.retrieve(slow.id, stream=True))
        assert ended[-1] == "response.incomplete"


async def test_two_responses_that_follow_one_do_not_know_each_other(serve: Serve, model: StubServer) -> None:
    server = await serve()
    async with sdk(server) as client:
        first = await client.responses.create(model="chat", input="I am Ann.")
        left = await client.responses.create(model="chat", input="I live in Rome.", previous_response_id=first.id)
        right = await client.responses.create(model="chat", input="Where do I live?", previous_response_id=first.id)
        follows = await client.responses.create(model="chat", input="And now?", previous_response_id=left.id)
        assert follows.previous_response_id == left.id
        assert right.previous_response_id == first.id
        assert [model.text_of_users(at) for at in range(4)] == [
            ["I am Ann."],
            ["I am Ann.", "I live in Rome."],
            ["I am Ann.", "Where do I live?"],
            ["I am Ann.", "I live in Rome.", "And now?"],
        ]
        with pytest.raises(openai.BadRequestError) as missing:
            await client.responses.create(model="chat", input="Hi", previous_response_id="resp_x")
        assert missing.value.code == "previous_response_not_found"

        talk = await client.conversations.create(metadata={"owner": "ann"})
        for text in ("One", "Two"):
            said = await client.responses.create(model="chat", input=text, conversation=talk.id)
        assert said.conversation is not None
        assert said.conversation.id == talk.id
        items = [item async for item in client.conversations.items.list(talk.id, order="asc", limit=3)]
        assert [item.role for item in items] == ["user", "assistant", "user", "assistant"]
        newest = [item.id async for item in client.conversations.items.list(talk.id, limit=3)]
        assert newest == [item.id for item in items[::-1]]
        assert (await client.conversations.retrieve(talk.id)).metadata == {"owner": "ann"}
        changed = await client.conversations.update(talk.id, metadata={"owner": "bob"})
        assert changed.metadata == {"owner": "bob"}
        assert (await client.conversations.delete(talk.id)).deleted
        with pytest.raises(openai.NotFoundError):
            await client.conversations.retrieve(talk.id)


async def test_responses_that_follow_one_run_side_by_side(serve: Serve, control: GraphControl) -> None:
    server = await serve(agents=AGENTS, worker_concurrency=2)
    async with sdk(server) as client:
        first = await client.responses.create(model="steps", input="One")
        control.hold("second")
        follows = [
            await client.responses.create(model="steps", input=text, previous_response_id=first.id, background=True)
            for text in ("Left", "Right")
        ]
        for each in follows:

            async def begun(message_id: str = each.id.removeprefix("resp_")) -> bool:
                return await state_of(server, message_id) == "processing"

            await until(begun, "both run at a time")
        control.release("second")
        ends = [await kinds(await client.responses.retrieve(each.id, stream=True)) for each in follows]
        assert [end[-1] for end in ends] == ["response.completed"] * 2
        assert [(await client.responses.retrieve(each.id)).output_text for each in follows] == [
            "Heard: One | Left",
            "Heard: One | Right",
        ]


async def test_a_question_is_a_function_call_and_its_answer_another_response(
    serve: Serve, control: GraphControl
) -> None:
    server = await serve(agents=AGENTS)
    async with sdk(server) as client:
        async with client.responses.stream(model="approving", input="Do") as stream:
            asked = await stream.get_final_response()
        call = asked.output[-1]
        assert call.type == "function_call"
        assert (call.name, json.loads(call.arguments)) == ("ask_human", {"question": "May I?"})
        answer: Any = [{"type": "function_call_output", "call_id": call.call_id, "output": "yes"}]
        async with client.responses.stream(model="approving", input=answer, previous_response_id=asked.id) as stream:
            done = await stream.get_final_response()
        assert (done.status, done.output_text, done.previous_response_id) == ("completed", "Heard: Do", asked.id)
        assert done.id != asked.id
        assert (await client.responses.retrieve(asked.id)).output[-1].type == "function_call"
        assert (await client.responses.retrieve(done.id)).output_text == "Heard: Do"
        with pytest.raises(openai.BadRequestError, match="answered"):
            await client.responses.create(model="approving", input=answer, previous_response_id=asked.id)

        talk = await client.conversations.create()
        asked = await client.responses.create(model="approving", input="Do", conversation=talk.id)
        answer[0]["call_id"] = asked.output[-1].call_id
        done = await client.responses.create(model="approving", input=answer, conversation=talk.id)
        assert done.output_text == "Heard: Do"
        items = [item.type async for item in client.conversations.items.list(talk.id, order="asc")]
        assert items == ["message", "message", "function_call", "message"]
        again = await client.responses.create(model="approving", input="Do", conversation=talk.id)
        other = await client.responses.create(model="approving", input="Instead", conversation=talk.id)
        assert [each.output[-1].type for each in (again, other)] == ["function_call", "function_call"]
        assert await state_of(server, again.id.removeprefix("resp_")) == "cancelled", "new input cancels a question"


async def test_tools_of_the_agent_are_calls_that_were_made(
    serve: Serve, control: GraphControl, model: StubServer
) -> None:
    server = await serve(agents=AGENTS)
    model.replies.extend([ToolCall("_add", {"a": 2, "b": 3}), Answer("Five.")])
    async with sdk(server) as client:
        async with client.responses.stream(model="tools", input="2+3?") as stream:
            seen = await kinds(stream)
            done = await stream.get_final_response()
        assert "response.mcp_call.completed" in seen
        call, said = done.output
        assert call.type == "mcp_call"
        assert (call.name, json.loads(call.arguments), call.output) == ("_add", {"a": 2, "b": 3}, "5")
        assert said.type == "message"
        assert done.usage is not None
        assert done.usage.total_tokens == done.usage.input_tokens + done.usage.output_tokens > 0
        model.replies.append(Answer("Six."))
        back: Any = [{"role": "user", "content": "2+3?"}, *[each.model_dump() for each in done.output]]
        more = await client.responses.create(model="tools", input=[*back, {"role": "user", "content": "And one more?"}])
        assert more.output_text == "Six."


async def test_a_retry_shows_the_text_of_each_attempt_as_an_item(serve: Serve, control: GraphControl) -> None:
    server = await serve(agents=AGENTS, retry_base_seconds=0)
    control.crash("flaky")
    async with sdk(server) as client:
        async with client.responses.stream(model="flaky", input="Hi") as stream:
            events = [event async for event in stream]
            done = await stream.get_final_response()
        assert done.output_text == "It works."
        added = [event.item.id for event in events if event.type == "response.output_item.added"]
        assert len(added) == len(set(added)) == 3


async def test_webhooks_are_unwrapped_by_the_client(serve: Serve, control: GraphControl) -> None:
    server = await serve(agents=AGENTS, webhook_secret=SECRET, webhook_allow_private=True, max_attempts=1)
    async with receiver() as there, sdk(server, webhook_secret=SECRET) as client:
        hook: Any = {"webhook_url": there.url()}
        done = await client.responses.create(model="steps", input="Hi", extra_body=hook)
        failed = await client.responses.create(model="failing", input="Hi", extra_body=hook)
        asked: Any = await client.responses.create(model="approving", input="Do", extra_body=hook)
        await until(lambda: len(there.requests) == 3, "the question is told too")
        answer: Any = [{"type": "function_call_output", "call_id": asked.output[-1].call_id, "output": "yes"}]
        answered = await client.responses.create(model="approving", input=answer, previous_response_id=asked.id)
        await until(lambda: len(there.requests) == 4, "all webhooks have come")
        events: Any = [client.webhooks.unwrap(call.body, call.headers) for call in there.requests]
    assert {(event.type, event.data.id) for event in events} == {
        ("response.completed", done.id), ("response.failed", failed.id),
        ("response.completed", asked.id), ("response.completed", answered.id),
    }  # fmt: skip


async def test_items_are_named_by_their_ids(serve: Serve, control: GraphControl) -> None:
    server = await serve(agents=AGENTS)
    store = server.runtime.services.store
    async with sdk(server) as client:
        asked: Any = await client.responses.create(model="approving", input="Do")
        call = asked.output[-1]
        named: list[Any] = [{"type": "item_reference", "id": item.id} for item in asked.output]
        answer: Any = {"type": "function_call_output", "call_id": call.call_id, "output": "yes"}
        past: list[Any] = [{"role": "user", "content": "Do"}, *named, answer]
        done: Any = await client.responses.create(model="approving", input=past)
        assert (done.output_text, done.previous_response_id) == ("Heard: Do", asked.id)
        with pytest.raises(openai.BadRequestError, match="nothing is asked there"):
            await client.responses.create(model="approving", input=past)
        past += [{"id": done.output[-1].id}, {"role": "user", "content": "More"}]
        more = await client.responses.create(model="steps", input=past)
        assert more.output_text == "Heard: Do | More"
        items = [item.type async for item in client.responses.input_items.list(more.id, order="asc")]
        assert items == ["message", "message", "mcp_call", "message", "message"]

        async def is_pruned() -> bool:
            await store.prune_logs(older_than_seconds=0, limit=10)
            return (await store.read("default", more.id[5:], after=0, limit=1)).first > 1

        await until(is_pruned, "the log is gone")
        twice: Any = [{"id": more.output[0].id}, {"id": f"msg_{more.id[5:]}_another"}, {"role": "user", "content": "x"}]
        after = await client.responses.create(model="steps", input=twice)
        texts = [item.content[0].text async for item in client.responses.input_items.list(after.id, order="asc")]
        assert texts == ["Heard: Do | More", "x"], "the result stands for all texts, once"
