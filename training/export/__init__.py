"""Export of a trained model as an artifact: its files, its card and its map.

May import fit, evaluate, datasets, config and `model`.
"""
