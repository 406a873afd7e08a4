"""What any backend that prints Python needs, whatever the program computes.

`templates.py` renders the templates of a package strictly; `wrapping.py` breaks long lines as ruff
does. Nothing here knows torch or a rank program. To add something: a module with one job, that a
second backend would use unchanged.
"""
