"""What the word list finds and what it leaves alone, language by language."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from . import words

RULES = [words.Rule.read(rule) for rule in yaml.safe_load(words.LIST.read_text())["rules"]]


def found(name: str, text: str, monkeypatch: pytest.MonkeyPatch, folder: Path) -> list[str]:
    monkeypatch.setattr(words, "ROOT", folder)
    path = folder / name
    path.write_text(text)
    return [finding.found for finding in words.findings(path, RULES)]


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("a.rs", "/// It is no statement.\nfn f() {}\n", ["is no statement"]),
        ("a.rs", "/// Between two lines it is\n/// no statement.\nfn f() {}\n", ["is no statement"]),
        ("a.rs", "/// There is no statement, and it is no longer there.\nfn f() {}\n", []),
        ("a.rs", "// Holds `nobody` and `answer`.\nlet answer = nobody;\n", []),
        ("a.rs", 'let said = format!("whoever asks: {answer}");\n', ["whoever"]),
        ("a.rs", "let mended = mend_rows();\n", ["mended", "mend"]),
        ("a.rs", "// To amend, to recommend.\n", []),
        ("a.rs", "/// What came in.\nx: u8,\n/// The key's.\ny: u8,\n", ["What came in.", "The key's."]),
        ("a.rs", "/// Keeps the key that is\n/// the mark's.\nx: u8,\n", []),
        ("a.md", "Nobody answers. `nobody`\n\n```\nnobody\n```\n", ["Nobody", "answers"]),
        ("a.py", '"""So many\n    rows."""\nanswer = 1  # nobody\n', ["nobody", "So many"]),
        ("a.yaml", "nobody: 1 # for somebody\n", ["somebody"]),
        ("a.sql", "SELECT answer FROM t; -- the answer\n", ["answer"]),
        ("Makefile", "a: ## the answer\n\techo nobody\n", ["answer"]),
        ("a.html", "<p>Nobody</p>\n<!-- whoever -->\n{{ nobody }}\n", ["Nobody", "whoever"]),
        ("a.png", "nobody", []),
    ],
)
def test_texts_are_held_to_the_list(
    name: str, text: str, expected: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert sorted(found(name, text, monkeypatch, tmp_path)) == sorted(expected)


def test_a_finding_names_its_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(words, "ROOT", tmp_path)
    path = tmp_path / "a.rs"
    path.write_text("fn f() {}\n\n/// For nobody.\nfn g() {}\n")
    assert [str(finding).split(":")[:2] for finding in words.findings(path, RULES)] == [["a.rs", "3"]]
