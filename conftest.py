"""JAX is configured once, as a user would, before any test computes; and the code in pages is collected as tests.

Sybil runs the Python blocks of README, CONTRIBUTING and docs in their order, each page in a namespace and a folder of
its own. What a page does not show is in comments of its Markdown: ``<!--- invisible-code-block: python`` has what its
blocks need and what must be true after them, ``<!--- skip: next "why" -->`` leaves out what needs an account elsewhere.
"""

import atexit
import importlib.util
import logging
import os
import shutil
import signal
import tempfile
from pathlib import Path

import hypothesis
import jax
import sybil.integration.pytest
from sybil import Sybil
from sybil.parsers.markdown import PythonCodeBlockParser, SkipParser

import jasgd

jasgd.configure_cpu()

# How long an example takes depends on what else the machine does.
hypothesis.settings.register_profile("any machine", deadline=None)
hypothesis.settings.load_profile("any machine")

# Many tests compile the same programs. What one test has compiled, later ones take from a folder of this run alone,
# whichever worker of pytest-xdist they run in. A process that a test starts compiles all itself, as a user's does.
if "JASGD_TESTS_COMPILED" not in os.environ:
    os.environ["JASGD_TESTS_COMPILED"] = tempfile.mkdtemp(prefix="jasgd-tests-compiled-")
    atexit.register(shutil.rmtree, os.environ["JASGD_TESTS_COMPILED"], ignore_errors=True)
jax.config.update("jax_compilation_cache_dir", os.environ["JASGD_TESTS_COMPILED"])
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)

# A shell that starts the tests in the background has them ignore Ctrl-C, and what they start as well; some test it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).parent


class FolderOfItsOwn:
    """Pages write files: their blocks run in an empty folder with the examples, and leave nothing."""

    def __init__(self, before=None):
        self.before = before

    def begin(self, namespace):
        self.home, self.level = os.getcwd(), logging.getLogger("jasgd").level
        self.folder = tempfile.TemporaryDirectory(prefix="jasgd-page-")
        os.chdir(self.folder.name)
        os.symlink(ROOT / "examples", "examples")
        namespace.update(__name__="__page__", ROOT=ROOT, importlib=importlib)
        if self.before is not None:
            exec(self.before(), namespace)

    def end(self, namespace):
        os.chdir(self.home)
        logging.getLogger("jasgd").setLevel(self.level)
        self.folder.cleanup()
        namespace.clear()
        jax.clear_caches()  # else a process that runs all pages keeps every program


def definitions():
    """The block of the README that is said to make the lines above it run."""
    text = (ROOT / "README.md").read_text().partition("These definitions make the lines above run:")[2]
    return text.partition("```python\n")[2].partition("```")[0]


def pages_of(before=None, **files):
    folder, parsers = FolderOfItsOwn(before), [PythonCodeBlockParser(), SkipParser()]
    return Sybil(parsers, path=str(ROOT), setup=folder.begin, teardown=folder.end, **files)


pages = [
    pages_of(patterns=["docs/*.md"], filenames=["CONTRIBUTING.md"]),
    pages_of(definitions, filenames=["README.md"]),
]
pytest_collect_file = sybil.integration.pytest.pytest_integration(*pages)
collect_ignore = ["docs/conf.py"]
