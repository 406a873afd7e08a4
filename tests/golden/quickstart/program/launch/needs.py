"""Is all here that the program imports? Says in a line what is not, and leaves with 78."""

import os
import platform
import sys
from importlib.util import find_spec

NAMES = ["torch", "numpy", "safetensors"]
absent = [name for name in NAMES if find_spec(name) is None]
if absent and os.environ.get("LOCAL_RANK", "0") == "0":
    where = f"{platform.node()}, {sys.executable}"
    print(f"error: not installed on {where}: {', '.join(absent)}", file=sys.stderr)
sys.exit(78 if absent else 0)
