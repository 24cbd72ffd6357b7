"""One guard on its own, with what it keeps."""

from collections.abc import Mapping
from typing import Any

from attrs import define, field

from fsm import Facts, Guard, Verdict
from fsm.core.rulings import keeping
from fsm.define.payload import Payload


@define
class Kept:
    """A guard and its counts; `take` makes the move that it allows."""

    guard: Guard
    counts: Mapping[str, int] = field(factory=dict)

    def ask(self, payload: Payload, memory: Any = None) -> Verdict:
        facts = Facts(
            source="here",
            target="here",
            hop="again",
            payload=payload.value,
            counters={},
            at_ms=0,
            entered_at_ms=0,
            started_at_ms=0,
            payload_bytes=len(payload.body),
            payload_digest=payload.digest,
            kept=self.counts,
            memory=lambda: memory,
        )
        return self.guard.check(facts)

    def take(self, payload: Payload, memory: Any = None) -> Verdict:
        verdict = self.ask(payload, memory)
        if verdict.decision == "allow":
            self.counts = keeping(self.counts, verdict.keep)
        return verdict
