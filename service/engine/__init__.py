"""Recommending, similar items and writing, without HTTP.

May import catalogue and all below it.
"""
