"""Looking around: search, the tree of codes, the map, previews, the model card.

May import engine and all below it.
"""
