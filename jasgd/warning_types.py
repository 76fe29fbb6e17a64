"""The warnings of this library, each of a class of its own, so that one may be silenced or made an error alone.

``warnings.filterwarnings("ignore", category=jasgd.warning_types.BatchShapesWarning)`` silences one,
``category=jasgd.JasgdWarning`` all. All are RuntimeWarnings.
"""


class JasgdWarning(RuntimeWarning):
    """The base of all warnings of this library."""


class UnconfiguredCPUWarning(JasgdWarning):
    """Several workers share JAX's pool of threads, as :func:`jasgd.configure_cpu` was not called."""


class BatchShapesWarning(JasgdWarning):
    """Mini-batches have several shapes, and each new one is compiled while a run goes on."""


class CheckpointWarning(JasgdWarning):
    """A checkpoint is damaged, or could not be written; the run goes on all the same."""


class LateErrorWarning(JasgdWarning):
    """A worker raised when the run had ended by itself; ``result.error`` has it."""


class ReplayEnvironmentWarning(JasgdWarning):
    """A run is replayed where versions, settings or processors differ, so that its bits may differ."""


class UnknownSettingsWarning(JasgdWarning):
    """This version of JAX does not say which settings a thread has, so that workers compute under the global ones."""
