"""What reads a rank program or a Spec and makes something of it. Imports compiler and dsl.

`pytorch/` prints the program, `interpreter/` runs a rank program on simulated ranks, `reference/`
is the model by hand, from the Spec alone; only those two import torch. A backend is a package here
whose `emit` turns a `Compiled` into files by name, with a golden program in `tests/golden`.
"""

LLAMAC_FLOOR = "llamac.backends"
