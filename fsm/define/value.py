"""Values of which a decision makes a dozen: frozen where types are checked, not again for every instance.

`attrs.frozen` makes an instance three times as slowly: each field is set around the very `__setattr__` that
refuses to set it, which was a quarter of a decision. So what the runtime makes and nobody changes is frozen for
mypy and pyright only. A machine, its guards and the facts they look at are frozen at run time too.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from attrs import frozen as value
else:
    from attrs import define as value

__all__ = ["value"]
