"""Figures, tables and pages of runs, comparisons and spectra: functions of a result, which need the extra ``cli``.

Each of the figures takes a result and returns a figure of Matplotlib, which no window and no global state knows of;
:func:`save` writes it as PNG, PDF or SVG. All have one style: widths of a paper's column or page, a light and a dark
theme, and for each arm the same colour, line and marker wherever it is drawn.
"""

from jasgd.presenting.pictures.laws import staleness_law
from jasgd.presenting.pictures.losses import evaluations, loss
from jasgd.presenting.pictures.over_time import factor_over_time, staleness_over_time
from jasgd.presenting.pictures.step_sizes import step_size
from jasgd.presenting.pictures.timeline import timeline
from jasgd.report.pages.page import report_of
from jasgd.report.pictures.learning_rates import convergence_map, final_loss_over_learning_rate
from jasgd.report.pictures.spectra import over_workers
from jasgd.report.pictures.speed_ups import speed_up
from jasgd.report.plots import figures, plot, plot_comparison, plot_spectrum
from jasgd.report.saving import save

__all__ = [
    "convergence_map",
    "evaluations",
    "factor_over_time",
    "figures",
    "final_loss_over_learning_rate",
    "loss",
    "over_workers",
    "plot",
    "plot_comparison",
    "plot_spectrum",
    "report_of",
    "save",
    "speed_up",
    "staleness_law",
    "staleness_over_time",
    "step_size",
    "timeline",
]
