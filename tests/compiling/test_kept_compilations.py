"""What JAX compiles is kept for later processes, where the user has not chosen otherwise; what a run needs before."""

import sys
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support.python_process import run_python

PROGRAM = """
import sys
import numpy as np
import jax, jasgd, optax
hits, misses = [], []
jax.monitoring.register_event_listener(
    lambda event, **about: hits.append(1) if event == "/jax/compilation_cache/cache_hits" else
    misses.append(1) if event == "/jax/compilation_cache/cache_misses" else None)
folder = jasgd.keep_compiled()
result = jasgd.train(lambda w, b: ((w - b) ** 2).mean(), np.zeros(3, np.float32), optax.sgd(0.1),
                     lambda ticket: np.ones(3, np.float32), workers=2, steps=20)
print(folder, len(hits), len(misses), result.execution.metadata["native"])
"""
OWN = (
    "JAX_COMPILATION_CACHE_DIR", "JAX_ENABLE_COMPILATION_CACHE", "NPROC", "JAX_CPU_ENABLE_ASYNC_DISPATCH", "XLA_FLAGS",
)  # fmt: skip


def ran(program, **env):
    process = run_python("-c", program, env={name: str(value) for name, value in env.items()}, without=OWN)
    assert process.returncode == 0, process.stderr
    assert "Error reading" not in process.stderr
    return process.stdout.split()


def test_a_second_process_compiles_nothing_of_a_run(tmp_path):
    folder, _, misses, _ = ran(PROGRAM, XDG_CACHE_HOME=tmp_path)
    assert int(misses) > 0
    again, hits, misses, native = ran(PROGRAM, XDG_CACHE_HOME=tmp_path)
    assert (again, int(misses)) == (folder, 0)
    assert int(hits) > 0
    assert folder.startswith(str(tmp_path / "jasgd" / "compiled"))
    assert native == "True"


@pytest.mark.full
def test_processes_that_start_together_share_a_folder(tmp_path):
    with ThreadPoolExecutor(3) as pool:
        outcomes = list(pool.map(lambda _: ran(PROGRAM, XDG_CACHE_HOME=tmp_path), range(3)))
    assert len({folder for folder, *_ in outcomes}) == 1
    assert ran(PROGRAM, XDG_CACHE_HOME=tmp_path)[2] == "0"


def test_the_users_own_folder_and_refusal_stay(tmp_path):
    own, ours = tmp_path / "own", tmp_path / "ours"
    said = "import jax, jasgd; print(jasgd.keep_compiled(), jax.config.jax_compilation_cache_dir)"
    assert ran(said, XDG_CACHE_HOME=ours, JAX_COMPILATION_CACHE_DIR=own) == [str(own), str(own)]
    assert ran(said, XDG_CACHE_HOME=ours, JAX_ENABLE_COMPILATION_CACHE="false") == ["None", "None"]
    assert not ours.exists()


def test_a_file_in_the_place_of_the_folder_costs_nothing_but_the_cache(tmp_path):
    (tmp_path / "jasgd").write_text("")
    folder, _, _, _ = ran(PROGRAM, XDG_CACHE_HOME=tmp_path)
    assert folder == "None"


