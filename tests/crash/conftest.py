"""The run that nothing happened to; all others must come out like it."""

import pytest

from tests.crash.world import World


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> World:
    world = World(tmp_path_factory.mktemp("calm"))
    world.finish("work", runs=["calm"])
    assert set(world.effects().values()) == {1}
    return world
