"""Names, guards and durations as a reader sees them, the same in every picture."""

from collections.abc import Iterable

from fsm.define.guard import Counter, Placed

COUNTED = {"fires": ("time", "times"), "visits": ("visit", "visits"), "hops": ("hop", "hops")}
UNITS_MS = (("day", 86_400_000), ("hour", 3_600_000), ("minute", 60_000), ("second", 1_000), ("ms", 1))


def shown(name: str) -> str:
    r"""A name as one line that can be read: whatever does not print is written as its escape, `\n` for a newline.

    A backslash is doubled and a space that would be lost, at an end or after another, is escaped, so the name can
    be told from what is shown. The empty name is `""`.
    """
    if not name:
        return '""'
    told = "".join(map(_shown, name))
    inner = told.strip(" ")
    left, right = len(told) - len(told.lstrip(" ")), len(told) - len(told.rstrip(" "))
    if not inner:
        return r"\x20" * len(told)
    return r"\x20" * left + inner.replace("  ", r" \x20") + r"\x20" * right


def _shown(char: str) -> str:
    if char == "\\" or not char.isprintable():
        return char.encode("unicode_escape").decode()
    return char


def listed(names: Iterable[str]) -> str:
    return ", ".join(map(shown, names))


def count(number: int, one: str, many: str = "") -> str:
    """`1 visit`, `1,200 visits`."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def times(number: int) -> str:
    """How often, as it stands beside a name: `×3`."""
    return f"×{number:,}"


def money(usd_micros: int) -> str:
    """Millionths of a dollar as dollars, no digit lost: `$1.5`, `$0.000005`."""
    return f"${usd_micros / 1_000_000:,.6f}".rstrip("0").rstrip(".")


def duration(ms: int) -> str:
    """The two largest units that say it: `2 days`, `1 hour 30 minutes`, `250 ms`."""
    parts: list[str] = []
    for unit, length in UNITS_MS:
        number, ms = divmod(ms, length)
        if number:
            parts.append(f"{number:,} ms" if unit == "ms" else count(number, unit))
    return " ".join(parts[:2]) or "0 ms"


def guard_words(guard: Placed, owner: str) -> str:
    """What a guard demands, after its name: its limit in words, or its parameters. `owner`: where it stands."""
    if guard.counter is not None and guard.limit is not None:
        return _limit_words(guard.counter, guard.limit, owner)
    return ", ".join(f"{shown(key)} {shown(str(value))}" for key, value in guard.params.items())


def _limit_words(counter: Counter, limit: int, owner: str) -> str:
    if counter.of == "usd_micros":
        told = money(limit)
    elif counter.of == "tokens":
        told = count(limit, "token")
    else:
        told = count(limit, *COUNTED[counter.of])
    of = f" of {shown(counter.subject)}" if counter.subject not in ("", owner) else ""
    since = f" since {shown(counter.since)}" if counter.since else ""
    return f"up to {told}{of}{since}"
