"""What all tests share."""

import asyncio
import inspect
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

TEST_S_MAX = 10

# A busy machine is no failure.
settings.register_profile("suite", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("suite")


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """A test that is a coroutine function runs on an event loop of its own."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = inspect.signature(pyfuncitem.obj).parameters
    test = pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in names})
    asyncio.run(asyncio.wait_for(test, TEST_S_MAX))
    return True


@pytest.fixture
def db(tmp_path: Path) -> Path:
    return tmp_path / "runs.db"
