"""What is served at one moment: records, their index, and how committed rows get there.

May import security and all below it.
"""
