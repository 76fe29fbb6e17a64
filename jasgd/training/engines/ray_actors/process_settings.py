"""What a process computes under, for actors in other processes to compute under as well."""

from __future__ import annotations

import os
import sys
from typing import Any, NamedTuple

import jax

from jasgd.jax_settings import configure_cpu, started, threads_per_computation
from jasgd.thread_context import deciding_settings

#: besides those that decide bits: where compiled programs are kept, so that not every process compiles all
OTHERS = (
    "jax_enable_x64",
    "jax_default_matmul_precision",
    "jax_default_prng_impl",
    "jax_compilation_cache_dir",
    "jax_persistent_cache_min_compile_time_secs",
    "jax_persistent_cache_min_entry_size_bytes",
)


class ProcessSettings(NamedTuple):
    """Settings that decide what is computed, as plain values.

    Attributes:
      threads: that one computation on a CPU may use.
      xla_flags: of the environment.
      jax: JAX's settings by name.
      path: folders in which modules are found; those that another machine does not have are left out there.
    """

    threads: int | None
    xla_flags: str
    jax: dict[str, Any]
    path: tuple[str, ...] = ()

    @classmethod
    def of_this_process(cls) -> ProcessSettings:
        """Those under which the calling thread computes."""
        values = {name: getattr(jax.config, name, None) for name in (*deciding_settings(), *OTHERS)}
        plain = {name: value for name, value in values.items() if isinstance(value, bool | int | float | str)}
        path = tuple(map(os.path.abspath, sys.path))  # '' is this process's working directory
        return cls(threads_per_computation(), os.environ.get("XLA_FLAGS", ""), plain, path)

    def take_over(self, *, on_gpu: bool) -> None:
        """Has this process compute under them; before it computes anything.

        Args:
          on_gpu: whether it may use GPUs; else it computes on the CPU.
        """
        sys.path += [folder for folder in self.path if folder not in sys.path and os.path.isdir(folder)]
        if self.xla_flags:
            os.environ["XLA_FLAGS"] = self.xla_flags
        if not on_gpu:
            jax.config.update("jax_platforms", "cpu")
        for name, value in self.jax.items():
            if getattr(jax.config, name, value) != value:
                jax.config.update(name, value)
        if not started():
            configure_cpu(threads_per_worker=self.threads)
