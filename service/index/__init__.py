"""Scoring and searching rows of vectors.

May import contract, the top-level modules and `model`.
"""
