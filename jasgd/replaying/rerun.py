"""A recorded execution under way a second time: one commit after another, each compared with its rows."""

from __future__ import annotations

import contextlib
import dataclasses
import warnings
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import numpy as np

from jasgd.core.admission import admit
from jasgd.core.arguments import check_loss_fn, check_tx
from jasgd.core.batching.micro_batches import ticket_batches
from jasgd.core.compiled import Leaves
from jasgd.core.devices import as_device, computing_on, default_device
from jasgd.data import as_batches
from jasgd.inputs.asked import with_key
from jasgd.inputs.checks import function, instance, is_integer, switch
from jasgd.model_state.merging import described_merge
from jasgd.record.checkpoints.state import parts_of
from jasgd.record.environment import Mismatch, describe_dtypes
from jasgd.record.result import TrainResult
from jasgd.record.trees import digest
from jasgd.replaying.placements import Place, places_of
from jasgd.replaying.stores import Computed, Shared, Versions
from jasgd.showing import brief
from jasgd.warning_types import ReplayEnvironmentWarning


class ReplayError(ValueError):
    """Raised where a run cannot be replayed here; the message names what differs, with both values."""


class Commit(NamedTuple):
    """A commit that was run again."""

    version: int  # commits before this one
    rows: range  # its rows in the execution; none for a commit of Hogwild's that did not end
    grads: tuple[Leaves, ...]  # one per row
    reads: tuple[Leaves, ...]  # the parameters that each was computed on


