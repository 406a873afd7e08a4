"""Everything that reads a rank program or a Spec. Imports compiler and dsl.

`pytorch/` prints the program; `interpreter/` runs a rank program on simulated ranks; `reference/`
is the model written by hand, from the Spec alone. Only the last two import torch. A backend
implements the protocol in `program.py`, and `emit.py` adds the scripts of `launch/`. To add one,
write a package with such a class and a golden program; code for any backend goes to `python/`.
"""

LLAMAC_FLOOR = "llamac.backends"
