"""Traces in the Who&When format: one JSON document a run, which failed.

It holds `history`, a list of messages (`content`, and who said it: `name`, or a `role` such as `Orchestrator
(thought)`), and `mistake_step`, the place in it, from 0, of the message that people found to be the decisive
mistake. How a tool fared is told by the look of its answer. The format does not say which tool it was but by who
speaks, so all tools count as one, named `tool`.
"""

import re

from pydantic import BaseModel, Field

from fsm.replay.traces.lines import numbered
from fsm.replay.traces.problems import parsed
from fsm.replay.traces.trace import Message, Trace, too_large

TOOL = "tool"
TOOLS = {"computer_terminal", "computerterminal", "websurfer", "filesurfer"}
UNTRIED = re.compile(r"there is no code|no code block", re.IGNORECASE)
FAILED = re.compile(
    r"exitcode: -?[1-9]|(web|file) surfing error|the script .*exited with an error|traceback \(most recent",
    re.IGNORECASE,
)


class Entry(BaseModel):
    content: str
    role: str = ""
    name: str | None = None

    def message(self) -> Message:
        agent = self.name or self.role.partition(" (")[0]
        text = self.content.strip()
        if agent.lower() not in TOOLS or UNTRIED.match(text):
            return Message(agent, self.content)
        return Message(agent, self.content, tried=TOOL, failed=bool(FAILED.match(text)))


class Document(BaseModel):
    history: list[Entry] = Field(min_length=1)
    mistake_step: int
    is_correct: bool = False


def read_documents(body: bytes, where: str, name: str, problems: list[str]) -> list[Trace]:
    """The run that `body` is, or those in it, one a line; what is wrong is added to `problems`."""
    lines = list(numbered(body))
    if len(lines) > 1 and lines[0][1].rstrip().endswith(b"}"):
        found = [_read(line, f"{where}:{number}", f"{name}:{number}", problems) for number, line in lines]
    else:
        found = [_read(body, where, name, problems)]
    return [trace for trace in found if trace is not None]


def _read(body: bytes, at: str, name: str, problems: list[str]) -> Trace | None:
    document = parsed(Document, body, at, problems)
    if document is None:
        return None
    trace = Trace(
        name, tuple(entry.message() for entry in document.history), document.is_correct, document.mistake_step
    )
    if not 0 <= document.mistake_step < len(trace.messages):
        problems.append(f"{at}: mistake_step is {document.mistake_step} of {len(trace.messages)} messages")
    elif problem := too_large(trace):
        problems.append(f"{at}: it has {problem}")
    return trace
