"""``python -m flame_metric`` is ``flame-metric``."""

import sys

from flame_metric.cli import main

sys.exit(main())
