"""A script: a command that says where it is and waits there, while it trains and once at the end; and what is cut off.

``python tests/support/interrupted_command.py PLACE COMMAND...``; the place is a function's name. It waits for a line.
"""

import sys

from jasgd.callbacks import Progress
from jasgd.callbacks.bars import TrainingBar
from jasgd.cli.main import main
from jasgd.training.engines.supervisor import Supervisor
from jasgd.training.engines.threads import WorkerThreads


def say(text):
    print(text, file=sys.stderr, flush=True)


def waiting(holder, name, called=None):
    function, waited = getattr(holder, name), []

    def wait(*args):
        value = function(*args)
        if not waited:
            waited.append(True)
            try:  # what is said is answered by Ctrl-C at once, which may come before print returns
                say(f"in {called or name}")
                sys.stdin.readline()
            except KeyboardInterrupt:
                say("cut short")
                raise
        return value

    setattr(holder, name, wait)


if __name__ == "__main__":
    place, *arguments = sys.argv[1:]
    waiting(TrainingBar, "show")  # of comparisons
    waiting(Progress, "on_progress", "show")
    waiting(WorkerThreads if hasattr(WorkerThreads, place) else Supervisor, place)
    raise SystemExit(main(arguments))