class Rerun:
    """A replay under way; arguments as of :func:`jasgd.replay`, which is a loop over :meth:`commits`.

    Attributes:
      differences: by row of the execution, a sentence on what has other bits than were recorded.
      environment: the settings that decide bits and are not as they were.
    """

    def __init__(
        self,
        result: TrainResult,
        loss_fn: Any,
        tx: Any,
        batches: Any,
        *,
        upto: int | None,
        strict: bool,
        device: Any,
        merge: Any = None,
    ):
        hint = "ask it for one of its runs, as in simulation[0]" if hasattr(result, "results") else ""
        instance("result", result, TrainResult, hint)
        strict = switch("strict", strict)
        check_loss_fn(loss_fn)
        check_tx(tx)
        function("merge", merge, "published, new", optional=True)
        as_device(device)  # refused before anything is read of the result
        drawn = as_batches(batches)
        self.result, self.execution = result, result.execution
        self.execution.validate()
        self.execution.unaltered()
        self.upto = check_upto(upto, self.execution.commits)
        self.differences: dict[int, str] = {}
        metadata = self.execution.metadata
        parts = parts_of(metadata)
        places, elsewhere = places_of(parts, device)
        self._place = places[0]
        device = self._place.home
        if result.initial_params is None:
            raise ReplayError("result must have initial_params to be replayed, got None")
        if _is_by_path(result.initial_params):
            raise ReplayError("result must be loaded with params_like to be replayed: its parameters have no structure")
        if digest(result.initial_params) != metadata["initial_params"]:
            raise ReplayError("initial_params of the result must be those that the run began with, and were altered")
        model_state = _model_state(result, merge)
        accumulate = int(metadata.get("accumulate", 1))
        with computing_on(device):
            batches = ticket_batches(loss_fn, drawn, int(metadata["seed"]), accumulate)
        self._batch_of, first = batches.batch_of, batches.first
        compiled, leaves, state = admit(
            with_key(loss_fn),
            result.initial_params,
            tx,
            batches.one,
            has_aux=metadata["has_aux"],
            model_state=model_state,
            merge=merge,
            device=device,
        )
        self.compiled = dataclasses.replace(compiled, accumulate=accumulate)
        params, model_leaves = self.compiled.parted(leaves)
        trees: dict[str, Any] = {"params": params, "opt_state": state, "batch": first}
        if model_state is not None:
            trees["model_state"] = model_leaves
        self.environment = (*elsewhere, *_differences(metadata, settings_differ=bool(elsewhere), **trees))
        if self.environment:
            warning = "this is not what the run was made with: " + "; ".join(map(str, self.environment))
            if strict:
                raise ReplayError(f"{warning}. Give strict=False to replay it all the same, perhaps to other bits")
            warnings.warn(warning, ReplayEnvironmentWarning, stacklevel=3)  # the caller of replay
        self.is_hogwild = any(_is_hogwild(part) for part in parts)
        later = zip(parts[1:], places[1:], strict=True)
        self._later = {int(part["from_version"]): (part, place) for part, place in later}
        self._store = self._made(parts[0], leaves, state)

    def commits(self) -> Iterator[Commit]:
        """Runs one commit after another; between two, :meth:`now` gives the state that the first of them made."""
        ex, versions = self.execution, np.arange(self.upto)
        starts = np.searchsorted(ex.version, versions).tolist()
        stops = np.searchsorted(ex.version, versions, side="right").tolist()
        waiting = Counter(ex.version_read[: stops[-1] if stops else 0].tolist())
        kept: dict[int, Leaves] = {}  # only the versions that a gradient still to come was computed on
        with contextlib.ExitStack() as computing:
            computing.enter_context(computing_on(self._place.home))
            for version, start, stop in zip(versions.tolist(), starts, stops, strict=True):
                if version in self._later:
                    self._begin_part(*self._later[version], computing)
                if waiting[version]:
                    kept[version] = self._store.read()
                rows = range(start, stop)
                if not rows:  # a commit of Hogwild's that did not end
                    yield Commit(version, rows, (), ())
                    continue
                computed = []
                for row in rows:
                    version_read = int(ex.version_read[row])
                    worker = int(ex.worker[row])
                    batch = self._batch_of(int(ex.ticket[row]), worker)
                    gradient = self._gradient(worker, kept[version_read], batch)
                    computed.append(Computed(worker, kept[version_read], *gradient))
                    waiting[version_read] -= 1
                    if not waiting[version_read]:
                        del kept[version_read]
                factor = self._store.commit(computed, version - int(ex.version_read[start]))
                for row, one in zip(rows, computed, strict=True):
                    self._compare(row, one, factor)
                grads = tuple(self.compiled.parted(one.grads)[0] for one in computed)
                reads = tuple(self.compiled.parted(one.read)[0] for one in computed)
                yield Commit(version, rows, grads, reads)

    def _begin_part(self, part: dict[str, Any], place: Place, computing: contextlib.ExitStack) -> None:
        """Goes on where another part of the run began, perhaps with another scheme, or on other devices."""
        leaves, state = self._store.now()
        computing.close()
        if place.home != self._place.home:
            leaves, state = jax.device_put((leaves, state), default_device() if place.home is None else place.home)
        computing.enter_context(computing_on(place.home))
        self._place, self._store = place, self._made(part, leaves, state)

    def _made(self, part: dict[str, Any], leaves: Leaves, state: Leaves) -> Shared | Versions:
        """The store of a part of the run."""
        kind = Shared if _is_hogwild(part) else Versions
        return kind(self.compiled, leaves, state, str(part["scheme"]))

    def now(self) -> tuple[Any, Any]:
        """Parameters and optimizer state; valid until the next commit, which may take their memory over."""
        leaves, state = self._store.now()
        return self.compiled.params_of(leaves), jax.tree.unflatten(self.compiled.state_structure, state)

    def model_state_now(self) -> Any:
        """The model state, likewise; None where the run has none."""
        return self.compiled.model_state_of(self._store.now()[0])

    def gradient_now(self, ticket: int, worker: int) -> tuple[float, Any]:
        """Loss and gradient of a ticket's mini-batch on the parameters now; changes nothing.

        Args:
          ticket: of the mini-batch.
          worker: that it was drawn for.

        Returns:
          The loss, and the gradient as a pytree like the parameters.
        """
        with computing_on(self._place.home):
            loss, _, grads = self._gradient(worker, self._store.now()[0], self._batch_of(ticket, worker))
        return float(loss), self.compiled.params_of(grads)

    def _gradient(self, worker: int, leaves: Leaves, batch: Any) -> tuple[Any, Any, Leaves]:
        """A gradient on its worker's device."""
        placement = self._place.placement
        if placement is None:
            return self.compiled.gradient(leaves, batch)
        return placement.gradient(self.compiled.gradient, worker, leaves, batch)

    def _compare(self, row: int, computed: Computed, factor: Any) -> None:
        ex = self.execution
        computed_numbers: dict[str, Any] = {
            "loss": np.float32(np.asarray(computed.loss)),
            "factor": np.float32(np.asarray(factor)),
        }
        recorded: dict[str, Any] = {"loss": ex.loss[row], "factor": ex.factor[row]}
        # Columns of aux lie in the order of its leaves; a result without them has nothing to compare these with.
        for (name, column), leaf in zip(self.result.aux.items(), jax.tree.leaves(computed.aux), strict=False):
            computed_numbers[f"aux {name}"], recorded[f"aux {name}"] = np.asarray(leaf), column[row]
        for name, value in computed_numbers.items():
            if value.tobytes() != recorded[name].tobytes():
                self.differences[row] = (
                    f"row {row} (version {ex.version[row]}, worker {ex.worker[row]}, ticket {ex.ticket[row]}): "
                    f"{name} is {value!s}, recorded was {recorded[name]!s}"
                )
                return


