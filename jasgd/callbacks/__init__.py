"""What is called while a run goes on: your own callbacks, and those for progress, stopping early and logging.

``jasgd.train(..., callbacks=[EarlyStopping(patience=5), TensorBoard("logs")])``. One of your own derives from
:class:`Callback`; each of its methods is given a :class:`RunState`.
"""

from jasgd.callbacks.callback import Callback, RunOptions
from jasgd.callbacks.early_stopping import EarlyStopping
from jasgd.callbacks.json_lines import JsonLines
from jasgd.callbacks.metrics import Metrics
from jasgd.callbacks.progress_display import Progress
from jasgd.callbacks.state import RunState
from jasgd.callbacks.tensorboard import TensorBoard

__all__ = ["Callback", "EarlyStopping", "JsonLines", "Metrics", "Progress", "RunOptions", "RunState", "TensorBoard"]
