"""A run of any system as it was written down: messages in their order, each of one agent."""

from itertools import accumulate, groupby

from attrs import frozen

AGENTS_MAX = 32
MESSAGES_MAX = 100_000


@frozen
class Message:
    """What an agent said; None where something is not known.

    `tried` names what the agent depended on and `failed` says how that went. `at_ms` is the moment it was said.
    """

    agent: str
    text: str
    tokens: int | None = None
    tried: str = ""
    failed: bool | None = None
    at_ms: int | None = None


@frozen
class Trace:
    """One run; `good` says how it ended, `mistake` which message, from 0, decided its failure; None: not known."""

    name: str
    messages: tuple[Message, ...]
    good: bool | None = None
    mistake: int | None = None

    @property
    def tells_tokens(self) -> bool:
        return any(message.tokens is not None for message in self.messages)

    @property
    def tells_time(self) -> bool:
        return any(message.at_ms is not None for message in self.messages)

    def spent(self) -> list[int]:
        """What each message cost: its tokens; where the run tells none, its bytes, which are never fewer.

        Bytes are counted once, when it is said; what others read of it again is not.
        """
        if self.tells_tokens:
            return [message.tokens or 0 for message in self.messages]
        return [len(message.text.encode()) for message in self.messages]


def by_handoffs(trace: Trace) -> Trace:
    """The same run with all that one agent says in a row as one message: what the next one is handed."""
    groups = [list(group) for _, group in groupby(trace.messages, key=lambda message: message.agent)]
    mistake = None
    if trace.mistake is not None:
        ends = accumulate(map(len, groups))
        mistake = next(place for place, end in enumerate(ends) if end > trace.mistake)
    return Trace(trace.name, tuple(map(_joined, groups)), trace.good, mistake)


def _joined(messages: list[Message]) -> Message:
    tokens = [message.tokens for message in messages if message.tokens is not None]
    tried = next((message for message in reversed(messages) if message.failed is not None), messages[-1])
    return Message(
        agent=messages[0].agent,
        text="\n".join(message.text for message in messages),
        tokens=sum(tokens) if tokens else None,
        tried=tried.tried,
        failed=tried.failed,
        at_ms=next((message.at_ms for message in reversed(messages) if message.at_ms is not None), None),
    )


def too_large(trace: Trace) -> str:
    """Why a run is more than is looked at; "" if it is not."""
    agents = len({message.agent for message in trace.messages})
    if agents > AGENTS_MAX:
        return f"{agents:,} agents, at most {AGENTS_MAX} are looked at: give those that do the same one name"
    if len(trace.messages) > MESSAGES_MAX:
        return f"{len(trace.messages):,} messages, at most {MESSAGES_MAX:,} are looked at"
    return ""
