"""Runs of other systems, recorded in the Who&When format: one JSON file a run, one folder a system.

A file holds `history`, a list of messages (`content`, and who said it: `name`, or a `role` such as `Orchestrator
(thought)`), and `mistake_step`, the place in it, from 0, of the message that people found to be the decisive
mistake. What is labelled are failures only: no run of the format is known to have succeeded.
"""

import json
import re
from bisect import bisect_right
from collections.abc import Iterator
from itertools import accumulate, groupby
from pathlib import Path

from attrs import field, frozen

TOOLS = {"computer_terminal", "computerterminal", "websurfer", "filesurfer"}
UNTRIED = re.compile(r"there is no code|no code block", re.IGNORECASE)
FAILED = re.compile(
    r"exitcode: -?[1-9]|(web|file) surfing error|the script .*exited with an error|traceback \(most recent",
    re.IGNORECASE,
)


@frozen
class Message:
    """`failed` says how a tool fared, by the look of its answer; None if nobody tried one."""

    speaker: str
    text: str
    failed: bool | None


@frozen
class Recording:
    """One run; `mistake` is the place in `messages` of the decisive mistake."""

    name: str
    messages: tuple[Message, ...]
    mistake: int = field()

    @mistake.validator
    def _is_a_message(self, attribute: object, mistake: int) -> None:
        if not 0 <= mistake < len(self.messages):
            raise ValueError(f"{self.name}: mistake_step is {mistake} of {len(self.messages)} messages")


def systems(folder: Path) -> Iterator[tuple[str, list[Recording]]]:
    """Each folder in it that holds runs, with these, in the order of their numbers."""
    for system in sorted(path for path in folder.iterdir() if path.is_dir()):
        files = sorted(system.glob("*.json"), key=lambda file: (len(file.stem), file.stem))
        if files:
            yield system.name, [_recording(file) for file in files]


def handoffs(recording: Recording) -> Recording:
    """The same run with all that one says in a row as one message: what the next speaker is handed."""
    groups = [list(group) for _, group in groupby(recording.messages, key=lambda message: message.speaker)]
    ends = list(accumulate(map(len, groups)))
    return Recording(recording.name, tuple(map(_joined, groups)), bisect_right(ends, recording.mistake))


def _joined(messages: list[Message]) -> Message:
    tried = [message.failed for message in messages if message.failed is not None]
    text = "\n".join(message.text for message in messages)
    return Message(messages[0].speaker, text, tried[-1] if tried else None)


def _recording(file: Path) -> Recording:
    found = json.loads(file.read_text("utf-8"))
    messages = tuple(_message(message) for message in found["history"])
    return Recording(f"{file.parent.name}/{file.stem}", messages, int(found["mistake_step"]))


def _message(message: dict[str, str]) -> Message:
    speaker = message.get("name") or message["role"].partition(" (")[0]
    text = message["content"]
    tried = speaker.lower() in TOOLS and not UNTRIED.match(text.strip())
    return Message(speaker, text, bool(FAILED.match(text.strip())) if tried else None)
