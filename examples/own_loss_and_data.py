"""Your own parameters, loss and data: a matrix is factorised from some of its entries.

    python examples/own_loss_and_data.py

Parameters are any pytree of arrays, the loss any pure function of them and a batch, and batches come from a generator.
The loss returns aux values, which the result keeps for every gradient; evaluation runs on snapshots, and ends the run
at a target. You will see the error on entries that were never trained on fall to the level of the noise.
"""

import jasgd

jasgd.configure_cpu()
jasgd.keep_compiled()  # a second start compiles nothing, see docs/start.md

import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402
import optax  # noqa: E402

ROWS, COLUMNS, RANK, NOISE = 300, 200, 5, 0.1

rng = np.random.default_rng(0)
truth = rng.normal(size=(ROWS, RANK)) @ rng.normal(size=(COLUMNS, RANK)).T
observed = (truth + NOISE * rng.normal(size=truth.shape)).astype(np.float32)
entries = rng.permutation(ROWS * COLUMNS)
training, held_out = entries[:30_000], entries[30_000:40_000]


def entries_of(chosen):
    i, j = np.divmod(chosen.astype(np.int32), COLUMNS)
    return {"row": i, "column": j, "value": observed[i, j]}


def batches():
    order = np.random.default_rng(1)
    while True:
        yield entries_of(order.choice(training, 512))


def loss_fn(params, batch):
    rows, columns = params["factors"]["rows"][batch["row"]], params["factors"]["columns"][batch["column"]]
    error = jnp.sum(rows * columns, axis=1) - batch["value"]
    return jnp.mean(error**2), {"largest error": jnp.max(jnp.abs(error))}


test_batch = entries_of(held_out)


def evaluate(params):
    loss, _ = loss_fn(params, test_batch)
    return {"loss": loss, "rmse": jnp.sqrt(loss)}


params = {
    "factors": {
        "rows": jnp.asarray(0.3 * rng.normal(size=(ROWS, RANK)), jnp.float32),
        "columns": jnp.asarray(0.3 * rng.normal(size=(COLUMNS, RANK)), jnp.float32),
    },
}
target = 4 * NOISE**2
result = jasgd.train(
    loss_fn,
    params,
    optax.chain(jasgd.staleness_adaptive(jasgd.rules.tail()), optax.sgd(5.0)),
    batches(),
    scheme="locked",
    workers=4,
    has_aux=True,
    evaluate=evaluate,
    evaluate_every_s=0.2,
    target_loss=target,
    time_limit_s=30,
)
first, last = result.evaluations[0], result.evaluations[-1]
print(f"{result.outcome}: {result.message}")
print(f"RMSE on held-out entries: {first['rmse']:.3f} → {last['rmse']:.3f}; the noise is {NOISE}")
largest = result.aux["largest error"]
print(f"Largest error in a batch: {largest[:50].mean():.2f} in the first 50, {largest[-50:].mean():.2f} in the last 50")
execution = result.execution
print(f"{execution.commits} updates by {execution.workers} workers, mean staleness {execution.staleness.mean():.2f}")
