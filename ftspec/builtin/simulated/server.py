"""Start the simulated service: `python -I -S server.py HOME IDLE`.

The package `service` beside this file is started by itself, not as a part of ftspec, whose import takes longer.
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    import_module("service.serving").main(Path(sys.argv[1]), float(sys.argv[2]))
