"""Questions that take many runs: what a device must be, and what to build."""
