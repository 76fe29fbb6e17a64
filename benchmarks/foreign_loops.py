"""An experiment: each worker's whole loop as one compiled function, the shared parameters behind foreign functions.

    python benchmarks/foreign_loops.py                     # needs g++; some 5 minutes on two processors

What Python threads lose is the interpreter's: two dispatches a gradient, and one lock for all threads. Here a worker is
one call: a ``lax.while_loop`` that reads, computes its gradient, applies the transformation and commits, where reads
and commits are functions of foreign_store.cc that XLA calls by ``jax.ffi``. The schemes are the same, lock-based
AsyncSGD, Hogwild! and Leashed-SGD; so are gradient, transformation and mini-batches. Told are updates per second over
those of workers that share nothing, in two calls of Python (benchmarks/limits.py), beside what ``jasgd.train`` reaches.
Checked before printing: one worker's parameters are those of ``jasgd.train`` with one worker, and every version
has been committed once.

It is no engine of the library: it needs a compiler where it runs, mini-batches that lie on the device, and a run that
nobody watches, stops or evaluates before its end.
"""

import argparse
import ctypes
import dataclasses
import itertools
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import jasgd

SCHEMES = ("locked", "hogwild", "leashed")
RATE, DRAWN = 1e-5, 32  # as in throughput.py


def library(folder):
    """The foreign functions, compiled."""
    import jax

    source, target = Path(__file__).with_name("foreign_store.cc"), Path(folder) / "foreign_store.so"
    flags = ["-std=c++17", "-O3", "-march=native", "-shared", "-fPIC", "-w", "-isystem", jax.ffi.include_dir()]
    subprocess.run(["g++", *flags, str(source), "-o", str(target)], check=True)
    loaded = ctypes.CDLL(str(target))
    loaded.MakeStore.restype = loaded.Tries.restype = ctypes.c_int64
    loaded.Staleness.restype, loaded.Parameters.restype = ctypes.POINTER(ctypes.c_int32), ctypes.POINTER(ctypes.c_float)
    for name in ("ReadParameters", "BeginCommit", "EndCommit"):
        jax.ffi.register_ffi_target(name, jax.ffi.pycapsule(getattr(loaded, name)), platform="cpu")
    return loaded


