"""Payloads to fill in satisfy their classes."""

from datetime import datetime
from enum import Enum
from typing import Literal

from pydantic import BaseModel, Field

from fsm.define.shape import shape_of
from fsm.show.skeleton import skeleton


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Part(BaseModel):
    name: str
    size: int = 3


class Whole(BaseModel):
    parts: list[Part] = Field(min_length=2)
    best: Part
    colour: Colour
    kind: Literal["a", "b"]
    stars: int = Field(ge=1, le=5)
    share: float = Field(gt=0)
    due: datetime
    sure: bool
    either: int | str
    names: dict[str, int]
    alias: str = Field(alias="as")
    maybe: str | None
    level: int = Field(lt=-2)
    code: str = Field(min_length=5)
    short: str = Field(max_length=2)
    tags: set[str]
    inner: list[Literal["x"]] = Field(min_length=1)
    note: str = ""


class Loose(BaseModel):
    by: str = "you"
    nested: "Loose | None" = None


def test_a_payload_to_fill_in_satisfies_its_class():
    made = skeleton(shape_of(Whole))
    assert "note" not in made and made["as"] == "..."
    assert made["parts"] == [{"name": "..."}, {"name": "..."}]
    Whole.model_validate(made)


def test_where_nothing_must_be_given_all_there_is_is_shown():
    assert skeleton(shape_of(Loose)) == {"by": "...", "nested": {}}
    Loose.model_validate(skeleton(shape_of(Loose)))
