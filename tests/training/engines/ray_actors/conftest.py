"""One Ray session for each module that asks for it."""

import pytest


@pytest.fixture(scope="module")
def ray():
    pytest.importorskip("ray")
    from support.ray_runs import ray_session

    with ray_session() as session:
        yield session
