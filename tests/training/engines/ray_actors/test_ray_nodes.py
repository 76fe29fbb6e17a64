"""A machine that goes from a cluster takes its worker with it; the run goes on with another one on another machine."""

import contextlib
import shutil
import tempfile
import threading
import time
import warnings

import pytest
from support.ray_runs import ENGINE, Drawn, check_record, train

import jasgd

pytest.importorskip("ray")
NOTICES = {"health_check_initial_delay_ms": 1000, "health_check_period_ms": 1000, "health_check_failure_threshold": 3}


@contextlib.contextmanager
def cluster_of(nodes):
    """A cluster of so many nodes on this machine, each with one processor, beside its head."""
    import ray
    from ray.cluster_utils import Cluster

    folder = tempfile.mkdtemp(prefix="jr-")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        arguments = {"num_cpus": 1, "temp_dir": folder, "include_dashboard": False}
        cluster = Cluster(initialize_head=True, head_node_args=arguments | {"_system_config": NOTICES})
        try:
            others = [cluster.add_node(num_cpus=1, temp_dir=folder) for _ in range(nodes)]
            ray.init(cluster.address, logging_level="ERROR")
            yield cluster, others
        finally:
            ray.shutdown()
            cluster.shutdown()
            shutil.rmtree(folder, ignore_errors=True)


class Placed(Drawn):
    """Says on which node each mini-batch is drawn, and waits at one ticket until a node was removed."""

    def __call__(self, ticket):
        import ray

        if ticket >= 50:
            (self.folder / ray.get_runtime_context().get_node_id()).touch()
        if ticket == 200:
            until = time.monotonic() + 60
            while not (self.folder / "removed").exists() and time.monotonic() < until:
                time.sleep(0.01)
        return super().__call__(ticket)


@pytest.mark.parametrize("number", [0, *(pytest.param(n, marks=pytest.mark.full) for n in (1, 2))])
def test_a_node_that_goes_takes_nothing_with_it(tmp_path, number):
    with cluster_of(2) as (cluster, others):
        by_name = {node.node_id: node for node in others}

        def remove():
            until = time.monotonic() + 120
            while time.monotonic() < until:
                there = [node for name, node in by_name.items() if (tmp_path / name).exists()]
                if there:
                    cluster.remove_node(there[0], allow_graceful=False)
                    (tmp_path / "removed").touch()
                    return
                time.sleep(0.01)

        batches = Placed(400, folder=tmp_path)
        removing = threading.Thread(target=remove)
        removing.start()
        result = train(
            batches, epochs=1, scheme=["leashed", "locked", "synchronous"][number],
            checkpoint=jasgd.Checkpoints(tmp_path / "checkpoints", every_steps=20),  # it may be the server's node
        )  # fmt: skip
        removing.join(130)
        assert (tmp_path / "removed").exists()
        check_record(result, Drawn(400))
        assert result.execution.metadata["restarts"] >= 1
        assert ENGINE.restarts > result.execution.metadata["restarts"]
