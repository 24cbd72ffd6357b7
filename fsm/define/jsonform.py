"""A machine as plain data, its fingerprint, and the readable difference between two.

The fingerprint is taken of our own normal form, so it does not change with pydantic's release, with a
docstring, a title, a timeout, a promise, what a visit may spend or another agent: none of these changes how a
recorded run is read.
"""

import hashlib
import json
from collections.abc import Iterator
from typing import Any

from fsm.define.guard import Counter, Placed, Share, numbered
from fsm.define.parts import EverywhereSpec, Named, PromiseSpec, RetrySpec, StateSpec, TransitionSpec, retry_spec
from fsm.define.payload import canonical
from fsm.define.shape import FieldShape, Shape

Form = dict[str, Any]

UNREAD = ("title", "timeout_ms", "tokens_max", "usd_micros_max", "tokens_min")  # what says nothing about records


def digest(form: Form) -> str:
    """sha256, in hex, of the normal form."""
    return hashlib.sha256(canonical(_normal(form))).hexdigest()


def changes(before: Form, after: Form) -> tuple[str, ...]:
    """What differs between two normal forms, a line each: `transitions.reject.guards.0.params.limit: 3 -> 5`."""
    return tuple(_differences("", _normal(before), _normal(after)))


def _normal(form: Form) -> Form:
    """What decides: the order of lines does, that of the states and payloads a line names does not."""
    states = [{k: v for k, v in state.items() if k not in UNREAD} for state in form["states"]]
    return {
        "name": form["name"],
        "states": _by_name([_unordered(state, "initial") for state in states]),
        "transitions": _by_name([_unordered(line, "sources", "events") for line in form["transitions"]]),
        "order": [line["name"] for line in form["transitions"]],
        "everywhere": _by_name(form["everywhere"]),
        "everywhere_order": [line["name"] for line in form["everywhere"]],
        "payloads": _by_name(form["payloads"]),
        "memory": form["memory"],
        "bounds": form["bounds"],
    }


def _unordered(item: Form, *keys: str) -> Form:
    return {**item, **{key: sorted(item[key]) for key in keys}}


def _by_name(items: list[Form]) -> Form:
    return {item["name"]: {k: v for k, v in item.items() if k != "name"} for item in items}


def state_form(state: StateSpec) -> Form:
    form: Form = {
        "name": state.name,
        "kind": state.kind,
        "initial": list(state.initial),
        "final": state.final,
        "timeout_ms": state.timeout_ms,
        "tokens_max": state.tokens_max,
        "usd_micros_max": state.usd_micros_max,
        "tokens_min": state.tokens_min,
        "guards": [_placed(guard) for guard in state.guards],
        "otherwise": dict(state.otherwise),
        "remember": state.remember.name if state.remember else None,
        "title": state.title,
    }
    if state.retry is not None:
        form["retry"] = _retry(state.retry)
    return form


def _retry(retry: RetrySpec) -> Form:
    return {
        "attempts_max": retry.attempts_max,
        "base_ms": retry.base_ms,
        "cap_ms": retry.cap_ms,
        "when": retry.when.name,
    }


def transition_form(line: TransitionSpec) -> Form:
    return {
        "name": line.name,
        "sources": list(line.sources),
        "target": line.target,
        "events": list(line.events),
        "when": {"name": line.when.name, "memory": line.when.takes_memory} if line.when else None,
        "guards": [_placed(guard) for guard in line.guards],
        "otherwise": dict(line.otherwise),
        "remember": line.remember.name if line.remember else None,
        **({"carries": True} if line.carries else {}),
    }


def everywhere_form(line: EverywhereSpec) -> Form:
    return {
        "name": line.name,
        "guards": [_placed(guard) for guard in line.guards],
        "otherwise": dict(line.otherwise),
    }


def promise_form(promise: PromiseSpec) -> Form:
    return {
        "name": promise.name,
        "kind": promise.kind,
        "what": promise.what,
        "then": promise.then,
        "before": promise.before,
    }


