"""What `State(fallback=other)` is short for: a declared state with the other agent, and the line that leads there.

`draft.fallback` takes over what leaves `draft` and what bounds a visit there, but neither its guards (they may
be the reason to come here) nor its retries. `draft.fails` is first among the lines on `AgentFailed`, so what
used to take a failure of `draft` takes a failure of its fallback.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from attrs import evolve

from fsm.define.parts import StateSpec, TransitionSpec


def fallback_of(state: str) -> str:
    """The name of the state that a fallback is."""
    return f"{state}.fallback"


def with_fallbacks(
    states: Iterable[StateSpec], transitions: Iterable[TransitionSpec], agents: Mapping[str, Any]
) -> tuple[list[StateSpec], list[TransitionSpec]]:
    """The states and transitions, with all that the fallbacks (`agents`, by state) stand for."""
    all_states: list[StateSpec] = []
    lines: list[TransitionSpec] = []
    for state in states:
        if state.name not in agents:
            all_states.append(state)
            continue
        name = fallback_of(state.name)
        all_states += [
            evolve(state, otherwise=state.otherwise or ({"*": name} if state.guards else {})),
            evolve(
                state,
                name=name,
                agent=agents[state.name],
                initial=(),
                remember=None,
                retry=None,
                guards=(),
                otherwise={},
                title=f"{state.title}, fallback" if state.title else "",
            ),
        ]
        lines.append(
            TransitionSpec(
                name=f"{state.name}.fails",
                sources=(state.name,),
                target=name,
                events=("AgentFailed",),
                carries=True,
                place=state.place,
            )
        )
    for line in transitions:
        sources = _sources(line, agents)
        lines.append(evolve(line, sources=sources) if sources != line.sources else line)
    return all_states, lines


def _sources(line: TransitionSpec, agents: Mapping[str, Any]) -> tuple[str, ...]:
    """Where a line leads away from; one on failures alone has nothing left to take from a state with a fallback."""
    failures = line.events == ("AgentFailed",)
    stay = [source for source in line.sources if not (failures and source in agents)]
    return (*stay, *(fallback_of(source) for source in line.sources if source in agents))
