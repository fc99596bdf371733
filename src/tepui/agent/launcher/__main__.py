"""Where the launcher's process begins: `python -I -S -X utf8 …/launcher/__main__.py CONFIG`."""

import os
import sys

if __name__ == "__main__":
    # `-S` leaves site-packages out, so that the place of this package has to be told.
    sys.path.insert(0, os.path.abspath(os.path.join(os.path.dirname(__file__), *[os.pardir] * 3)))

    from tepui.agent.launcher.daemon import main

    main(sys.argv[1])
