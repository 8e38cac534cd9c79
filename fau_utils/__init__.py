"""Shared code of the facial action unit book: faces, data, models, methods, training, results.

The floors of the package and what may import what are drawn in ARCHITECTURE.md.
"""

__version__ = "0.1.0"
