"""The first commit that made parameters not finite is known also where who has to look has no processor then."""

import numpy as np

from jasgd.core.finiteness import are_finite
from jasgd.core.health import EVERY, Health, Made


def leaves(version, bad):
    return (np.array([float(version), np.nan if version >= bad else 0.0], np.float32),)


def test_what_has_to_make_room_is_looked_at_when_nobody_looks():
    workers, bad = 2, EVERY + 3
    health = Health()
    health.adapt(leaves(0, bad), workers, are_finite, gradient_s=1.0)
    late = []
    for version in range(4 * EVERY):
        made = Made(version, leaves(version, bad), 0, version, None)
        if (version + 1) % EVERY == 0 and version > bad:
            late.append(made)  # whose worker has no processor until the others have gone on
        else:
            health.check(made)
    for made in late:
        health.check(made)
    first = health.trace(None)
    assert (first.version, first.exact, first.ticket) == (bad, True, bad)


def test_what_is_kept_is_bounded():
    workers = 3
    health = Health()
    health.adapt(leaves(0, 10**9), workers, are_finite, gradient_s=1.0)
    for version in range(10 * EVERY):
        if (version + 1) % EVERY:
            health.check(Made(version, leaves(version, 10**9), 0, version, None))
        assert len(health._kept) <= EVERY + workers
