"""What XLA compiles meanwhile."""

import contextlib

import jax

COMPILED = "/jax/core/compile/backend_compile_duration"


@contextlib.contextmanager
def compilations():
    """Counts what XLA compiles meanwhile."""
    names = []

    def note(event, duration, **about):
        if event == COMPILED:
            names.append(about.get("fun_name", event))

    jax.monitoring.register_event_duration_secs_listener(note)
    try:
        yield names
    finally:
        jax._src.monitoring.unregister_event_duration_listener(note)
