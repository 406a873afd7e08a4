"""What can be wrong with files and machines where the spec is right: a module for each topic.

A problem is one frozen dataclass: its slug, templates for title and label, its facts as fields, and
a docstring that `llamac explain SLUG` prints. Raise sites fill in facts and build no sentences. A
new module in here is found by `llamac explain` by itself.
"""
