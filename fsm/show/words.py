"""Names, texts, numbers and times as a reader sees them, the same in every picture and on every line."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from fsm.core.record import Spent
from fsm.core.used import Used

UNITS_MS = (("d", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1_000))
JOINER = "\u200d"  # holds the parts of one emoji together
COLOURS = {"completed": "green", "waiting": "yellow", "running": "cyan"}


def shown(name: str) -> str:
    r"""A name as one line that can be read: whatever does not print is written as its escape, `\n` for a newline.

    A backslash is doubled and a space that would be lost, at an end or after another, is escaped, so the name can
    be told from what is shown. The empty name is `""`.
    """
    if not name:
        return '""'
    told = "".join(map(_escaped, name))
    inner = told.strip(" ")
    left, right = len(told) - len(told.lstrip(" ")), len(told) - len(told.rstrip(" "))
    if not inner:
        return r"\x20" * len(told)
    return r"\x20" * left + inner.replace("  ", r" \x20") + r"\x20" * right


def _escaped(char: str) -> str:
    if char == "\\" or not char.isprintable():
        return char.encode("unicode_escape").decode()
    return char


def safe(text: str, chars_max: int | None = None) -> str:
    """One line of a text from outside, nothing in it that a terminal would obey instead of show; for reading only."""
    cut = chars_max is not None and len(text) > chars_max
    return " ".join("".join(map(_printed, text[:chars_max])).split()) + ("…" if cut else "")


def block(text: str) -> str:
    """The same, its lines kept."""
    return "\n".join("".join(map(_printed, line)) for line in text.split("\n"))


def _printed(char: str) -> str:
    if char.isprintable() or char == JOINER:
        return char
    return " " if char in "\n\r\t" else f"\\u{ord(char):04x}" if ord(char) <= 0xFFFF else f"\\U{ord(char):08x}"


def listed(names: Iterable[str]) -> str:
    """Names that stand beside each other: `a, b`."""
    return ", ".join(map(shown, names))


def joined(parts: Sequence[str], word: str) -> str:
    """`a, b or c`."""
    return f" {word} ".join(filter(None, [", ".join(parts[:-1]), *parts[-1:]]))


def count(number: int, one: str, many: str = "") -> str:
    """`1 visit`, `1,200 visits`."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def size(octets: int) -> str:
    """`12 bytes`, `12 KiB`, `3.4 MiB`."""
    if octets < 1024:
        return count(octets, "byte")
    return f"{octets / (1 << 20):,.1f} MiB" if octets >= 1 << 20 else f"{octets / 1024:,.0f} KiB"


def times(number: int) -> str:
    """How often, as it stands beside a name: `×3`."""
    return f"×{number:,}"


def money(usd_micros: int) -> str:
    """Millionths of a dollar as dollars, no digit lost: `$1.5`, `$0.000005`."""
    return f"${usd_micros / 1_000_000:,.6f}".rstrip("0").rstrip(".")


def spending(spent: Spent) -> list[str]:
    """Tokens and money, where there are any."""
    told = [count(spent.tokens, "token")] if spent.tokens else []
    return told + ([money(spent.usd_micros)] if spent.usd_micros else [])


def usage(one: Used) -> str:
    """`gpt-x 1,500 tokens in (600 cached), 400 out (300 reasoning), 3 requests, $0.012 by 2026-11`."""
    cached = f" ({one.cached:,} cached)" if one.cached else ""
    reasoning = f" ({one.reasoning:,} reasoning)" if one.reasoning else ""
    told = [f"{count(one.input, 'token')} in{cached}", f"{one.output:,} out{reasoning}", count(one.requests, "request")]
    if one.usd_micros:
        told.append(f"{money(one.usd_micros)}{f' by {safe(one.prices)}' if one.prices else ''}")
    if one.unpriced:
        told.append(f"{count(one.unpriced, 'token')} of unknown price")
    return f"{safe(one.model) or 'some model'} {', '.join(told)}"


def duration(ms: int) -> str:
    """How long: the two largest units from a minute on, `1 d 23 h`; below that `12.3 s`, `85 ms`."""
    ms = max(ms, 0)
    if ms < 1_000:
        return f"{ms} ms"
    if ms < 59_950:
        return f"{ms / 1000:.1f}".removesuffix(".0") + " s"
    parts: list[str] = []
    for unit, length in UNITS_MS:
        number, ms = divmod(ms, length)
        if parts or number:
            parts.append(f"{number} {unit}" if number else "")
    return " ".join(filter(None, parts[:2]))


def ago(ms: int) -> str:
    """How long ago, as coarsely as one says it: `3 min ago`."""
    for unit, length in UNITS_MS:
        if ms >= length:
            return f"{ms // length} {unit} ago"
    return "just now"


def told_again(at_ms: int | None, now_ms: int) -> str:
    """Of a run that rests between attempts: `, tried again in 12 s`."""
    return f", tried again in {duration(at_ms - now_ms)}" if at_ms is not None else ""


def moment(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def colour(outcome: str) -> str:
    """The colour an outcome has wherever there are colours."""
    return COLOURS.get(outcome, "red")
