"""What every picture must hold: nothing that was measured lies outside its axes, and no text outside the figure."""

import numpy as np
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.patches import Rectangle


def points_of(axes):
    """Each artist of a panel that shows data, with its points in data coordinates."""
    for line in axes.lines:
        if line.get_transform() == axes.transData:
            yield f"line {line.get_label()}", np.column_stack([line.get_xdata(), line.get_ydata()]).astype(float)
    for collection in axes.collections:
        if isinstance(collection, (PolyCollection, LineCollection)) and collection.get_transform() == axes.transData:
            for path in collection.get_paths():
                yield "band", path.vertices[~np.isin(path.codes, [79])] if path.codes is not None else path.vertices
    for patch in axes.patches:
        if isinstance(patch, Rectangle) and patch.get_data_transform() == axes.transData:
            (x0, y0), (x1, y1) = patch.get_bbox().get_points()
            yield "bar", np.array([(x0, y1), (x1, y1)] + ([] if y0 == 0 else [(x0, y0), (x1, y0)]))


def require_inside(figure, slack=1e-6):
    """Each finite point of each panel lies inside its axes; gives how many there were."""
    count = 0
    for axes in figure.axes:
        limits = np.array([sorted(axes.get_xlim()), sorted(axes.get_ylim())])
        scales = (axes.get_xscale(), axes.get_yscale())
        for name, points in points_of(axes):
            points = points[np.isfinite(points).all(axis=1)]
            for column, (low, high), scale in zip(points.T, limits, scales, strict=True):
                values = column[column > 0] if scale == "log" else column
                assert len(values) == len(column) or name == "band", f"{name}: {column.min()} on a logarithmic axis"
                room = slack * (high - low)
                outside = values[(values < low - room) | (values > high + room)]
                assert len(outside) == 0, f"{axes.get_title(loc='left')} {name}: {outside} outside {low}…{high}"
            count += len(points)
    return count


def require_whole(figure):
    """No text or line is cut at the edge of the figure."""
    figure.draw_without_rendering()
    box, whole = figure.get_tightbbox(), figure.bbox_inches
    ends = [float(end) for end in (box.x0, box.y0, box.x1, box.y1)]
    assert min(ends[:2]) >= -0.02, ends
    assert ends[2] <= whole.width + 0.02, (ends, whole.width)
    assert ends[3] <= whole.height + 0.02, (ends, whole.height)


def lines_of(figure, panel=0):
    """The lines of a panel that have a label, by it."""
    return {line.get_label(): line for line in figure.axes[panel].lines if not line.get_label().startswith("_")}


def legend_of(figure):
    """The texts of the legend below a figure."""
    return [text.get_text() for legend in figure.legends for text in legend.get_texts()]
