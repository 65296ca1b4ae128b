"""Registered items as rows in SQLite or PostgreSQL, and the changes that other services make to them.

May import index and all below it.
"""
