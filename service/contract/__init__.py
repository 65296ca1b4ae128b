"""What callers send and what they get. Each request and each answer is defined once, here.

Imports nothing of the service, and of `model` only `items`. It needs pydantic alone.
"""
