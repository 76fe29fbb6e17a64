"""Where each part of a run has computed, for its replay to compute there again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax

from jasgd.core.devices import Placement, as_device, name_of
from jasgd.record.environment import Mismatch, describe_environment, mismatches
from jasgd.showing import brief


class Place(NamedTuple):
    """Where a part of a run is computed again.

    Attributes:
      home: the device of the parameters, where commits are made; None for JAX's default.
      placement: on which device each worker computes; None where all do at home.
    """

    home: Any
    placement: Placement | None = None


def places_of(parts: Sequence[dict[str, Any]], device: Any) -> tuple[list[Place], list[Mismatch]]:
    """Where the parts of a run have computed, and what is not as it was.

    Args:
      parts: of :func:`jasgd.record.checkpoints.state.parts_of`.
      device: a jax device that all is to be computed on, as :func:`jasgd.core.devices.as_device` takes it; None for
        those of the record.

    Returns:
      A place for each part, and each difference once: devices that are not there or of another kind, and settings that
      decide bits.
    """
    places, differences = [], []
    present: dict[Any, dict[str, Any]] = {}  # by home
    for part in parts:
        placement, elsewhere = _placed(part, device)
        home = as_device(device) if placement is None else placement.home
        places.append(Place(home, placement))
        present[home] = present.get(home) or describe_environment(home)
        differences += [*elsewhere, *mismatches(part["environment"], present[home]), *_of_workers(part)]
    return places, [one for i, one in enumerate(differences) if one not in differences[:i]]


def _of_workers(part: dict[str, Any]) -> list[Mismatch]:
    """Where workers in other processes had another environment than the server: one replay cannot have both."""
    server = part["environment"]
    several = part.get("worker_environments", {})
    return [
        Mismatch(f"{name} of worker {worker}", value, server.get(name))
        for worker, own in several.items()
        for name, value in own.items()
    ]


def _placed(part: dict[str, Any], device: Any) -> tuple[Placement | None, tuple[Mismatch, ...]]:
    """Where each worker of a part has computed; else None, and what is not as it was."""
    names = part.get("devices")
    if names is None:
        return None, ()
    if device is not None and {name_of(as_device(device))} != {*names}:
        return None, (Mismatch("device", f"devices {_brief(names)}", name_of(as_device(device))),)
    try:
        placement = Placement([as_device(name) for name in names], len(names))
    except ValueError:
        there = [name_of(one) for one in jax.local_devices()]
        return None, (Mismatch("devices", _brief(names), _brief(there)),)
    kinds = part["device_kinds"]
    if placement.kinds != kinds:
        return placement, (Mismatch("device_kinds", kinds, placement.kinds),)
    return placement, ()


def _brief(names: list[str]) -> str:
    return brief(", ".join(dict.fromkeys(names)))
