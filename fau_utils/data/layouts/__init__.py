"""Datasets' folder layouts filled with rendered faces, so that everything can be rehearsed before the data arrives.

Each module writes one layout with the irregularities of the real one, and returns what its reader has to find.
"""

from collections.abc import Callable

from fau_utils.data.layouts import affwild2, bp4d, bp4dplus, disfa, disfaplus, emotionet
from fau_utils.frames import Frames

LAYOUTS: dict[str, Callable[..., Frames]] = {
    "bp4d": bp4d.export,
    "bp4d+": bp4dplus.export,
    "disfa": disfa.export,
    "disfa+": disfaplus.export,
    "emotionet": emotionet.export,
    "affwild2": affwild2.export,
}
"""Layout name to the function that writes it: ``LAYOUTS["bp4d"](out, frames=24)``."""
