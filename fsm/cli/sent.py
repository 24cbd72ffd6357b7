"""What became of an event that was sent."""

from attrs import define
from rich.text import Text

from fsm.cli.telling import clean, moment, objection
from fsm.core.record import Record
from fsm.define.spec import MachineSpec
from fsm.show.data import Data, record_data


@define
class Sent:
    """The event, the run's last record when it was sent, and the record that decided it.

    Decided without a record: the visit had its `refusals_max`, and it was only counted. Not `decided`: it is in
    the run's inbox.
    """

    event: str
    before: int
    record: Record | None = None
    decided: bool = False

    @property
    def taken(self) -> bool:
        return self.record is not None and self.record.kind not in ("refused", "unhandled")

    def data(self) -> Data:
        return {"decided": self.decided, "decision": record_data(self.record) if self.record is not None else None}

    def lines(self, spec: MachineSpec) -> list[Text]:
        record, event = self.record, clean(self.event)
        if not self.decided:
            return [Text(f"… {event} waits in the run's inbox; the runner that advances the run decides it", "yellow")]
        if record is None:
            told = f"✗ {event} was only counted: this visit has had its {spec.bounds.refusals_max} refused events"
            return [Text(told, "red")]
        before = f" (decided before, record {record.seq})" if record.seq <= self.before else ""
        objected = [objection(ruling) for ruling in record.rulings if ruling.verdict.decision != "allow"]
        if record.kind == "refused":
            told = f"✗ {event} was refused{before}: {'; '.join(objected)}"
        elif record.kind == "unhandled":
            takes = ", ".join(map(clean, spec.events_from(record.state))) or "nothing from outside"
            told = f"✗ {event} was not taken{before}: {clean(record.state)} takes {takes}"
        elif record.kind == "deferred":
            told = f"… {event} was put off{before} until {moment(record.until_ms or 0)}: {'; '.join(objected)}"
        else:
            way = f"{clean(record.source)} → {clean(record.state)} by {clean(record.hop)}"
            told = f"✓ {event} was taken{before}: {way}" + "".join(f"; {part}" for part in objected)
        return [Text(told, {"✓": "green", "✗": "red"}.get(told[0], "yellow"))]
