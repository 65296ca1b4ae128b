"""What runs and how it changes: the runtime, micro-batching, swaps of artifacts while requests go on.

May import explore and all below it.
"""
