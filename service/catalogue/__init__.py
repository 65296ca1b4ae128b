"""The items that are served: records, their index, and the way of committed rows into them.

May import security and all below it.
"""
