"""A certificate that was altered and sealed again is rejected, quickly; one with other valid witnesses is accepted."""

import time

import pytest
from support.forged_arguments import FORGED_ARGUMENTS, VARIED_ARGUMENTS
from support.forged_certificates import BASES, FORGERIES, VARIANTS, altered, made, sealed

from theory.certificates.checker import check
from theory.certificates.rejection import Rejected

FALSE, TRUE = FORGERIES + FORGED_ARGUMENTS, VARIANTS + VARIED_ARGUMENTS


@pytest.fixture(scope="module")
def certificates():
    """The certificates that are altered, made once."""
    return {name: made(name) for name in BASES}


@pytest.mark.parametrize("name", BASES)
def test_what_is_altered_held_before(certificates, name):
    data = certificates[name]
    assert len(check(data)) == len(data["claims"])
    assert sealed(data) == data


@pytest.mark.parametrize(("name", "alteration"), [row[1:] for row in FALSE], ids=[row[0] for row in FALSE])
def test_a_forgery_is_rejected_in_a_short_time(certificates, name, alteration):
    data = altered(certificates[name], alteration)
    assert data != certificates[name]
    started = time.process_time()
    with pytest.raises(Rejected):
        check(data)
    assert time.process_time() - started < 2


@pytest.mark.parametrize(("name", "alteration"), [row[1:] for row in TRUE], ids=[row[0] for row in TRUE])
def test_other_witnesses_that_hold_are_accepted(certificates, name, alteration):
    data = altered(certificates[name], alteration)
    assert len(check(data)) == len(data["claims"])


def test_a_certificate_of_the_first_format_is_refused_by_name(certificates):
    with pytest.raises(Rejected, match=r"format 1 .*verify again"):
        check({"format": "jasgd theory certificate 1", "claims": []})
    with pytest.raises(Rejected, match="nothing is verified"):
        check(sealed({**certificates["inverse"], "claims": [], "questions": []}))


def test_damage_is_found_by_the_hash(certificates):
    with pytest.raises(Rejected, match="hash"):
        check({**certificates["inverse"], "candidate": {"name": "", "source": ""}})
