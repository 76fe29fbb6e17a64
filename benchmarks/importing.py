"""What importing jasgd takes beside importing JAX and Optax, as a ratio, measured side by side; the goal is 1.1.

    python benchmarks/importing.py

It is measured on whole processes, so a collection of garbage that Python happens to do meanwhile is part of it.
"""

import argparse
import statistics
import subprocess
import sys
import time


def seconds(modules):
    """Of a process that imports them and does nothing."""
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", f"import {modules}"], check=True)
    return time.perf_counter() - started


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repetitions", type=int, default=15)
    options = parser.parse_args()
    ratios, base = [], []
    for repetition in range(options.repetitions + 1):
        before, ours, behind = seconds("jax, optax"), seconds("jasgd"), seconds("jax, optax")
        if repetition:  # the first fills the caches of the disk
            ratios.append(2 * ours / (before + behind))
            base += [before, behind]
    print(f"importing JAX and Optax: {statistics.median(base):.2f} s")
    print(f"importing jasgd: {statistics.median(ratios):.3f} of it ({min(ratios):.3f}–{max(ratios):.3f})")


if __name__ == "__main__":
    main()
