"""``python -m theory.check certificate.json``: verifies a certificate again, without SymPy and without the prover.

Every claim is verified from its evidence: the argument for the tail is applied once more at the start that it names,
and no earlier start may do; what lies before is looked at one by one; counterexamples are evaluated again; enclosures
are computed again and have to agree to their last digit. The rest is hashes.
"""

from __future__ import annotations

import argparse
import json
import sys

from jasgd.inputs.text_files import read_text
from theory.certificates.checker import check
from theory.certificates.rejection import Rejected
from theory.exit_codes import BAD_INPUT, guarded


@guarded
def main(arguments: list[str] | None = None) -> int:
    """Runs the command line; 0 where every certificate holds, 1 where one does not, 3 where one cannot be read."""
    parser = argparse.ArgumentParser(prog="python -m theory.check", description="Verifies certificates again.")
    parser.add_argument("certificates", nargs="+", metavar="certificate.json", help="certificate to verify")
    try:
        options = parser.parse_args(arguments)
    except SystemExit as error:
        return BAD_INPUT if error.code else 0
    code = 0
    for path in options.certificates:
        try:
            data = json.loads(read_text(path))
        except (OSError, ValueError, RecursionError) as error:
            print(f"{path}: cannot be read: {error}", file=sys.stderr)
            return BAD_INPUT
        try:
            print(f"{path}: {check(data)} claims verified")
        except Rejected as error:
            print(f"{path}: REJECTED: {error}")
            code = 1
    return code


if __name__ == "__main__":
    sys.exit(main())
