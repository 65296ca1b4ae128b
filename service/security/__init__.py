"""Who may ask, and how often: keys, scopes, rate limits, redaction.

May import registry and all below it.
"""
