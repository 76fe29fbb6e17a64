"""Prepares simulated runs: schedules, mini-batches, initial parameters and the compiled scan."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from jasgd.aligned_memory import aligned
from jasgd.compiling.shared_runs import shared_for_any_step
from jasgd.core.admission import admit, first_batch
from jasgd.core.compiled import Leaves
from jasgd.core.finiteness import paths_of, require_finite
from jasgd.data import Batches
from jasgd.inputs.asked import Keyed, asks_for, seed_words, with_key
from jasgd.model_state.returned import admit_model_state, require_alike
from jasgd.record.execution import Execution
from jasgd.simulating.scan import Program
from jasgd.simulating.scan_batches import KeyedBatches, ScanBatches, accumulated, batches_for_scans
from jasgd.simulating.schedule import Schedule, schedule

Key = TypeVar("Key")


@dataclasses.dataclass(frozen=True)
class SimulationTask:
    """The common part of several runs of a simulation: the scan, its mini-batches, and how it is evaluated."""

    program: Program
    batches: ScanBatches
    evaluate: Callable[..., float | Mapping[str, float]] | None
    evaluate_every_steps: int | None
    check_finite: bool
    device: Any
    example_batch: Any
    slots: int  # at least so many, so that executions with fewer are not compiled for
    chunk: int  # steps of one call, see chunk_of; what is not filled does nothing


@dataclasses.dataclass(frozen=True)
class Lane:
    """One run: a seed and a learning rate, with the execution that it follows."""

    seed: int
    learning_rate: Any  # a pytree of numbers, what the program's tx takes; None where that takes none
    seed_index: int  # of its mini-batches among those of the task
    execution: Execution
    plan: Schedule
    params: Leaves
    state: Leaves


class Preparation(Generic[Key]):
    """The parts that simulated runs share, each made once: mini-batches, initial parameters, schedules.

    Args:
      batches: a function of a ticket for each seed.
      params: a pytree of initial parameters for each seed, of the same structure, shapes and dtypes.
      executions: the executions to follow, by a key of the caller's choice.
      longest: steps of one call of a scan, at most.
      device: a jax device; None for JAX's default.
      model_states: a pytree of the initial model state for each seed, likewise; None for none.
      accumulate: mini-batches of one gradient, ≥ 1.

    Raises:
      ExecutionError: for an execution that contradicts itself or was altered.
      ValueError: where the mini-batches of two seeds differ in structure, shape or dtype.
    """

    def __init__(
        self,
        batches: Mapping[int, Batches],
        params: Mapping[int, Any],
        executions: Mapping[Key, Execution],
        *,
        longest: int,
        device: Any = None,
        model_states: Mapping[int, Any] | None = None,
        accumulate: int = 1,
    ):
        self._accumulate = accumulate
        self._executions, self._trees, self._device = executions, params, device
        self._model_states = {seed: None for seed in params} if model_states is None else model_states
        self._schedules = {key: schedule(execution) for key, execution in executions.items()}
        self._seed_indices = {seed: index for index, seed in enumerate(batches)}
        self._example = aligned(first_batch(next(iter(batches.values()))))
        self._single: ScanBatches = batches_for_scans(list(batches.values()), longest)
        self._batches: ScanBatches = accumulated(self._single, accumulate)
        self._leaves: dict[int, Leaves] = {}  # by seed

    def program(
        self, loss_fn: Any, tx: Any, learning_rate: Any = None, *, has_aux: bool = False, merge: Any = None
    ) -> Program:
        """The compiled scan of a training problem, its arguments checked as :func:`jasgd.train` checks them.

        Args:
          loss_fn: ``loss_fn(params, batch)``.
          tx: an Optax transformation; where ``learning_rate`` is not None, a function from one to a transformation.
          learning_rate: a number, or a pytree of numbers, that ``tx`` is checked with; None where it takes none.
          has_aux: whether ``loss_fn`` returns ``(loss, aux)``.
          merge: as of :func:`jasgd.train`.

        Returns:
          The scan.

        Raises:
          TypeError, ValueError: as :func:`jasgd.core.admission.admit`.
        """
        params, transformation = next(iter(self._trees.values())), tx if learning_rate is None else tx(learning_rate)
        if asks_for(loss_fn, "key") and not isinstance(self._single, KeyedBatches):
            seeds = list(self._seed_indices)
            self._single = KeyedBatches(self._single, seeds)
            self._batches = accumulated(self._single, self._accumulate)
            self._example = Keyed(self._example, seed_words(seeds[0]), np.uint32(0))
        compiled, leaves, state = admit(
            with_key(loss_fn),
            params,
            transformation,
            self._example,
            has_aux=has_aux,
            model_state=next(iter(self._model_states.values())),
            merge=merge,
            device=self._device,
            share=learning_rate is None,
        )
        if learning_rate is not None:
            compiled = shared_for_any_step(compiled, tx, learning_rate, leaves, state, self._example, self._device)
        compiled = dataclasses.replace(compiled, accumulate=self._accumulate)
        return Program(compiled, None if learning_rate is None else tx, self._batches.take)

    def lane(self, program: Program, key: Key, seed: int, learning_rate: Any = None) -> Lane:
        """One run: the execution that it follows, its seed and its learning rate.

        Args:
          program: its scan.
          key: of its execution.
          seed: of its mini-batches and initial parameters.
          learning_rate: what the program's transformation takes; None where it takes nothing.

        Returns:
          The run, with its initial optimizer state.

        Raises:
          ValueError: for initial parameters that differ from the first seed's in structure, shape or dtype.
        """
        if seed not in self._leaves:
            self._leaves[seed] = _leaves(self._trees[seed], next(iter(self._trees.values())), self._device)
            if (about := program.compiled.model_state) is not None:
                states = self._model_states
                require_alike(states[seed], next(iter(states.values())))
                self._leaves[seed] += admit_model_state(states[seed], about.merge, self._device)[1]
        params = self._leaves[seed]
        return Lane(
            seed,
            learning_rate,
            self._seed_indices[seed],
            self._executions[key],
            self._schedules[key],
            params,
            program.init(params, learning_rate),
        )

    def task(
        self,
        program: Program,
        lanes: Sequence[Lane] | None = None,
        *,
        evaluate: Callable[..., float | Mapping[str, float]] | None = None,
        evaluate_every_steps: int | None = None,
        check_finite: bool = True,
    ) -> SimulationTask:
        """The common part of runs of one program.

        Args:
          program: their scan.
          lanes: the runs, to whose lengths the calls of the scan are fitted; None for the longest calls, which are the
            same for all executions.
          evaluate: ``evaluate(params)``, which may ask for more; or None.
          evaluate_every_steps: commits between evaluations, or None for the first and the last version only.
          check_finite: whether a run ends as diverged at a loss that is not finite.

        Returns:
          The task.
        """
        longest = self._batches.longest
        return SimulationTask(
            program,
            self._batches,
            evaluate,
            evaluate_every_steps,
            check_finite,
            self._device,
            self._example,
            slots=max(one.slots for one in self._schedules.values()),
            chunk=longest if lanes is None else chunk_of(lanes, evaluate_every_steps, longest),
        )


def chunk_of(lanes: Sequence[Lane], every: int | None, longest: int) -> int:
    """Chooses the steps of one call, the same for all lanes, so that nothing is compiled twice.

    Args:
      lanes: the runs.
      every: updates between evaluations, or None.
      longest: steps of one call, at most.

    Returns:
      The longest way between two evaluations, or an equal part of it.
    """
    ways = [
        np.diff([lane.plan.steps_to(mark) for mark in evaluation_marks(lane.execution.commits, every)])
        for lane in lanes
    ]
    most = max(int(of_lane.max()) for of_lane in ways)
    return -(-most // -(-most // longest))


def evaluation_marks(commits: int, every: int | None) -> list[int]:
    """The versions at which a run is evaluated: 0, every so many updates, and the last."""
    return [*range(0, commits, commits if every is None else every), commits]


def _leaves(tree: Any, like: Any, device: Any) -> tuple[jax.Array, ...]:
    leaves, structure = jax.tree.flatten(tree)
    shapes, expected = (
        [(np.shape(leaf), jnp.result_type(leaf)) for leaf in jax.tree.leaves(one)] for one in (tree, like)
    )
    if structure != jax.tree.structure(like) or shapes != expected:
        raise ValueError(f"params must have the same structure, shapes and dtypes for every seed, got {shapes}")
    for path, leaf in zip(paths_of(structure), leaves, strict=True):
        require_finite(f"params{path}", leaf)
    arrays = tuple(jnp.array(leaf, dtype=jnp.result_type(leaf)) for leaf in leaves)
    return arrays if device is None else tuple(jax.device_put(leaf, device) for leaf in arrays)
