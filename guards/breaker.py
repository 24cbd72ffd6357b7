"""No run tries what has just failed for others."""

from typing import ClassVar

from attrs import field, frozen

from fsm import Breaking, Guard, Kind, Share, Standing


@frozen
class Breaker(Guard):
    """Refuses while `name` is known to be down, by what all runs of this journal have found.

    One breaker a name, shared by every run, machine and process. It opens after `failures_max` failures in a row,
    or when `rate_pct` percent of at least `volume_min` results within `window_s` failed; then it refuses for
    `cooldown_s`, doubled with each further trip up to `cooldown_max_s`, less up to half by a hash. After that one
    probe is let through, in the whole world: its success closes the breaker, its failure or silence opens it again.

    `name` is what the runs depend on: the name their agents give to `view.call`, or, where the guard stands on a
    state, the agent of that state as well, for visits that do not call it by name. A failure is an error, a timeout,
    HTTP 408, 425, 429 or 5xx; other 4xx, invalid payloads and cancelled visits say nothing. On a state it is asked
    on entering; there and in `everywhere` also before each call of `name`, which is then not made: the state hears
    `CallRefused`. Codes: `open` (with `retry_at_ms`), `half_open` (somebody else's probe is out), `forced_open` (a
    person's word), `unreadable` (its row is damaged; it fails closed).
    """

    kind: ClassVar[Kind] = "env"
    codes: ClassVar[tuple[str, ...]] = ("open", "half_open", "forced_open", "unreadable")

    name: str
    failures_max: int | None = field(default=5, kw_only=True)
    rate_pct: int | None = field(default=None, kw_only=True)
    window_s: float = field(default=60, kw_only=True)
    volume_min: int = field(default=10, kw_only=True)
    cooldown_s: float = field(default=30, kw_only=True)
    cooldown_max_s: float = field(default=600, kw_only=True)

    def shared(self) -> Share:
        return Share("breaker", self.name)

    def breaking(self) -> Breaking:
        """The same in the kernel's whole numbers."""
        return Breaking(
            name=self.name,
            failures_max=self.failures_max,
            rate_pct=self.rate_pct,
            window_ms=round(self.window_s * 1000),
            volume_min=self.volume_min,
            cooldown_ms=round(self.cooldown_s * 1000),
            cooldown_max_ms=round(self.cooldown_max_s * 1000),
        )

    def params(self) -> dict[str, int | str]:
        breaking = self.breaking()
        values = {part: getattr(breaking, part) for part in type(breaking).__annotations__}
        return {part: value for part, value in values.items() if value is not None}

    def mistake(self, standing: Standing) -> tuple[str, str] | None:
        for part in ("window_s", "cooldown_s", "cooldown_max_s"):
            value: object = getattr(self, part)
            if type(value) not in (int, float) or not 0 < value < 1e9:  # type: ignore[operator]
                return f"Breaker({part}={value!r})", "give seconds, more than 0"
        return self.breaking().mistake()
