"""Run the `shl` command as `python -m shl.cli`."""

import sys

from .main import main

sys.exit(main())
