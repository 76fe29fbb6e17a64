"""The kinds of distribution functions of a staleness."""

from __future__ import annotations

from typing import Literal

#: P[T<τ] + P[T=τ]/2, P[T<τ], or P[T≤τ].
CDFKind = Literal["mid", "strict", "inclusive"]
CDF_KINDS: tuple[CDFKind, ...] = ("mid", "strict", "inclusive")
