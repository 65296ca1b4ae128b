"""HTTP in and out: the app, its routes and what they check before the engine is asked.

May import every wing of the service but `client`.
"""
