"""Contrasts under each other, each with its interval."""

from collections.abc import Sequence

from matplotlib.axes import Axes

from fau_utils.metrics.contrast import Contrast
from fau_utils.plots.style import PALETTE

TINT = {"supported": PALETTE[0], "cannot tell": "0.5", "not supported": PALETTE[1]}
"""Of a verdict."""


def forest(axes: Axes, contrasts: Sequence[Contrast], *, labels: Sequence[str] | None = None) -> Axes:
    """A line for each contrast, the first on top: effect and interval less what is needed, coloured by the verdict.

    What an interval is over is written at the right, so that one over a single seed is not taken for one over five. A
    contrast without an interval is a hollow mark, one without runs an empty line.

    Parameters
    ----------
    axes : Axes
    contrasts : sequence of Contrast
        In one unit.
    labels : sequence of str, optional
        Instead of the claims.

    Raises
    ------
    ValueError
        Units that differ, or another number of labels.
    """
    names = [one.claim for one in contrasts] if labels is None else list(labels)
    if len(names) != len(contrasts):
        raise ValueError(f"expected {len(contrasts)} labels, one for each contrast, found {len(names)}")
    if len(units := {one.unit for one in contrasts}) > 1:
        raise ValueError(f"expected contrasts in one unit, found {', '.join(sorted(units))}; draw them apart")
    for y, one in enumerate(contrasts):
        tint, known = TINT[one.verdict], one.low == one.low  # nan is not
        if known:
            axes.plot([one.low - one.least, one.high - one.least], [y, y], color=tint, linewidth=1.8)
        axes.plot(one.effect - one.least, y, "o", color=tint, markersize=5, fillstyle="full" if known else "none")
        over = one.over.partition(" and ")[0]
        axes.text(1.02, y, over, fontsize=8, va="center", transform=axes.get_yaxis_transform())
    axes.axvline(0, color="0.2", linewidth=0.9, zorder=1)
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.grid(axis="y", visible=False)
    return axes