@pytest.mark.parametrize("damage", [lambda content: b"", lambda content: content[: len(content) // 2]])
def test_files_that_are_not_whole_are_compiled_once_more_without_a_word(tmp_path, damage):
    folder, _, misses, _ = ran(PROGRAM, XDG_CACHE_HOME=tmp_path)
    files = sorted(Path(folder).glob("*-cache"))
    assert len(files) == int(misses)
    for file in files[:2]:
        file.write_bytes(damage(file.read_bytes()))
    for expected in ("2", "0"):  # and kept again
        assert ran(PROGRAM, XDG_CACHE_HOME=tmp_path)[2] == expected


def test_each_file_is_read_once(tmp_path):
    import os
    import time

    from jasgd.compiling.kept_compilations import _remove_damaged

    def write(name, when_s):
        (tmp_path / name).write_bytes(b"")
        os.utime(tmp_path / name, (when_s, when_s))

    (tmp_path / "other").write_bytes(b"")
    (tmp_path / "1-cache").write_bytes(zlib.compress(bytes(5_000_000)))
    (tmp_path / "2-cache").write_bytes(b"compressed otherwise")
    write("3-cache", time.time())
    _remove_damaged(tmp_path)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["1-cache", "2-cache", "checked", "other"]
    write("4-cache", time.time() - 60)  # looked at already, by its time
    write("5-cache", time.time() + 60)
    _remove_damaged(tmp_path)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["1-cache", "2-cache", "4-cache", "checked", "other"]


def test_the_oldest_files_make_room(tmp_path, monkeypatch):
    import os

    from jasgd.compiling import kept_compilations

    monkeypatch.setattr(kept_compilations, "MOST_BYTES", 25)
    for number in range(4):
        (tmp_path / f"{number}-cache").write_bytes(bytes(10))
        os.utime(tmp_path / f"{number}-cache", (number, number))
    kept_compilations._make_room(tmp_path)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["2-cache", "3-cache"]


CONFIGURED = """
import numpy as np
import jax, jasgd, optax
{before}
jasgd.train(lambda w, b: ((w - b) ** 2).mean(), np.zeros(3, np.float32), optax.sgd(0.1),
            lambda ticket: np.ones(3, np.float32), workers={workers}, steps=5)
from jasgd.jax_settings import threads_per_computation
print(jax.config.read("jax_cpu_enable_async_dispatch"), threads_per_computation())
"""


def test_train_configures_the_cpu_where_jax_has_not_started():
    assert ran(CONFIGURED.format(before="", workers=2)) == ["False", "1"]


@pytest.mark.parametrize(
    "own", [{"JAX_CPU_ENABLE_ASYNC_DISPATCH": "true"}, {"XLA_FLAGS": "--xla_cpu_multi_thread_eigen=true"}]
)
def test_train_leaves_what_the_user_has_set(own):
    process = run_python("-c", CONFIGURED.format(before="", workers=2), env=own, without=OWN)
    assert process.stdout.split()[0] == "True", process.stderr
    assert "a fifth of the updates: call jasgd.configure_cpu()" in process.stderr


def test_train_says_what_it_costs_where_jax_has_started():
    process = run_python("-c", CONFIGURED.format(before="jax.numpy.zeros(1)", workers=2), without=OWN)
    assert process.stdout.split()[0] == "True", process.stderr
    assert process.stderr.count("a fifth of the updates: call jasgd.configure_cpu()") == 1
    alone = run_python("-c", CONFIGURED.format(before="jax.numpy.zeros(1)", workers=1), without=OWN)
    assert alone.stderr == ""


def test_nothing_is_set_at_import():
    said = """
import os
before = dict(os.environ)
import jasgd, jasgd.training.trainer, jax
from jasgd.jax_settings import started
print(started(), jax.config.read("jax_cpu_enable_async_dispatch"), jax.config.jax_compilation_cache_dir,
      before == dict(os.environ))
"""
    assert ran(said) == ["False", "True", "None", "True"]


def test_jasgd_train_imports_no_more_than_it_needs(tmp_path):
    said = f"""
import sys
from jasgd.cli.main import main
import jasgd.training.run as run
first = []
work = run.Run.__init__
def noted(self, *args, **kwargs):
    first[:] = [name for name in ("sklearn", "matplotlib", "pandas", "sympy", "scipy.stats", "jasgd.report")
                if name in sys.modules]
    return work(self, *args, **kwargs)
run.Run.__init__ = noted
code = main(["train", "--steps", "5", "--workers", "1", "--no-plots", "-q", "--out", {str(tmp_path / "run")!r}])
print("needed", code, *first)
"""
    assert ran(said)[-2:] == ["needed", "0"]


def test_the_table_is_printed_before_plots_are_drawn(tmp_path, monkeypatch, capsys):
    from jasgd.cli import train
    from jasgd.cli.main import main

    printed = []
    draw = train.draw

    def drawn(*args):
        printed.append(capsys.readouterr().out)
        return draw(*args)

    monkeypatch.setattr(train, "draw", drawn)
    assert main(["train", "--steps", "5", "--workers", "1", "--no-plots", "-q", "--out", str(tmp_path / "run")]) == 0
    assert "finished" in printed[0]


def test_a_terminal_hears_at_once_that_a_command_has_begun(capsys, monkeypatch):
    from jasgd.cli.output import say_begun

    class Train:
        quiet = False

    say_begun(Train())
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    say_begun(Train())
    assert capsys.readouterr().err == "jasgd train has begun\n"
    Train.quiet = True
    say_begun(Train())
    assert capsys.readouterr().err == ""
