"""Datasets' folder layouts filled with rendered faces, so that everything can be rehearsed before the data arrives.

Each module writes one layout with the irregularities of the real one, and returns what its reader has to find.
"""
