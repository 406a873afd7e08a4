"""Turns text into shards of tokens, which compiled programs map into memory.

`prepare.py` finds what is missing for a spec, `workers.py` makes it on all cores, and `shard.py`
writes one shard; `look.py` finds what `check` reports without reading all data. To read another
format, add an entry to the schema and a `Reader` to `documents.py`.
"""
