"""Arrays of devices and their operations."""
