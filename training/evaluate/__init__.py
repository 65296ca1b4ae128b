"""Splits, metrics, and full or sampled ranking of a model in training or of an artifact.

May import datasets, config and `model`.
"""
