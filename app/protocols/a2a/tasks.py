"""Makes the protocol's tasks of messages. Pure."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any

from a2a.types import a2a_pb2 as pb
from google.protobuf.json_format import ParseDict
from google.protobuf.struct_pb2 import Value
from google.protobuf.timestamp_pb2 import Timestamp

from ...clock import to_datetime
from ...models.messages import Message, MessageState
from ...policy.question_texts import question_texts

STATES: Mapping[MessageState, pb.TaskState] = MappingProxyType(
    {
        MessageState.QUEUED: pb.TaskState.TASK_STATE_SUBMITTED,
        MessageState.PROCESSING: pb.TaskState.TASK_STATE_WORKING,
        MessageState.COMPLETED: pb.TaskState.TASK_STATE_COMPLETED,
        MessageState.FAILED: pb.TaskState.TASK_STATE_FAILED,
        MessageState.CANCELLED: pb.TaskState.TASK_STATE_CANCELED,
        MessageState.INTERRUPTED: pb.TaskState.TASK_STATE_INPUT_REQUIRED,
    }
)

ANSWER, OUTPUT = "answer", "output"
"""The ids of the artifacts: the text of the answer, and the structured answer."""

OURS = "agentq"
"""The key of what this server tells in metadata beside the protocol."""


def context_of(message: Message) -> str:
    """Return the id of a message's context. A message without a thread has one of its own."""
    return message.thread_id or message.id


def task_of(message: Message, artifacts: Sequence[pb.Artifact], history: Sequence[pb.Message]) -> pb.Task:
    """Return a message as a task."""
    return pb.Task(
        id=message.id,
        context_id=context_of(message),
        status=status_of(message),
        artifacts=artifacts,
        history=history,
    )


def status_of(message: Message) -> pb.TaskStatus:
    """Return the state of a message with its question or its error."""
    at = message.completed_at or message.started_at or message.created_at
    status = pb.TaskStatus(state=STATES[message.state], timestamp=timestamp(at))
    match message.state:
        case MessageState.INTERRUPTED:
            status.message.CopyFrom(
                question_message(message.id, context_of(message), json.loads(message.interrupt or "[]"))
            )
        case MessageState.FAILED:
            status.message.CopyFrom(
                error_message(message.id, context_of(message), message.error or "", message.error_code)
            )
    return status


def artifacts_of(message: Message) -> list[pb.Artifact]:
    """Return the artifacts of a message that has ended."""
    made = [] if not message.result else [text_artifact(message.result)]
    return made if message.output is None else [*made, output_artifact(json.loads(message.output))]


def text_artifact(text: str) -> pb.Artifact:
    """Return a text of the answer as an artifact, or as a part of one."""
    return pb.Artifact(artifact_id=ANSWER, name=ANSWER, parts=[pb.Part(text=text, media_type="text/plain")])


def output_artifact(output: Any) -> pb.Artifact:
    """Return a structured answer as an artifact."""
    return pb.Artifact(artifact_id=OUTPUT, name=OUTPUT, parts=[data_part(output)])


def data_part(value: Any) -> pb.Part:
    """Return a part with any JSON."""
    return pb.Part(data=ParseDict(value, Value()), media_type="application/json")


def timestamp(at: datetime) -> Timestamp:
    """Return a time as the protocol has it."""
    made = Timestamp()
    made.FromDatetime(at)
    return made


def timestamp_of(at: int) -> Timestamp:
    """Return the time of an event."""
    return timestamp(to_datetime(at))


def question_message(task_id: str, context_id: str, asked: Sequence[Mapping[str, Any]]) -> pb.Message:
    """Return the message of an agent that asks: the questions as texts, then all of them as data with their ids."""
    texts = [pb.Part(text=text, media_type="text/plain") for each in asked for text in question_texts(each["value"])]
    parts = [*texts, data_part({"interrupts": [{"id": each["id"], "value": each["value"]} for each in asked]})]
    name = f"{task_id}-{'-'.join(str(each['id']) for each in asked)}"
    return _agent_message(name, task_id, context_id, parts)


def answer_message(name: str, task_id: str, context_id: str, answers: Mapping[str, Any]) -> pb.Message:
    """Return the message of the user that answers questions. `answers` are values by the ids of the questions."""
    value, *others = answers.values()
    if others:
        part = data_part(answers)
    elif isinstance(value, str):
        part = pb.Part(text=value, media_type="text/plain")
    else:
        part = data_part(value)
    return pb.Message(message_id=name, task_id=task_id, context_id=context_id, role=pb.Role.ROLE_USER, parts=[part])


def error_message(task_id: str, context_id: str, error: str, code: str | None) -> pb.Message:
    """Return the message that tells why a task has failed."""
    message = _agent_message(f"{task_id}-error", task_id, context_id, [pb.Part(text=error, media_type="text/plain")])
    if code is not None:
        ParseDict({OURS: {"code": code}}, message.metadata)
    return message


def note_message(name: str, task_id: str, context_id: str, text: str) -> pb.Message:
    """Return a message of the agent that tells what happens."""
    return _agent_message(name, task_id, context_id, [pb.Part(text=text, media_type="text/plain")])


def given_message(message: Message) -> pb.Message:
    """Return the message of the user that a task answers."""
    run = message.options.run
    if run.input is not None:
        parts = [data_part(run.input)]
    elif run.blocks is not None:
        parts = [_part_of(block) for block in run.blocks]
    else:
        parts = [pb.Part(text=message.content, media_type="text/plain")]
    return pb.Message(
        message_id=run.message_id or message.id,
        task_id=message.id,
        context_id=context_of(message),
        role=pb.Role.ROLE_USER,
        parts=parts,
    )


def _agent_message(name: str, task_id: str, context_id: str, parts: Sequence[pb.Part]) -> pb.Message:
    return pb.Message(message_id=name, task_id=task_id, context_id=context_id, role=pb.Role.ROLE_AGENT, parts=parts)


def _part_of(block: Mapping[str, Any]) -> pb.Part:
    """Return a content block as a part. A block that has no form in the protocol is data."""
    if block["type"] == "text":
        return pb.Part(text=block["text"], media_type="text/plain")
    extras = block.get("extras") or {}
    about = {"mediaType": block.get("mime_type") or "", "filename": str(extras.get("filename") or "")}
    for field, name in (("base64", "raw"), ("url", "url")):
        if block.get(field) is not None:
            return ParseDict({name: block[field], **about}, pb.Part())
    return data_part(dict(block))
