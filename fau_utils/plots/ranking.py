"""Mean ranks with what they do not tell apart."""

from typing import Any

from matplotlib.axes import Axes

from fau_utils.metrics.compare import Ranks


def critical_difference(axes: Axes, found: Ranks, **options: Any) -> Axes:
    """Demsar's diagram: methods at their mean ranks, best on the left; a bar joins those that are not told apart.

    Parameters
    ----------
    axes : Axes
        Emptied of spines and of its vertical axis.
    found : Ranks
    **options
        Of the marks.
    """
    count = len(found.names)
    half = -(-count // 2)
    bars = found.cliques
    floor = 0.35 * (1 + len(bars))
    left, right = 0.6, count + 0.4
    axes.plot([1, count], [0, 0], color="0.2", linewidth=1)
    for place, (name, rank) in enumerate(zip(found.names, found.mean, strict=True)):
        best = place < half
        depth = floor + 0.45 * (place if best else count - 1 - place)
        axes.plot([rank, rank, left if best else right], [0, depth, depth], color="0.6", linewidth=0.9)
        axes.plot([rank], [0], "o", color="0.2", **options)
        words = f"{name}  {rank:.2f}"
        axes.text(left - 0.05 if best else right + 0.05, depth, words, ha="right" if best else "left", va="center")
    for level, (first, last) in enumerate(bars):
        ends = [found.mean[first] - 0.04, found.mean[last] + 0.04]
        axes.plot(ends, [0.35 * (level + 0.7)] * 2, color="0.1", linewidth=4, solid_capstyle="butt")
    axes.plot([1, 1 + found.critical], [-0.6, -0.6], color="0.1", linewidth=1.5, marker="|", markersize=8)
    axes.text(1 + found.critical / 2, -0.75, f"critical difference {found.critical:.2f}", ha="center", va="bottom")
    axes.set(xlim=(left - 0.2 * count, right + 0.2 * count), ylim=(floor + 0.45 * half, -1.3))
    axes.set_xticks(range(1, count + 1))
    axes.xaxis.set_ticks_position("top")
    axes.set_xlabel("mean rank over people, 1 is best")
    axes.xaxis.set_label_position("top")
    axes.grid(visible=False)
    axes.yaxis.set_visible(False)
    for spine in axes.spines.values():
        spine.set_visible(False)
    return axes
