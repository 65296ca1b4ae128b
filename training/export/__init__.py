"""From a trained model to an artifact: its files, its card, its map.

May import fit, evaluate, datasets, config and `model`.
"""
