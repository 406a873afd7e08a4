"""Published silent bugs, seeded into the emitted text: what the check must catch.

`llamac verify --fault NAME` shows what one looks like; the tests seed every one of them. A fault
is a replacement in one file of the program, so it follows the emitter: text that is no longer
there is an error, never a fault that silently is none. A bug found later becomes an entry of
`fault_catalogue`.
"""

from __future__ import annotations

from collections.abc import Mapping

from llamac.verify.errors import CannotVerify
from llamac.verify.fault import Fault
from llamac.verify.fault_catalogue import FAULTS


def seeded(files: Mapping[str, str], fault: Fault) -> dict[str, str]:
    """The program with the fault in it; the fault's text must be there."""
    text = files[fault.file]
    found = text.count(fault.old)
    if found != fault.times:
        needs = ", ".join(fault.needs) or "nothing special"
        raise CannotVerify(
            f"fault {fault.name}: its text stands {found} times in {fault.file}, not "
            f"{fault.times}; the plan needs: {needs}"
        )
    return {**files, fault.file: text.replace(fault.old, fault.new)}


def by_name(name: str) -> Fault | None:
    return next((fault for fault in FAULTS if fault.name == name), None)


__all__ = ["FAULTS", "Fault", "by_name", "seeded"]
