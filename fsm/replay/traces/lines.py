"""Traces as JSON lines, one message each:

    {"run": "7", "agent": "writer", "content": "...", "tokens": 412, "time": "2026-03-01T10:00:04Z"}
    {"run": "7", "agent": "search", "content": "", "error": "HTTP 503", "outcome": "failed"}

`run`, `agent` and `content` are needed. `error` says that what the agent tried has failed; `outcome`, on any line of a
run, how that ended; `label` what a person says: `good` or `bad` of the run, `mistake` of the message that decided its
failure. A person's word counts more than the outcome. Other fields are passed over.
"""

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Annotated

from attrs import define, field
from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, JsonValue

from fsm.define.payload import excerpt
from fsm.replay.traces.problems import parsed
from fsm.replay.traces.trace import Message, Trace, too_large

MISTAKE = "mistake"
ENDINGS: Mapping[str, bool] = {
    **dict.fromkeys(("completed", "success", "good", "true"), True),
    **dict.fromkeys(("failed", "failure", "cancelled", "bad", "false"), False),
}


def _text(content: JsonValue) -> str:
    """A content in parts, as some clients have it, is its JSON."""
    if content is None or isinstance(content, str):
        return content or ""
    return json.dumps(content, ensure_ascii=False)


def _ending(value: object) -> bool | None:
    known = ENDINGS.get(str(value).casefold())
    if known is None and value is not None:
        raise ValueError(f"write {', '.join(ENDINGS)}")
    return known


def _label(value: str | None) -> str | None:
    if value not in (None, MISTAKE, *ENDINGS):
        raise ValueError(f"write good or bad of a run, {MISTAKE} of the message that decided its failure")
    return value


class Line(BaseModel):
    """A line as it is written."""

    run: Annotated[str, Field(max_length=200, coerce_numbers_to_str=True)]
    agent: Annotated[str, Field(min_length=1, max_length=200)]
    content: Annotated[str, BeforeValidator(_text)]
    tokens: Annotated[int, Field(ge=0, le=1 << 40)] | None = None
    error: JsonValue = None
    time: datetime | None = None
    outcome: Annotated[bool | None, BeforeValidator(_ending)] = None
    label: Annotated[str | None, AfterValidator(_label)] = None

    def message(self) -> Message:
        at_ms = _ms(self.time) if self.time is not None else None
        return Message(self.agent, self.content, self.tokens, self.agent, bool(self.error), at_ms)


def _ms(moment: datetime) -> int:
    return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


@define
class _Run:
    """What the lines of one run have told so far."""

    where: str
    messages: list[Message] = field(factory=list)
    outcome: bool | None = None
    judged: bool | None = None
    mistake: int | None = None

    def add(self, line: Line) -> Iterator[str]:
        """Takes in a line; what in it contradicts the lines before."""
        judged = ENDINGS.get(line.label or "")
        if line.label == MISTAKE:
            if self.mistake is not None:
                yield f"a second {MISTAKE} of run {excerpt(line.run)}: one message decides"
            self.mistake = len(self.messages)
        for name, before, now in (("outcome", self.outcome, line.outcome), ("label", self.judged, judged)):
            if before is not None and now is not None and before is not now:
                yield f"another {name} of run {excerpt(line.run)} than on a line before"
        self.outcome = line.outcome if line.outcome is not None else self.outcome
        self.judged = judged if judged is not None else self.judged
        self.messages.append(line.message())

    def trace(self, name: str) -> Trace:
        said = (self.judged, self.outcome, False if self.mistake is not None else None)
        good = next((known for known in said if known is not None), None)
        return Trace(name, tuple(self.messages), good, self.mistake)


def read_lines(body: bytes, where: str, problems: list[str]) -> list[Trace]:
    """The runs in `body`, in the order in which they begin; what is wrong is added to `problems`, line by line."""
    runs: dict[str, _Run] = {}
    for number, text in numbered(body):
        at = f"{where}:{number}"
        line = parsed(Line, text, at, problems)
        if line is not None:
            run = runs.setdefault(line.run, _Run(at))
            problems += [f"{at}: {problem}" for problem in run.add(line)]
    traces = [run.trace(name) for name, run in runs.items()]
    for trace in traces:
        if problem := too_large(trace):
            problems.append(f"{runs[trace.name].where}: run {excerpt(trace.name)} has {problem}")
    return traces


def numbered(body: bytes) -> Iterator[tuple[int, bytes]]:
    """The lines that hold anything, with their numbers from 1."""
    lines = enumerate(body.split(b"\n"), 1)
    return ((number, line) for number, line in lines if line.strip())
