"""The writer of output directories: all or nothing, and never over what somebody edited.

`write` puts a program where it belongs. `manifest` says what we wrote and finds what was edited
since, `tree` links what is not ours into the new directory and retires the old one, `exchange`
swaps the two in one system call. To write another kind of file, put it in the mapping.
"""

from llamac.output.manifest import EditedFile
from llamac.output.write import Edited, Refused, Written, write

__all__ = ["Edited", "EditedFile", "Refused", "Written", "write"]
