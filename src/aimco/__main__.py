"""`python -m aimco`, and the console script."""

import signal
import sys

from aimco.interrupts import SAID, STATUS, end_at_once


def run() -> None:
    """Run the command of `sys.argv` and exit with its status. Ctrl-C ends it in one line from here on, also while it is imported."""
    signal.signal(signal.SIGINT, end_at_once)
    from aimco.cli import main

    try:
        status = main()
        sys.stdout.flush()
    except KeyboardInterrupt:  # a second one, while the first was told
        print(SAID, file=sys.stderr)
        status = STATUS
    except BrokenPipeError:  # nobody reads on
        status = 1
    exec("")  # Python forgets an interruption of code that was text, which would end it by the signal whatever the status
    sys.exit(status)


if __name__ == "__main__":
    run()