def _is_hogwild(part: dict[str, Any]) -> bool:
    return str(part["scheme"]).partition("(")[0] == "hogwild"


def check_upto(upto: Any, commits: int) -> int:
    """After how many of a run's commits a replay stops: all for None; ValueError for a number that there is not."""
    if upto is None:
        return commits
    if not is_integer(upto) or not 0 <= upto <= commits:
        raise ValueError(
            f"upto must be an integer in 0…{commits} (the run's commits), or None for all, got {brief(repr(upto))}"
        )
    return int(upto)


def _model_state(result: TrainResult, merge: Any) -> Any:
    """The model state that a run began with, None where it had none; ReplayError where it is not that of the record."""
    recorded = result.execution.metadata
    initial = result.initial_model_state
    if "initial_model_state" not in recorded:
        if merge is not None:
            raise ReplayError("merge must be left out for a run that had no model_state, which is what it merges")
        return None
    if initial is None:
        raise ReplayError("result must have initial_model_state to be replayed, got None")
    if _is_by_path(initial) and initial:
        raise ReplayError("result must be loaded with model_state_like to be replayed: its state has no structure")
    if digest(initial) != recorded["initial_model_state"]:
        raise ReplayError("initial_model_state of the result must be that which the run began with, and was altered")
    if described_merge(merge) != recorded["merge"]:
        ran, given = recorded["merge"] or "no merge", described_merge(merge) or "none"
        raise ReplayError(f"merge must be that of the run, which was made with {ran}; got {given}")
    return initial


def _is_by_path(tree: Any) -> bool:
    """Whether these are leaves as ``TrainResult.load`` gives them without a structure, which no ``loss_fn`` takes."""
    return isinstance(tree, dict) and all(
        isinstance(leaf, np.ndarray) and isinstance(path, str) and path[:1] in ("", "[", ".")
        for path, leaf in tree.items()
    )


def _differences(metadata: dict[str, Any], *, settings_differ: bool, **trees: Any) -> list[Mismatch]:
    """What is not as it was in the given functions: dtypes, or what the optimizer state begins with."""
    differences = []
    for name, dtypes in describe_dtypes(**trees).items():
        if dtypes != metadata["dtypes"][name]:
            differences.append(Mismatch(f"dtypes of {name}", metadata["dtypes"][name], dtypes))
    if not differences and not settings_differ and digest(trees["opt_state"]) != metadata["initial_opt_state"]:
        differences.append(
            Mismatch("digest of tx.init(params)", metadata["initial_opt_state"], digest(trees["opt_state"]))
        )
    return differences
