"""The paper's tables and figures from one command: kept runs, the parts that read them, one page.

May import baselines and everything below them.
"""
