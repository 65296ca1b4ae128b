"""The engine: recommendations, similar items and writes. Knows no HTTP.

May import catalogue and all below it.
"""
