"""A run that is killed and goes on, and one that SIGTERM ends: one line serves the first start and every later one.

    python examples/resumed.py

A machine may be taken away at any moment. ``checkpoint=`` saves the run while it goes on, ``resume=`` goes on from the
newest checkpoint, or begins anew where there is none. You will see a process killed with SIGKILL while it trains, and
the run go on to its end, and that nothing was lost: no mini-batch is applied twice, and the whole history comes to the
same bits again. Then SIGTERM ends another run, which is saved before the process ends, and goes on as well.
"""

import logging
import pathlib
import signal
import subprocess
import sys
import tempfile
import time

import jasgd

jasgd.configure_cpu()
jasgd.keep_compiled()  # a second start compiles nothing, see docs/start.md

import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402
import optax  # noqa: E402

STEPS = 1500
tx = optax.chain(jasgd.staleness_adaptive(jasgd.rules.tail()), optax.sgd(0.05))


def loss_fn(params, batch):
    return jnp.mean((params - batch) ** 2)


def batches(ticket):
    time.sleep(0.001)  # as if it came from a disk
    return np.random.default_rng(ticket).normal(size=8).astype(np.float32)


def train(folder):
    """The line that serves every start."""
    checkpoints = jasgd.Checkpoints(folder, every_s=0.2)
    return jasgd.train(loss_fn, jnp.zeros(8), tx, batches, workers=2, steps=STEPS, checkpoint=checkpoints,
                       resume=folder, sigterm=True)  # fmt: skip


def describe(result):
    execution = result.execution
    began = [part["from_version"] for part in execution.metadata.get("parts", [{"from_version": 0}])]
    print(f"  {result.outcome}: {result.message}; {execution.commits} updates, in parts that began at versions {began}")
    every = np.concatenate([execution.ticket, execution.dropped.ticket])
    print(f"  mini-batches that were taken twice: {len(every) - len(np.unique(every))}")


def killed(folder):
    """Trains in another process, and kills it once there is a checkpoint."""
    process = subprocess.Popen([sys.executable, __file__, folder], stderr=subprocess.PIPE, text=True)
    while not (folder / "checkpoint-000001" / "manifest.json").exists():
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.01)
    process.kill()
    print(f"  it said: {process.communicate()[1].strip().splitlines()[0].replace(str(folder), 'the folder')}")
    print(f"  killed, with the exit code {process.returncode}")


def terminate(progress):
    """Asks this process to end, as a cluster does that takes a machine back."""
    if progress.updates > 300:
        signal.raise_signal(signal.SIGTERM)


if __name__ == "__main__":
    if len(sys.argv) > 1:  # the process that is killed
        logging.basicConfig(format="%(message)s")  # what jasgd logs goes to standard error
        train(pathlib.Path(sys.argv[1]))
        raise SystemExit
    with tempfile.TemporaryDirectory() as temporary:
        print("A run that is killed")
        folder = pathlib.Path(temporary) / "killed"
        killed(folder)
        result = train(folder)
        describe(result)
        again = jasgd.replay(result, loss_fn, tx, batches)
        print(f"  replayed from its beginning: {'the same bits' if again.exact else again.difference}")

        print("A run that SIGTERM ends")
        folder = pathlib.Path(temporary) / "terminated"
        folder.mkdir()
        first = jasgd.train(loss_fn, jnp.zeros(8), tx, batches, workers=2, steps=STEPS, sigterm=True,
                            checkpoint=jasgd.Checkpoints(folder), on_progress=terminate)  # fmt: skip
        describe(first)
        describe(train(folder))
