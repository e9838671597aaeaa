"""Physics of one two-terminal element."""
