"""No handoff larger than the next one can use."""

from typing import ClassVar

from attrs import frozen

from fsm import Facts, Guard, Kind, Standing, Verdict, allow, refuse
from fsm.define.guard import not_whole


@frozen
class PayloadSize(Guard):
    """Refuses a payload of more than `bytes_max` bytes.

    Counted are the bytes of its canonical JSON, as they are stored. The machine's own `payload_bytes_max` stays in
    force: what exceeds that is no payload at all (`PayloadInvalid`). Code: `payload_size`, with both numbers.
    """

    kind: ClassVar[Kind] = "data"
    codes: ClassVar[tuple[str, ...]] = ("payload_size",)

    bytes_max: int

    def check(self, facts: Facts, /) -> Verdict:
        numbers = {"bytes": facts.payload_bytes, "bytes_max": self.bytes_max}
        return refuse("payload_size", **numbers) if facts.payload_bytes > self.bytes_max else allow(**numbers)

    def mistake(self, standing: Standing) -> tuple[str, str] | None:
        return not_whole(self, "bytes_max", 1)
