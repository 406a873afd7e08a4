"""Text into shards of tokens, which compiled programs map into memory.

    unit.py        a unit of work, a document's text, and errors
    documents.py   a format: its files cut into units, and their documents; jsonl.py, arrow.py
    packed.py      compressed files; signatures.py knows them by their first bytes
    look.py        what `check` tells of data from names, sizes and first bytes; with tokens.py
    encoding.py    a document as tokens: bytes, or a tokenizer
    shard.py       one unit into one file of tokens, with a record of what it was made from
    workers.py     units on all cores
    prepare.py     all of a spec: what is to be done, what is done already, the index

To read another format, add an entry to the schema and a `Reader` to documents.py.
"""
