"""What every operator, collective and step means, on float64 tensors in one process.

`meaning` has one small function an operator, found by its class; `graph` interprets a ModelGraph,
`ranks` and `step` a RankProgram on simulated ranks, by what it says and never by what is right.
Every tensor carries a leading dimension of ranks (a graph has one), so N ranks are one tensor.
To add an operator: its function and its case in `meaning`. To add a collective: its pair of
functions in `collectives`, with the backward that `compiler/pairs.py` declares.
"""
