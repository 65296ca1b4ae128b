"""What callers send and what they get, each defined once.

Imports nothing of the service, and needs pydantic alone.
"""
