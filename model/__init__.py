"""The model: items, tokenizer, recommender, neighbours, and the artifact that hands them from training to the service.

May import NumPy, SciPy, scikit-learn, PyTorch and pydantic; never `training`, `service` or a web framework.
"""
