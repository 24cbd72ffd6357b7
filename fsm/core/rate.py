"""A rate that many runs share: how many visits have begun lately, and when the next may. Pure: no clock, no user code.

At most `limit` visits begin in any time of `window_ms`, wherever that starts. Who asks when there is room goes on at
once; who has to wait is given a slot of its own, the next that is free, and comes back then: a thousand that wait
are asked twice each, and not again and again. Slots are given in the order of asking, also to those who ask later.

Visits are counted in buckets of a tenth of the window, so that a row stays small; a bucket counts until all of it has
left the window. So a queue moves at ten elevenths of the limit, and never faster than that. A slot is good for its
bucket: a run that comes later, as its process was down, gets another.

Sources: the log of moments that a sliding window needs, thinned to buckets; its slots given ahead, as GCRA gives its
theoretical arrival times (ITU-T I.371, 1996).
"""

import json
from collections.abc import Mapping

from attrs import frozen

from fsm.define.guard import Verdict
from fsm.define.value import value

BUCKETS = 10
LIMITED = "rate_limited"
SLOT = "slot"  # what is kept of a deferral: the moment that is reserved

Buckets = tuple[tuple[int, int], ...]


@frozen(kw_only=True)
class Rating:
    """At most `limit` visits in any `window_ms` milliseconds."""

    limit: int
    window_ms: int

    @property
    def width_ms(self) -> int:
        """Of a bucket: a tenth of the window, rounded up."""
        return -(-self.window_ms // BUCKETS)

    def gone_ms(self, start_ms: int) -> int:
        """When a bucket that begins then counts no more: nothing in it is in a window that ends later."""
        return start_ms + (BUCKETS + 1) * self.width_ms


@value(kw_only=True)
class RateRow:
    """A rate as it is stored: of each bucket its start and the visits that begin in it, oldest first.

    The last may be in the future: those are slots that somebody waits for.
    """

    taken: Buckets = ()
    readable: bool = True

    @property
    def state(self) -> str:
        """What is logged when it changes: what it counts changes all the time."""
        return "counting" if self.readable else "unreadable"

    @property
    def last_ms(self) -> int:
        """No slot is given before this one."""
        return self.taken[-1][0] if self.taken else 0

    @staticmethod
    def from_numbers(numbers: Mapping[str, int]) -> "RateRow":
        """The row of which `ask` says the same; other numbers may stand beside its own."""
        last_ms, taken = numbers.get("last_ms", 0), numbers.get("taken", 0)
        found = ((numbers.get("oldest_ms", last_ms), taken), (last_ms, 0)) if taken else ()
        return RateRow(taken=found, readable=not numbers.get("unreadable"))

    def to_json(self) -> str:
        return json.dumps({"taken": self.taken} if self.readable else {"unreadable": 1}, separators=(",", ":"))

    @staticmethod
    def from_json(text: str) -> "RateRow":
        """The row that `to_json` wrote; anything else is one that refuses."""
        try:
            found = json.loads(text)
            if isinstance(found, dict) and found.keys() == {"taken"} and isinstance(found["taken"], list):
                taken = tuple([(start, count) for start, count in found["taken"]])
                if all(type(number) is int and number >= 0 for bucket in taken for number in bucket):
                    return RateRow(taken=taken)
        except (ValueError, TypeError, RecursionError):
            pass
        return RateRow(readable=False)


def ask(row: RateRow, rating: Rating, at_ms: int, slot_ms: int = 0, pause_ms: int = 0) -> tuple[Verdict, RateRow]:
    """May a visit begin at that moment, for which `slot_ms` was reserved, if any? With the row, should it be so.

    Where it has to wait it is put off to a slot of its own. The numbers are all that the verdict was made from. With
    `pause_ms` that moment is so far ahead; what has left the window by then counts until then.
    """
    if not row.readable:
        return Verdict("refuse", "unreadable", {"unreadable": 1}), row
    limit = {"visits_max": rating.limit}
    if 0 < slot_ms <= at_ms < slot_ms + rating.width_ms:
        return Verdict("allow", "", {"slot_ms": slot_ms, **limit}, keep={SLOT: 0}), row
    if at_ms < slot_ms:
        return Verdict("defer", LIMITED, {"slot_ms": slot_ms, **limit}, slot_ms, keep={SLOT: slot_ms}), row
    kept = [bucket for bucket in row.taken if rating.gone_ms(bucket[0]) > at_ms - pause_ms]
    live = [bucket for bucket in kept if rating.gone_ms(bucket[0]) > at_ms]
    taken = sum(count for _, count in live)
    seen = {"taken": taken, "last_ms": row.last_ms, **limit} if taken else limit
    if taken < rating.limit:
        return Verdict("allow", "", seen, keep={SLOT: 0} if slot_ms else {}), _with(kept, at_ms, rating)
    oldest_ms = _first_to_go(live, taken - rating.limit)
    slot_ms = max(row.last_ms, rating.gone_ms(oldest_ms))
    verdict = Verdict("defer", LIMITED, {**seen, "oldest_ms": oldest_ms}, slot_ms, keep={SLOT: slot_ms})
    return verdict, _with(kept, slot_ms, rating)


def _first_to_go(live: list[tuple[int, int]], beyond: int) -> int:
    """The start of the bucket that has to go for another visit, where they hold so many `beyond` the limit."""
    for start_ms, count in live:
        beyond -= count
        if beyond < 0:
            return start_ms
    raise AssertionError("they hold no more than the limit")


def _with(kept: list[tuple[int, int]], begins_ms: int, rating: Rating) -> RateRow:
    """With one visit more, that begins at that moment; no more is kept than the last that fill the limit.

    Clocks differ a little: the moment may be before the last bucket.
    """
    counts = dict(kept)
    start_ms = begins_ms - begins_ms % rating.width_ms
    counts[start_ms] = counts.get(start_ms, 0) + 1
    buckets, left = sorted(counts.items()), sum(counts.values())
    while left - buckets[0][1] >= rating.limit:
        left -= buckets.pop(0)[1]
    return RateRow(taken=tuple(buckets))
