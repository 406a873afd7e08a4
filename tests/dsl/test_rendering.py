"""The form of rendered diagnostics, by drawings made by hand, and the forms for machines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from compiler.schema import BLOCKS
from dsl.diagnostics import Diagnostic, Edit, Fix, Label, Problem, Severity, explanations
from dsl.fixes import apply
from dsl.formats import to_github, to_json, to_sarif
from dsl.frontend import in_memory, load
from dsl.render import render
from dsl.source import Source, Span

RATE = """\
error[wrong-unit]: `bandwidth` is a data rate, but `400GB` is a data size
  --> 405b.llama:13:31
   |
13 |   fabric = roce { bandwidth = 400GB }
   |                               ^^^^^ expected bit/s or B/s
   = fix: replace by `400Gbps`  (50 GB/s, the rate of a 400G NIC)  [unsafe]
"""

FIELD = """\
error[unknown-field]: `gqa` has no field `kv_head`
 --> 405b.llama:7:30
  |
7 |     attention { heads = 128, kv_head = 8 }
  |                              ^^^^^^^ did you mean `kv_heads`?
  = fix: replace `kv_head` by `kv_heads`  [safe]
"""

SPEC = """\
model llama3_405b {
  vocab = 128_256, layers = 126, d_model = 16_384
  layer {
    ffn = swiglu { d_ff = 53_248 }
    attention = gqa {}

    attention { heads = 128, kv_head = 8 }
  }
}

cluster grand_teton {
  nodes = 2048, node = cpu
  fabric = roce { bandwidth = 400GB }
}
"""


def test_the_errors_of_the_design() -> None:
    found = load("405b.llama", in_memory({"405b.llama": SPEC}), BLOCKS)
    assert render(found.diagnostics, found.sources) == f"{FIELD}\n{RATE}"


def test_secondary_labels_of_the_same_and_of_another_file() -> None:
    sources = {
        "a.llama": Source("a.llama", "\n" * 11 + "  nodes = 2048\n" + "\n" * 6 + "  cp = 3\n"),
        "b.llama": Source("b.llama", "devices = 8\n"),
    }
    cp = sources["a.llama"].text.index("cp")
    nodes = sources["a.llama"].text.index("2048")
    diagnostic = Diagnostic(
        slug="mesh-mismatch",
        severity=Severity.ERROR,
        title="the mesh does not tile the cluster",
        primary=Label(Span("a.llama", cp, cp + 6), "8 * 16 * 3 = 384"),
        secondary=(
            Label(Span("a.llama", nodes, nodes + 4), "2048 nodes of 8 GPUs"),
            Label(Span("b.llama", 10, 11), "8 a node"),
        ),
        notes=("a note",),
        helps=("write `cp = 2`",),
    )
    assert (
        render([diagnostic], sources)
        == """\
error[mesh-mismatch]: the mesh does not tile the cluster
  --> a.llama:19:3
   |
12 |   nodes = 2048
   |           ---- 2048 nodes of 8 GPUs
19 |   cp = 3
   |   ^^^^^^ 8 * 16 * 3 = 384
  ::: b.llama:1:11
   |
 1 | devices = 8
   |           - 8 a node
   = note: a note
   = help: write `cp = 2`
"""
    )


def test_labels_far_apart_in_a_long_line_are_each_shown_in_their_place() -> None:
    line = "one " + "." * 300 + " two"
    sources = {"a.llama": Source("a.llama", line)}
    diagnostic = Diagnostic(
        slug="contradiction",
        severity=Severity.ERROR,
        title="these differ",
        primary=Label(Span("a.llama", 305, 308), "the second"),
        secondary=(Label(Span("a.llama", 0, 3), "the first"),),
    )
    rows = [row[4:] for row in render([diagnostic], sources).splitlines()[3:]]
    first, under_first, second, under_second = rows
    assert under_first == "--- the first"
    assert first[:3] == "one"
    mark = under_second.index("^^^")
    assert second[mark : mark + 3] == "two"


def test_colour_changes_nothing_but_escapes() -> None:
    found = load("405b.llama", in_memory({"405b.llama": SPEC}), BLOCKS)
    coloured = render(found.diagnostics, found.sources, colour=True)
    assert "\x1b[1;31m" in coloured
    plain = coloured
    for code in ("\x1b[1;31m", "\x1b[1;34m", "\x1b[1m", "\x1b[0m"):
        plain = plain.replace(code, "")
    assert [line.rstrip() for line in plain.splitlines()] == f"{FIELD}\n{RATE}".splitlines()


def test_json_keys_are_the_contract() -> None:
    found = load("405b.llama", in_memory({"405b.llama": SPEC}), BLOCKS)
    made = to_json(found.diagnostics[0], found.sources)
    place = {"file": "405b.llama", "line": 7, "column": 30, "end_line": 7, "end_column": 37}
    assert made == {
        "slug": "unknown-field",
        "severity": "error",
        **place,
        "title": "`gqa` has no field `kv_head`",
        "labels": [{**place, "text": "did you mean `kv_heads`?"}],
        "notes": [],
        "helps": [],
        "fixes": [
            {
                "title": "replace `kv_head` by `kv_heads`",
                "safe": True,
                "edits": [{**place, "text": "kv_heads"}],
            }
        ],
    }


def test_github_and_sarif() -> None:
    found = load("405b.llama", in_memory({"405b.llama": SPEC}), BLOCKS)
    assert to_github(found.diagnostics[0], found.sources) == (
        "::error file=405b.llama,line=7,col=30,endLine=7,endColumn=37,"
        "title=llamac[unknown-field]::`gqa` has no field `kv_head`: did you mean `kv_heads`?"
    )
    log = to_sarif(found.diagnostics, found.sources)
    (run,) = log["runs"]
    assert [rule["id"] for rule in run["tool"]["driver"]["rules"]] == [
        "unknown-field",
        "wrong-unit",
    ]
    region = run["results"][0]["locations"][0]["physicalLocation"]["region"]
    assert region == {"startLine": 7, "startColumn": 30, "endLine": 7, "endColumn": 37}


def test_safe_fixes_mend_what_they_say_and_unsafe_ones_only_when_wanted() -> None:
    found = load("405b.llama", in_memory({"405b.llama": SPEC}), BLOCKS)
    safe = apply(found.diagnostics, found.sources)
    assert safe == {"405b.llama": SPEC.replace("kv_head ", "kv_heads ")}
    both = apply(found.diagnostics, found.sources, unsafe=True)
    assert load("405b.llama", in_memory(dict(both)), BLOCKS).diagnostics == ()


def test_fixes_that_overlap_wait() -> None:
    sources = {"a": Source("a", "abcdef")}

    def fixed(start: int, end: int, text: str) -> Diagnostic:
        fix = Fix("", (Edit(Span("a", start, end), text),), safe=True)
        return Diagnostic("x", Severity.ERROR, "", None, fixes=(fix,))

    assert apply([fixed(0, 3, "X"), fixed(2, 4, "Y"), fixed(4, 6, "Z")], sources) == {"a": "XdZ"}


def test_another_floor_defines_an_error_of_its_own() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Imagined(Problem):
        """The explanation."""

        slug: ClassVar[str] = "imagined-by-a-test"
        title: ClassVar[str] = "{what} is {{braces}} safe: {value}"

        what: str
        value: str

    problem = Imagined(span=None, what="{0}", value="{value.__class__}")
    assert problem.diagnostic().title == "{0} is {braces} safe: {value.__class__}"
    assert explanations()["imagined-by-a-test"] == "The explanation."
