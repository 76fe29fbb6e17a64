"""Engines make the workers of a training run work: threads of this process, or Ray's actors on many machines."""

from __future__ import annotations

from jasgd.training.engines.choice import ENGINES, RayEngine, ThreadsEngine, ray

__all__ = ["ENGINES", "RayEngine", "ThreadsEngine", "ray"]
