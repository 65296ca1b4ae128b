"""Training: the trainer, its objective, batches, checkpoints, codebooks and neighbour lists.

May import evaluate, datasets, config and `model`.
"""
