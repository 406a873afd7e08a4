"""What any backend that prints Python needs, whatever the program computes.

`templates.py` renders the templates of a package strictly; `wrapping.py` breaks long lines as ruff
does. Nothing here knows torch or rank programs. To extend it, add a module with one job that a
second backend would use unchanged.
"""
