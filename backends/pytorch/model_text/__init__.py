"""model.py from the block programs: declarations, and a forward with one line per statement.

`layers.py` prints the kinds of layers and the loop over them, `ends.py` the embedding and the head
with its loss; `assembly.py` collects them for the template. A printer of an operator belongs into
`backends/pytorch/operators/`.
"""
