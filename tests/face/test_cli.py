"""The command line: exit codes, what goes where, and bad input of every kind."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.face.calling import QUICKSTART, Invoke, process

GOOD = QUICKSTART.read_text()


def spec(folder: Path, text: str, name: str = "a.llama") -> str:
    (folder / name).write_text(text)
    return name


def changed(old: str, new: str) -> str:
    """The quickstart with one thing wrong."""
    assert GOOD.count(old) == 1
    return GOOD.replace(old, new)


def test_help_and_version(llamac: Invoke) -> None:
    text = llamac("--help")
    assert text.exit_code == 0
    for verb in ("check", "plan", "explain", "compile", "prepare", "run", "verify"):
        assert f"  {verb} " in text.stdout
        assert llamac(verb, "--help").exit_code == 0
    assert llamac("--version").stdout.split()[0] == "llamac"


def test_a_right_spec_says_nothing_on_stdout(llamac: Invoke) -> None:
    done = llamac("check", str(QUICKSTART))
    assert (done.exit_code, done.stdout) == (0, "")
    assert done.stderr == "1 file: no errors\n"


@pytest.mark.parametrize(
    ("text", "slug", "where"),
    [
        (changed("kv_heads = 4 }", "kv_head = 4 }"), "unknown-field", "a.llama:19:28"),
        (
            changed("global_batch = 16 sequences", "global_batch = 16Gbps"),
            "wrong-unit",
            "a.llama:32:18",
        ),
        (changed("tp         = 2", "tp         = 8"), "mesh-mismatch", "a.llama:54:16"),
        (
            changed("kv_heads = 4", "kv_heads = 3").replace("tp         = 2", "tp         = 2"),
            "kv-heads-against-tp",
            "a.llama:54:16",
        ),
        (changed('"std/hardware"', '"std/hardwear"'), "import-missing", "a.llama:10:8"),
        (
            changed('import "std/hardware" as hw', 'import "a" as hw'),
            "import-cycle",
            "a.llama:10:8",
        ),
    ],
    ids=lambda value: value if len(value) < 25 else "",
)
def test_an_error_is_located(
    llamac: Invoke, tmp_path: Path, text: str, slug: str, where: str
) -> None:
    file = spec(tmp_path, text)
    done = llamac("check", file)
    assert done.exit_code == 1
    assert f"error[{slug}]" in done.stdout
    assert f"--> {where}\n" in done.stdout
    for verb in ("plan", "compile", "run"):
        again = llamac(verb, file)
        assert again.exit_code == 1
        assert again.stdout == ""
        assert f"error[{slug}]" in again.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("verb", ["check", "plan", "compile", "run"])
def test_a_missing_file(llamac: Invoke, verb: str) -> None:
    done = llamac(verb, "nowhere.llama")
    assert done.exit_code == 1
    assert "cannot read `nowhere.llama`: no such file" in done.output


def test_a_missing_file_has_neighbours(llamac: Invoke, tmp_path: Path) -> None:
    spec(tmp_path, GOOD, "small.llama")
    done = llamac("check", "smal.llama")
    assert (done.exit_code, done.stdout) == (
        1,
        "error[file-missing]: cannot read `smal.llama`: no such file\n"
        " = help: did you mean `small.llama`?\n",
    )


@pytest.mark.parametrize("text", ["", "\n", "# no block at all\n", 'import "std/llama3" as l\n'])
def test_a_file_without_a_plan(llamac: Invoke, tmp_path: Path, text: str) -> None:
    """It may be there to be imported, so it is no error until a plan is asked for."""
    file = spec(tmp_path, text)
    assert llamac("check", file).exit_code == 0
    for verb in ("plan", "compile", "run", "verify", "dryrun"):
        done = llamac(verb, file)
        assert (done.exit_code, done.stdout) == (1, ""), verb
        assert done.stderr.startswith(
            "error[unknown-plan]: the file has no plan\n --> a.llama:1:1\n"
        )
        assert "help: write `plan NAME {" in done.stderr
    (found,) = json.loads(llamac("plan", file, "--json").stdout)["diagnostics"]
    assert (found["slug"], found["file"], found["line"]) == ("unknown-plan", "a.llama", 1)
    done = llamac("explain", file, "tp")
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.endswith("it holds: no block at all\n")
    spec(tmp_path, text + 'import "std/hardware" as hw\ncluster four { node = hw.cpu }\n')
    assert llamac("explain", file, "tp").stderr.endswith("it holds: cluster four\n")


def test_a_wrong_name_of_a_plan_is_shown_the_right_ones(llamac: Invoke, tmp_path: Path) -> None:
    second = GOOD[GOOD.index("plan laptop") :].replace("plan laptop", "plan other")
    file = spec(tmp_path, GOOD + second)
    for verb in ("plan", "compile", "run", "verify", "dryrun"):
        done = llamac(verb, file, "latpop")
        assert (done.exit_code, done.stdout) == (2, ""), verb
        assert done.stderr == (
            "error[unknown-plan]: the file has no plan `latpop`\n"
            "  --> a.llama:49:1\n"
            "   |\n"
            "49 | plan laptop {\n"
            "   | ^^^^^^^^^^^ did you mean `laptop`?\n"
            "57 | plan other {\n"
            "   | ---------- plan `other`\n"
            "   = help: name one of: laptop, other\n"
        )


@pytest.mark.parametrize("junk", [b"\x00\x01\xff\xfe" * 100, b"\xff", b"model\x00", b"\x7fELF\x02"])
def test_binary_junk_is_located(llamac: Invoke, tmp_path: Path, junk: bytes) -> None:
    (tmp_path / "a.llama").write_bytes(junk)
    done = llamac("check", "a.llama")
    assert done.exit_code == 1
    assert "--> a.llama:1:" in done.stdout


def test_odd_files_are_refused(llamac: Invoke, tmp_path: Path) -> None:
    (tmp_path / "folder.llama").mkdir()
    for name, reason in (("folder.llama", "it is a folder"), ("/dev/zero", "not a plain file")):
        done = llamac("check", name)
        assert done.exit_code == 1
        assert reason in done.stdout


def test_imports_stay_in_the_project(llamac: Invoke, tmp_path: Path) -> None:
    (tmp_path / "outside.llama").write_text("let x = 1\n")
    inner = tmp_path / "project" / "deep"
    inner.mkdir(parents=True)
    (tmp_path / "project" / ".git").mkdir()
    (tmp_path / "project" / "near.llama").write_text("let x = 1\n")
    (tmp_path / "project" / "link.llama").symlink_to("../outside.llama")
    for wanted, code in (("../near", 0), ("../../outside", 1), ("../link", 1), ("/etc/passwd", 1)):
        (inner / "a.llama").write_text(f'import "{wanted}" as x\n')
        assert llamac("check", "project/deep/a.llama").exit_code == code, wanted
        assert process("check", "a.llama", cwd=inner).returncode == code, wanted


def test_all_files_are_checked_and_repeats_said_once(llamac: Invoke, tmp_path: Path) -> None:
    bad = spec(tmp_path, changed("kv_heads = 4 }", "kv_head = 4 }"))
    done = llamac("check", bad, str(QUICKSTART), bad)
    assert done.exit_code == 1
    assert done.stdout.count("error[") == 1
    assert done.stderr == "3 files: 1 error\n"


def test_json_diagnostics_have_the_documented_keys(llamac: Invoke, tmp_path: Path) -> None:
    file = spec(tmp_path, changed("kv_heads = 4 }", "kv_head = 4 }"))
    (found,) = json.loads(llamac("check", file, "--output-format", "json").stdout)["diagnostics"]
    assert set(found) >= {
        "slug",
        "severity",
        "file",
        "line",
        "column",
        "end_line",
        "end_column",
        "title",
        "labels",
        "notes",
        "helps",
        "fixes",
    }
    assert (found["slug"], found["severity"]) == ("unknown-field", "error")
    assert (found["file"], found["line"], found["column"]) == ("a.llama", 19, 28)
    (again,) = json.loads(llamac("plan", file, "--json").stdout)["diagnostics"]
    assert again == found


def test_other_output_formats(llamac: Invoke, tmp_path: Path) -> None:
    file = spec(tmp_path, changed("kv_heads = 4 }", "kv_head = 4 }"))
    github = llamac("check", file, "--output-format", "github").stdout
    assert github.startswith("::error ")
    assert "file=a.llama,line=19" in github
    sarif = json.loads(llamac("check", file, "--output-format", "sarif").stdout)
    assert sarif["version"] == "2.1.0"
    (result,) = sarif["runs"][0]["results"]
    assert result["ruleId"] == "unknown-field"


def test_colour_by_terminal_and_environment(tmp_path: Path) -> None:
    file = spec(tmp_path, changed("kv_heads = 4 }", "kv_head = 4 }"))
    for environment, coloured in (
        ({}, False),
        ({"FORCE_COLOR": "1"}, True),
        ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, False),
    ):
        done = process("check", file, cwd=tmp_path, env=environment)
        assert ("\x1b[" in done.stdout) == coloured


def test_plan_json(llamac: Invoke) -> None:
    plan = json.loads(llamac("plan", str(QUICKSTART), "--json").stdout)
    # 2 x 256 x 128 for embedding and head; a layer has 2 x 128 x 128 + 2 x 64 x 128 for attention,
    # 3 x 344 x 128 for the feed-forward part, and two norms; one norm at the end.
    layer = 2 * 128 * 128 + 2 * 64 * 128 + 3 * 344 * 128 + 2 * 128
    assert plan["parameters"]["total"] == 2 * 256 * 128 + 4 * layer + 128
    assert plan["parameters"]["active"] == plan["parameters"]["total"]
    layout = plan["layout"]
    assert {name: layout[name] for name in ("dp", "fsdp", "tp", "pp", "cp", "ep", "etp")} == {
        "dp": 2,
        "fsdp": 2,
        "tp": 2,
        "pp": 1,
        "cp": 1,
        "ep": 1,
        "etp": 1,
    }
    assert (layout["microbatch"], layout["microbatches"]) == (8, 1)
    assert plan["diagnostics"] == []
    assert {decision["path"] for decision in plan["decisions"]} >= {"dp", "tp", "fsdp"}


def test_set_changes_the_plan(llamac: Invoke) -> None:
    done = llamac(
        "plan",
        str(QUICKSTART),
        "--json",
        "--set",
        "tp=1",
        "--set",
        "dp=auto",
        "--set",
        "microbatch=4 sequences",
    )
    assert json.loads(done.stdout)["layout"]["dp"] == 4


def test_several_plans(llamac: Invoke, tmp_path: Path) -> None:
    second = GOOD[GOOD.index("plan laptop") :].replace("plan laptop", "plan other")
    second = second.replace("tp         = 2", "tp = 1").replace("dp         = 2", "dp = 4")
    file = spec(tmp_path, GOOD + second.replace("8 sequences", "4 sequences"))
    plans = json.loads(llamac("plan", file, "--json").stdout)
    assert [(plan["plan"], plan["layout"]["tp"]) for plan in plans] == [("laptop", 2), ("other", 1)]
    assert json.loads(llamac("plan", file, "other", "--json").stdout)["plan"] == "other"
    for verb in ("compile", "run"):
        done = llamac(verb, file)
        assert done.exit_code == 2
        assert "laptop, other" in done.stderr


def test_a_wrong_plan_does_not_hide_a_right_one(llamac: Invoke, tmp_path: Path) -> None:
    second = GOOD[GOOD.index("plan laptop") :].replace("plan laptop", "plan other")
    file = spec(tmp_path, GOOD + second.replace("tp         = 2", "tp = 8"))
    done = llamac("plan", file, "--json")
    right, wrong = json.loads(done.stdout)
    assert done.exit_code == 1
    assert (right["plan"], right["diagnostics"], right["layout"]["tp"]) == ("laptop", [], 2)
    assert (wrong["plan"], wrong["diagnostics"][0]["slug"]) == ("other", "mesh-mismatch")
    assert llamac("plan", file, "laptop").exit_code == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ("check",),
        ("chek",),
        ("check", "a.llama", "--output-format", "xml"),
        ("plan", str(QUICKSTART), "nobody"),
        ("plan", str(QUICKSTART), "--set", "tp"),
        ("plan", str(QUICKSTART), "--set", "=4"),
        ("explain", str(QUICKSTART), "parametres"),
        ("explain", f"{QUICKSTART}:nobody", "parameters"),
        ("explain", "no-such-error"),
        ("run", str(QUICKSTART), "--steps", "0"),
        ("compile", str(QUICKSTART), "--torch", "1.0"),
        ("verify",),
    ],
)
def test_wrong_usage(llamac: Invoke, arguments: tuple[str, ...]) -> None:
    done = llamac(*arguments)
    assert done.exit_code == 2
    assert done.stdout == ""
    assert done.stderr


def test_explain_an_error(llamac: Invoke) -> None:
    done = llamac("explain", "mesh-mismatch")
    assert done.exit_code == 0
    assert "tp * cp * pp * dp must equal" in done.stdout


def test_explain_a_number(llamac: Invoke) -> None:
    # Published: models.md of every Llama 3.1 405B model card.
    done = llamac("explain", "std/llama3:llama3_1_405b", "parameters")
    assert done.exit_code == 0
    assert "405,853,388,800" in done.stdout
    tree = json.loads(llamac("explain", "std/llama3:llama3_1_8b", "parameters", "--json").stdout)
    assert tree["value"] == 8_030_261_248
    assert sum(child["value"] for child in tree["children"]) == tree["value"]


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("model", "block layer"),
        ("plan", "plan laptop"),
        ("program", "reduce_scatter"),
        ("dp", "dp = 2"),
    ],
)
def test_explain_a_form_or_a_decision(llamac: Invoke, path: str, shown: str) -> None:
    done = llamac("explain", str(QUICKSTART), path)
    assert done.exit_code == 0
    assert shown in done.stdout


@pytest.mark.parametrize(
    ("node", "shown"),
    [
        ("node = hw.cpu { devices = 4096 }", "4,096 processes on CPU"),
        ("nodes = 2\n  node = hw.cpu { devices = 2 }", "2 nodes"),
        ("node = hw.dgx_h100 { devices = 4 }", "4 GPUs"),
    ],
)
def test_a_world_that_does_not_fit_is_not_started(
    llamac: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, node: str, shown: str
) -> None:
    from llamac import launch

    monkeypatch.setattr(launch, "accelerators", lambda: 0)
    text = changed("node = hw.cpu { devices = 4 }", node).replace("dp         = 2", "dp = auto")
    text = text.replace("16 sequences", "16384 sequences")
    done = llamac("run", spec(tmp_path, text))
    assert done.exit_code == 1
    assert "error[world-does-not-fit]" in done.stderr
    assert "--> a.llama:" in done.stderr
    assert shown in done.stderr
    assert not (tmp_path / "out").exists()


def test_system_errors_are_one_line_and_not_a_traceback(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = process("compile", str(QUICKSTART), "-o", "file/out", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr == f"error: file/out: {tmp_path / 'file'} is not a directory\n"
    (tmp_path / "file").unlink()
    (tmp_path / "loop").symlink_to("loop")
    done = process("compile", str(QUICKSTART), "-o", "loop/out", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("error: ")
    assert "Traceback" not in done.stderr


def test_fixes_are_applied_where_asked(llamac: Invoke, tmp_path: Path) -> None:
    wrong = changed("kv_heads = 4 }", "kv_head = 4 }")
    file = spec(tmp_path, wrong)
    (tmp_path / file).chmod(0o640)
    assert llamac("check", file).exit_code == 1
    assert (tmp_path / file).read_text() == wrong
    done = llamac("check", file, "--fix")
    assert (done.exit_code, done.stdout) == (0, "")
    assert done.stderr == "a.llama: fixed\n1 file: no errors\n"
    assert (tmp_path / file).read_text() == GOOD
    assert (tmp_path / file).stat().st_mode & 0o777 == 0o640
    assert [path.name for path in tmp_path.iterdir()] == [file]


def test_unsafe_fixes_need_asking(llamac: Invoke, tmp_path: Path) -> None:
    wrong = changed("global_batch = 16 sequences", "global_batch = 16B")
    file = spec(tmp_path, wrong)
    assert llamac("check", file, "--fix").exit_code == 1
    assert (tmp_path / file).read_text() == wrong
    llamac("check", file, "--unsafe-fixes")
    assert "global_batch = 16G" in (tmp_path / file).read_text()
