"""The first commit that made parameters not finite is known also where who has to look has no processor then."""

import numpy as np
import pytest

from jasgd.core.health import EVERY, Health, Made


def leaves(version, bad):
    return (np.array([float(version), np.nan if version >= bad else 0.0], np.float32),)


def test_what_has_to_make_room_is_looked_at_when_nobody_looks():
    workers, bad = 2, EVERY + 3
    health = Health()
    health.adapt(leaves(0, bad), workers, gradient_s=1.0)
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
    health.adapt(leaves(0, 10**9), workers, gradient_s=1.0)
    for version in range(10 * EVERY):
        if (version + 1) % EVERY:
            health.check(Made(version, leaves(version, 10**9), 0, version, None))
        assert len(health._kept) <= EVERY + workers


@pytest.mark.parametrize(
    ("unknown", "good", "found", "exact"),
    [
        ([], None, 5, True),
        (range(EVERY - 1), None, EVERY - 1, False),  # nothing is kept, as where leaves are changed in place
        ([3], None, 5, False),  # which may have been the first
        ([9], None, 5, True),
        ([5], None, 6, False),
        ([0, 1, 2, 3], 4, 5, True),  # what was looked at later says so of all before
        ([0, 1, 2, 3, 5], 4, 6, False),
        ([0, 1, 2, 3, *range(5, EVERY - 1)], 4, EVERY - 1, False),
        (range(5, EVERY - 1), None, EVERY - 1, False),
    ],
)
def test_the_first_commit_is_exact_only_where_all_before_it_are_known(unknown, good, found, exact):
    """The fifth made parameters not finite, and the last one of these is looked at."""
    health = Health()
    health.adapt(leaves(0, 5), 1, gradient_s=1.0)
    for version in range(EVERY):
        health.check(Made(version, leaves(version, 5), 0, version, None), in_place=version in unknown)
    if good is not None:
        health.note_good(good)
    first = health.trace(None)
    assert (first.version, first.exact) == (found, exact)
    assert ("or one before it" in first.describe([".a"])) == (not exact)