def _placed(guard: Placed) -> Form:
    counter = guard.counter
    return {
        "guard": guard.name,
        "at": guard.at,
        "standing": guard.standing,
        "kind": guard.kind,
        "codes": list(guard.codes),
        "params": dict(guard.params),
        "counter": {"of": counter.of, "subject": counter.subject, "since": counter.since} if counter else None,
        "limit": guard.limit,
        **({"shares": {"kind": guard.shares.kind, "name": guard.shares.name}} if guard.shares else {}),
    }


def shape_form(shape: Shape) -> Form:
    return {
        "name": shape.name,
        "fields": {
            field.name: {"type": field.type, "required": field.required, "constraints": list(field.constraints)}
            for field in shape.fields
        },
        "formerly": list(shape.formerly),
        "parts": [shape_form(part) for part in shape.parts],
    }


def state_from(item: Form) -> StateSpec:
    return StateSpec(
        name=item["name"],
        kind=item["kind"],
        initial=tuple(item["initial"]),
        final=item["final"],
        timeout_ms=item["timeout_ms"],
        tokens_max=item.get("tokens_max"),
        usd_micros_max=item.get("usd_micros_max"),
        tokens_min=item.get("tokens_min", 0),
        guards=_guards(item),
        otherwise=dict(item["otherwise"]),
        remember=Named(item["remember"]) if item["remember"] else None,
        retry=_retry_from(item["name"], item["retry"]) if "retry" in item else None,
        title=item["title"],
    )


def transition_from(item: Form) -> TransitionSpec:
    return TransitionSpec(
        name=item["name"],
        sources=tuple(item["sources"]),
        target=item["target"],
        events=tuple(item["events"]),
        when=Named(item["when"]["name"], item["when"]["memory"]) if item["when"] else None,
        guards=_guards(item),
        otherwise=dict(item["otherwise"]),
        remember=Named(item["remember"]) if item["remember"] else None,
        carries=item.get("carries", False),
    )


def _retry_from(state: str, item: Form) -> RetrySpec:
    return retry_spec(state, item["attempts_max"], item["base_ms"], item["cap_ms"], Named(item["when"]))


def everywhere_from(item: Form) -> EverywhereSpec:
    return EverywhereSpec(name=item["name"], guards=_guards(item), otherwise=dict(item["otherwise"]))


def promise_from(item: Form) -> PromiseSpec:
    return PromiseSpec(**item)


def _guards(item: Form) -> tuple[Placed, ...]:
    return numbered(
        Placed(
            name=guard["guard"],
            at=guard["at"],
            standing=guard["standing"],
            kind=guard["kind"],
            codes=tuple(guard["codes"]),
            params=dict(guard["params"]),
            counter=Counter(**guard["counter"]) if guard["counter"] else None,
            limit=guard["limit"],
            shares=Share(**guard["shares"]) if "shares" in guard else None,
        )
        for guard in item["guards"]
    )


def shape_from(item: Form) -> Shape:
    return Shape(
        name=item["name"],
        fields=tuple(
            FieldShape(name, field["type"], field["required"], tuple(field["constraints"]))
            for name, field in item["fields"].items()
        ),
        formerly=tuple(item["formerly"]),
        parts=tuple(shape_from(part) for part in item["parts"]),
    )


def _differences(at: str, before: Any, after: Any) -> Iterator[str]:
    if isinstance(before, dict) and isinstance(after, dict):
        for name in [*before, *(name for name in after if name not in before)]:
            if name == "limit" and _in_params(before, after):
                continue
            here = f"{at}.{name}" if at else str(name)
            if name not in after:
                yield f"{here}: gone"
            elif name not in before:
                yield f"{here}: new"
            else:
                yield from _differences(here, before[name], after[name])
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for index, (old, new) in enumerate(zip(before, after, strict=True)):
            yield from _differences(f"{at}.{index}", old, new)
    elif before != after:
        yield f"{at}: {_told(before)} -> {_told(after)}"


def _in_params(before: Form, after: Form) -> bool:
    """Whether a parameter of a guard, and so another line, tells how its limit changed."""
    old, new = (guard["params"] if "guard" in guard else {} for guard in (before, after))
    limits = before.get("limit"), after.get("limit")
    return any((old[name], new[name]) == limits for name in old if name in new)


def _told(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)[:120]
