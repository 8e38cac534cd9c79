"""Figures of the book: one look, and the pictures that several chapters draw."""

from fau_utils.plots.faces import draw_landmarks, mosaic, movable_face, sheet
from fau_utils.plots.forest import forest
from fau_utils.plots.style import PALETTE, look, use

__all__ = ["PALETTE", "draw_landmarks", "forest", "look", "mosaic", "movable_face", "sheet", "use"]
