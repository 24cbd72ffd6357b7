"""The scenes: what the services do in each, and what is known of its run afterwards, from both sides."""

from collections import Counter
from collections.abc import Sequence

from attrs import frozen

from examples.incident.machine import Alert, Incident
from examples.incident.services import Services, Trouble
from fsm import Record, Replay, Run, Runner, replay_run


@frozen
class Scene:
    """A run of the machine while these troubles befall metrics and reports, request by request."""

    name: str
    title: str
    metrics: Sequence[Trouble] = ()
    reports: Sequence[Trouble] = ()


BROKEN: Sequence[Trouble] = ["500" for _ in range(100)]

SCENES = (
    Scene(
        "three-500s",
        "Metrics answer 500, whatever they are asked: after three in a row the next request is not made.",
        metrics=BROKEN,
    ),
    Scene(
        "garbage",
        "Metrics talk nonsense to two of an attempt's four questions: the next attempt asks those two again.",
        metrics=["garbage", "wrong"],
    ),
    Scene(
        "hang",
        "A report is taken, but its answer never comes: it is sent again, under the same key, and filed once.",
        reports=["hang"],
    ),
    Scene(
        "retry-after",
        "Reports ask to be left alone for a second (429), and are.",
        reports=["429"],
    ),
    Scene(
        "no-reports",
        "Reports answer 500 for good: after three attempts the fallback pages somebody.",
        reports=BROKEN,
    ),
    Scene(
        "all-at-once",
        "500, a hang, garbage, 429, and then all is well.",
        metrics=["500", "hang", "ok", "garbage"],
        reports=["429"],
    ),
)


@frozen(kw_only=True)
class Story:
    """A run as its journal tells it, what the services tell of the same, and what a replay found.

    `attempts` counts the requests that the journal says were attempted, by the name of the call; `seen` those
    that arrived, by service: the names are the same.
    """

    run: Run
    records: tuple[Record, ...]
    attempts: Counter[str]
    seen: Counter[str]
    log: tuple[tuple[str, Trouble], ...]
    filed: int
    replay: Replay

    @property
    def agreed(self) -> bool:
        """Whether both sides count the same, and the replay comes out the same."""
        return self.attempts == self.seen and self.replay.agreed


async def play(runner: Runner, scene: Scene, run_id: str) -> Story:
    """One scene, from the alert until its run stands still."""
    with Services(metrics=scene.metrics, reports=scene.reports) as services:
        alert = Alert(service="checkout", site=services.site)
        await runner.start(Incident, alert, run_id=run_id, labels={"example": "incident"})
        run = await runner.settled(run_id)
    read = runner.journal.read
    attempts = Counter(call.name for call in read.calls(run.key) if call.kind == "intent")
    return Story(
        run=run,
        records=tuple(read.records(run.key)),
        attempts=attempts,
        seen=services.seen,
        log=tuple(services.log),
        filed=len(services.filed),
        replay=replay_run(read, run_id, Incident),
    )
