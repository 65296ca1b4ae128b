"""The process and its port: connections, the queue in front of the app, stopping without losing a request.

May import lifecycle and all below it.
"""
