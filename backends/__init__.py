"""What reads a rank program or a Spec and makes something of it. Imports compiler and dsl.

`pytorch/` prints the program, `interpreter/` runs a rank program on simulated ranks, `reference/`
is the model by hand, from the Spec alone; only those two import torch. A backend implements the
protocol in `program.py`; `emit.py` adds the scripts of `launch/` to what it prints. To add one: a
package here with such a class, what it shares with others in `python/`, and a golden program.
"""

LLAMAC_FLOOR = "llamac.backends"
