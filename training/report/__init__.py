"""The paper's tables and figures from one command: runs that are kept, parts that read them, one page."""
