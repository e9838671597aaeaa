"""What the commands do, as functions of Python; `aimco` itself names what is public."""
