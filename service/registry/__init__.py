"""The rows of registered items in SQLite or PostgreSQL, and what other services change in them.

May import index and all below it.
"""
