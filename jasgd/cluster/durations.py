"""Laws of durations, in seconds: how long the phases of a worker's cycle take."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, Protocol, runtime_checkable

import numpy as np

from jasgd.showing import brief


@runtime_checkable
class Duration(Protocol):
    """A law of durations, which arguments whose names end in ``_s`` take; implement it to have a law of your own.

    Attributes:
      mean_s: its mean in seconds; engines guess from it how much to draw, and nothing else depends on it.
    """

    @property
    def mean_s(self) -> float:
        """The mean in seconds."""
        ...

    def sample(self, rng: np.random.Generator, size: int) -> np.ndarray:
        """Independent durations in seconds, ≥ 0 and finite; float64 of shape (size,)."""
        ...


@dataclasses.dataclass(frozen=True)
class Constant:
    """The same duration every time, see :func:`constant`."""

    mean_s: float

    def __post_init__(self):
        _require("seconds", self.mean_s, least=0.0)

    def sample(self, rng: np.random.Generator, size: int) -> np.ndarray:
        """``size`` times the same."""
        return np.full(size, float(self.mean_s))


@dataclasses.dataclass(frozen=True)
class Gamma:
    """A gamma law, see :func:`gamma`."""

    mean_s: float
    shape: float

    def __post_init__(self):
        _require("mean_s", self.mean_s)
        _require("shape", self.shape)

    def sample(self, rng: np.random.Generator, size: int) -> np.ndarray:
        """Independent draws."""
        return rng.gamma(self.shape, self.mean_s / self.shape, size)


@dataclasses.dataclass(frozen=True)
class Exponential:
    """An exponential law, see :func:`exponential`."""

    mean_s: float

    def __post_init__(self):
        _require("mean_s", self.mean_s)

    def sample(self, rng: np.random.Generator, size: int) -> np.ndarray:
        """Independent draws."""
        return rng.exponential(self.mean_s, size)


@dataclasses.dataclass(frozen=True)
class LogNormal:
    """A lognormal law, see :func:`lognormal`."""

    mean_s: float
    sigma: float

    def __post_init__(self):
        _require("mean_s", self.mean_s)
        _require("sigma", self.sigma, least=0.0)

    def sample(self, rng: np.random.Generator, size: int) -> np.ndarray:
        """Independent draws."""
        return rng.lognormal(math.log(self.mean_s) - self.sigma**2 / 2, self.sigma, size)


def constant(seconds: float) -> Duration:
    """The same duration every time; a plain number means the same.

    Args:
      seconds: ≥ 0.

    Returns:
      The law.

    Raises:
      ValueError: for a negative or infinite number.

    Example:
      >>> constant(0.5).sample(np.random.default_rng(0), 2)
      array([0.5, 0.5])
    """
    return Constant(seconds)


def gamma(mean_s: float, shape: float) -> Duration:
    r"""A gamma law, with density proportional to :math:`t^{a-1} e^{-at/\mu}`; its deviation is :math:`\mu/\sqrt a`.

    Args:
      mean_s: μ in seconds, > 0.
      shape: a, > 0; 1 is exponential, and the larger the more regular.

    Returns:
      The law.

    Raises:
      ValueError: for a number out of its range.

    Example:
      >>> gamma(mean_s=0.01, shape=4).mean_s
      0.01
    """
    return Gamma(mean_s, shape)


def exponential(mean_s: float) -> Duration:
    r"""An exponential law, with density :math:`e^{-t/\mu}/\mu`.

    Args:
      mean_s: μ in seconds, > 0.

    Returns:
      The law.

    Raises:
      ValueError: for a number out of its range.

    Example:
      >>> exponential(mean_s=0.1)
      Exponential(mean_s=0.1)
    """
    return Exponential(mean_s)


def lognormal(mean_s: float, sigma: float) -> Duration:
    r"""A lognormal law: the logarithm is normal with deviation σ and mean :math:`\ln\mu - \sigma^2/2`.

    Args:
      mean_s: μ in seconds, the mean of the duration itself, > 0.
      sigma: σ, ≥ 0; without unit.

    Returns:
      The law.

    Raises:
      ValueError: for a number out of its range.

    Example:
      >>> lognormal(mean_s=0.1, sigma=0.5).mean_s
      0.1
    """
    return LogNormal(mean_s, sigma)


def is_number(value: Any) -> bool:
    """Whether a value is a real number, Python's or NumPy's; a bool is none."""
    return isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)


def as_duration(name: str, value: Any) -> Duration:
    """The law that an argument is, or that its number of seconds means; TypeError naming it for anything else."""
    if is_number(value):
        if not 0 <= value < math.inf:
            raise ValueError(f"{name} must be a finite number of seconds ≥ 0, got {value}")
        return Constant(float(value))
    if isinstance(value, type) or not isinstance(value, Duration):
        raise TypeError(
            f"{name} must be a number of seconds or a Duration, which has mean_s and sample, got {brief(repr(value))}"
        )
    if not 0 <= value.mean_s < math.inf:
        raise ValueError(f"{name} must have a finite mean_s ≥ 0, got {value.mean_s} from {value!r}")
    return value


def describe_law(law: Any, *, kind: bool = True) -> dict[str, Any]:
    """A law as JSON holds it, with its kind or without."""
    if callable(getattr(law, "describe", None)):
        return law.describe()
    description: dict[str, Any] = {"law": type(law).__name__.lower()} if kind else {}
    for field in dataclasses.fields(law) if dataclasses.is_dataclass(law) else ():
        value = getattr(law, field.name)
        value = value.item() if isinstance(value, np.generic) else value
        description[field.name] = value if isinstance(value, (bool, int, float, str, type(None))) else repr(value)
    return description


def _require(name: str, value: Any, *, least: float | None = None) -> None:
    if not is_number(value) or not math.isfinite(value) or (value <= 0 if least is None else value < least):
        raise ValueError(
            f"{name} must be a finite number {'> 0' if least is None else f'≥ {least:g}'}, got {brief(repr(value))}"
        )
