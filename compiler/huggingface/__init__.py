"""Models in the words of Hugging Face: names of tensors, and config.json in both directions.

`names` says what a folder calls our parameters, `families` which architectures there are and the
keys of their config.json. `read` makes a ModelSpec of such a file and `write` goes the other way;
`spec_text` prints a model as a spec, and `differences` compares two. To add a family: an entry of
`families.FAMILIES` and its case in the tests. Nothing here reads a file.
"""
