"""What runs and how it changes: the runtime, micro-batching, artifacts that are swapped while requests go on.

May import explore and all below it.
"""