class Loops:
    """The compiled loops of a run, one for each worker, over a store of their own.

    Args:
      found: of :func:`library`.
      limits: of ``limits.py``: gradient, transformation, initial parameters and state.
      drawn: mini-batches, of which ticket t takes number t modulo their number.
      scheme: locked, hogwild or leashed.
      workers: number of threads.
      steps: commits.
    """

    def __init__(self, library_functions, limits, drawn, scheme, workers, steps):
        import jax
        import jax.numpy as jnp
        import numpy as np

        self.library, self.compiled, self.scheme, self.workers, self.steps = (
            library_functions,
            limits.compiled,
            scheme,
            workers,
            steps,
        )
        params, state = ([np.asarray(leaf) for leaf in leaves] for leaves in (limits.leaves, limits.state))
        self.initial = tuple(b"".join(leaf.tobytes() for leaf in leaves) for leaves in (params, state))
        self.shapes = tuple(
            [jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) for leaf in leaves] for leaves in (params, state)
        )
        values = (len(params), self.initial[0], len(self.initial[0]), len(state), self.initial[1], len(self.initial[1]))
        wide = [ctypes.c_int64(value) if isinstance(value, int) else value for value in (workers, steps, *values)]
        self.store = library_functions.MakeStore(SCHEMES.index(scheme), *wide)
        self.batches = tuple(jnp.stack([jnp.asarray(part) for part in parts]) for parts in zip(*drawn, strict=True))
        self.loops = [jax.jit(self.loop, static_argnums=0).lower(w, self.batches).compile() for w in range(workers)]

    def loop(self, worker, batches):
        """What a worker does, traced; returns its last loss."""
        import jax
        import jax.numpy as jnp
        import numpy as np

        number, (params_like, state_like) = jax.ShapeDtypeStruct((), jnp.int32), self.shapes
        attributes = {"store": np.int64(self.store)}
        mine, many, leashed = attributes | {"worker": np.int64(worker)}, len(state_like), self.scheme == "leashed"

        def attempt(version, commits, grads, loss):
            like = [number, number, *state_like, *(params_like if leashed else [])]
            base, tau, *rest = jax.ffi.ffi_call("BeginCommit", like)(version, commits, loss, *grads, **mine)
            state, params = tuple(rest[:many]), tuple(rest[many:])
            if leashed:
                values, state, _ = self.compiled.traced_apply(params, state, grads, tau, loss, ())
            else:  # SGD, whose update does not depend on the current parameters
                values, state, _ = self.compiled.update(grads, state, grads, tau, loss, ())
            return jax.ffi.ffi_call("EndCommit", [number, number])(base, tau, *state, *values, **mine)

        def round_of(carry):
            commits, _ = carry
            ticket, version, *params = jax.ffi.ffi_call("ReadParameters", [number, number, *params_like])(
                commits, **attributes
            )
            batch = tuple(part[ticket % part.shape[0]] for part in batches)
            loss, _, grads = self.compiled.gradient(tuple(params), batch)

            def again(tried):  # is given the commits so far, so that no attempt can be taken for the one before
                return attempt(version, tried[1], grads, loss)

            _, commits = jax.lax.while_loop(lambda tried: tried[0] == 0, again, [jnp.int32(0), commits])
            return commits, loss

        return jax.lax.while_loop(lambda carry: carry[0] < self.steps, round_of, (jnp.int32(0), jnp.float32(0)))[1]

    def run(self):
        """Seconds of one run, from the initial parameters.

        Raises:
          RuntimeError: where a version was not committed, or a loss is not finite.
        """
        import jax
        import numpy as np
        from limits import in_threads

        self.library.Restart(ctypes.c_int64(self.store), *self.initial)
        losses = [None] * self.workers

        def body(worker):
            losses[worker] = float(jax.block_until_ready(self.loops[worker](self.batches)))

        seconds = in_threads(self.workers, body)
        self.staleness = np.ctypeslib.as_array(self.library.Staleness(ctypes.c_int64(self.store)), (self.steps,)).copy()
        self.tries = self.library.Tries(ctypes.c_int64(self.store)) / self.steps
        if self.staleness.min() < 0 or not np.isfinite(losses).all():
            raise RuntimeError(f"{self.scheme}: {(self.staleness < 0).sum()} versions are missing, losses {losses}")
        return seconds

    def params(self):
        """The parameters behind one another, float32."""
        import numpy as np

        there = self.library.Parameters(ctypes.c_int64(self.store))
        return np.ctypeslib.as_array(there, (len(self.initial[0]) // 4,)).copy()


def problem_of(model, batch):
    """The problem with its mini-batches drawn before, and these."""
    from jasgd import problems

    drawing = problems.load("digits", model, batch_size=batch)
    drawn = [drawing.batches(ticket) for ticket in range(DRAWN)]
    return dataclasses.replace(drawing, batches=lambda ticket: drawn[ticket % DRAWN]), drawn


def transformation():
    import optax

    return optax.chain(jasgd.staleness_adaptive(jasgd.rules.tail()), optax.sgd(RATE))


def serve(model, batch, workers, steps):
    """The process of the loops, which XLA runs on its pool, so that this must have a thread for each of them."""
    jasgd.configure_cpu(threads_per_worker=workers)
    from limits import Limits

    problem, drawn = problem_of(model, batch)
    limits = Limits(problem, transformation())
    with tempfile.TemporaryDirectory() as folder:
        functions = library(folder)
        for scheme in SCHEMES:
            require_same(Loops(functions, limits, drawn, scheme, 1, 50), problem)
        loops = {scheme: Loops(functions, limits, drawn, scheme, workers, steps) for scheme in SCHEMES}
        for one in loops.values():
            one.run()
        print("ready", flush=True)
        for scheme in map(str.strip, sys.stdin):
            one = loops[scheme]
            row = {"seconds": one.run(), "staleness": float(one.staleness.mean()), "tries": one.tries}
            print(json.dumps(row), flush=True)


def require_same(one, problem):
    """Raises AssertionError where one worker's parameters are not those of ``jasgd.train`` with one worker."""
    import jax
    import numpy as np

    one.run()
    result = jasgd.train(problem.loss_fn, problem.params, transformation(), problem.batches, scheme="sequential",
                         workers=1, steps=one.steps)  # fmt: skip
    expected = np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(result.params)])
    started = np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(problem.params)])
    np.testing.assert_allclose(one.params() - started, expected - started, atol=1e-6, err_msg=one.scheme)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", default=["mlp", "lenet"])
    parser.add_argument("--batches", type=int, nargs="+", default=[16, 128])
    parser.add_argument("--workers", type=int, nargs="+", default=[2, 8])
    parser.add_argument("--seconds", type=float, default=1.0, help="how long the two-call limit takes, about")
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        model, *numbers = options.serve.split(",")
        return serve(model, *map(int, numbers))
    jasgd.configure_cpu()
    from limits import Limits

    cases = []
    print("updates per second over those of workers that share nothing, two calls of Python each")
    for model, batch, workers in itertools.product(options.models, options.batches, options.workers):
        problem, _ = problem_of(model, batch)
        limits, trial = Limits(problem, transformation()), 20 * workers
        steps = max(trial, int(options.seconds * trial / limits.two_call(workers, trial)))
        command = [sys.executable, __file__, "--serve", f"{model},{batch},{workers},{steps}"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as peer:
            if peer.stdout.readline().strip() != "ready":
                raise SystemExit(f"the process of the loops ended with {peer.wait()}")

            def foreign(scheme, peer=peer):
                print(scheme, file=peer.stdin, flush=True)
                return json.loads(peer.stdout.readline())

            rows = [one_repetition(problem, limits, workers, steps, foreign) for _ in range(options.repetitions)]
            peer.stdin.close()
        tell(model, batch, workers, rows)
        cases.append({"model": model, "batch": batch, "workers": workers, "steps": steps, "repetitions": rows})
    if options.json:
        options.json.write_text(json.dumps(cases, indent=2))


def one_repetition(problem, limits, workers, steps, foreign):
    """Seconds of every arm, the limits at both ends."""
    both = [(limits.two_call(workers, steps), limits.fused(workers, steps))]
    row = {}
    for scheme in SCHEMES:
        result = jasgd.train(problem.loss_fn, problem.params, transformation(), problem.batches,
                             scheme=jasgd.schemes.named(scheme, native=False),
                             workers=workers, steps=steps)  # fmt: skip
        row[scheme] = {"seconds": result.duration_s, "staleness": float(result.execution.staleness.mean())}
        row[f"{scheme}, compiled loop"] = foreign(scheme)
    both.append((limits.two_call(workers, steps), limits.fused(workers, steps)))
    row["two-call"], row["fused"] = ({"seconds": statistics.mean(times)} for times in zip(*both, strict=True))
    return row


def tell(model, batch, workers, rows):
    rate = statistics.median(row["two-call"]["seconds"] for row in rows)
    print(f"\n{model}, batch {batch}, {workers} workers; the limit's run took {rate:.2f} s")
    for arm in ("fused", *(name for scheme in SCHEMES for name in (scheme, f"{scheme}, compiled loop"))):
        ratios = sorted(row["two-call"]["seconds"] / row[arm]["seconds"] for row in rows)
        mean = {
            key: statistics.median(row[arm].get(key, float("nan")) for row in rows) for key in ("staleness", "tries")
        }
        more = f"  mean staleness {mean['staleness']:.2f}" if arm != "fused" else ""
        more += f", {mean['tries']:.2f} tries a commit" if "tries" in rows[0][arm] else ""
        print(f"  {arm:24} {statistics.median(ratios):6.3f}  ({ratios[0]:.3f}–{ratios[-1]:.3f}){more}", flush=True)


if __name__ == "__main__":
    main()
