"""`python -m local.checks.words`: holds every text of the tree to the word list in `words.yaml`.

Texts are comments, doc comments and strings of source code, and all of a Markdown page or HTML template but its code.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml
from pygments.lexer import Lexer
from pygments.lexers import get_lexer_by_name
from pygments.token import Comment, Literal, String, Text, Token

LIST = Path(__file__).with_name("words.yaml")
ROOT = Path(__file__).parents[2]

LANGUAGES = {
    ".html": "html+jinja",
    ".json": "json",
    ".md": "markdown",
    ".py": "python",
    ".rs": "rust",
    ".sh": "bash",
    ".sql": "sql",
    ".toml": "toml",
    ".yaml": "yaml",
    ".yml": "yaml",
    "Makefile": "make",
}
"""Files whose texts are held to the list, and how Pygments calls their language."""

PAGES = {"html+jinja", "markdown"}
"""Languages in which everything is text but code."""

CODE = "\0"
"""Stands for a character of code. No pattern matches across it."""


@dataclass(frozen=True)
class Rule:
    """A wording to avoid, and what to write in its place."""

    pattern: re.Pattern[str]
    instead: str
    in_names: bool

    @classmethod
    def read(cls, given: dict[str, str]) -> Rule:
        in_names = given.get("in_names", False)
        text = given["avoid"].replace(" ", r"\s+")
        edges = (r"(?<![a-zA-Z])", r"(?![a-z])") if in_names else (r"(?<![\w-])", r"(?![\w-])")
        whole = given.get("whole", False)
        if whole:
            edges = (rf"(?:\A\s*|{CODE}\s*|\n\s*\n\s*)", rf"(?=\s*(?:\Z|{CODE}|\n\s*\n))")
        return cls(re.compile(edges[0] + rf"(?P<found>{text})" + edges[1], re.IGNORECASE), given["instead"], in_names)


@dataclass(frozen=True)
class Finding:
    """One place that breaks a rule."""

    path: str
    line: int
    found: str
    instead: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: “{self.found}”: {self.instead}"


def prose(source: str, lexer: Lexer, is_page: bool) -> str:
    """The source with everything that is not text replaced by `CODE`, so that lines and columns stay."""
    parts = []
    for kind, text in lexer.get_tokens(source):
        is_text = kind in Comment or kind in String or kind in Literal.Scalar or (is_page and kind in Text)
        is_text = is_text and kind not in (String.Escape, String.Backtick, String.Char, Comment.Preproc)
        if is_page and kind in Token.Generic:
            is_text = True
        if is_text:
            parts.append(text)
        else:
            parts.append("".join(c if c.isspace() else CODE for c in text))
    joined = "".join(parts)
    # Code within texts: `name`, and the placeholders of a format string.
    joined = re.sub(r"`[^`\n]*`|\{\w*(?::[^{}\n]*)?\}", lambda code: CODE * len(code[0]), joined)
    # The marks of a comment, of a list and of a quotation.
    marks = re.compile(r"(?m)^[\s\0]*(?://[/!]?|#+:?|\*|-|>|\|)")
    return marks.sub(lambda mark: re.sub(r"[^\s\0]", " ", mark[0]), joined)


def findings(path: Path, rules: list[Rule]) -> Iterator[Finding]:
    language = LANGUAGES.get(path.suffix) or LANGUAGES.get(path.name)
    if language is None:
        return
    source = path.read_text()
    lexer = get_lexer_by_name(language, stripnl=False, ensurenl=False)
    texts = prose(source, lexer, language in PAGES)
    for rule in rules:
        for match in rule.pattern.finditer(source if rule.in_names else texts):
            line = texts.count("\n", 0, match.start("found")) + 1
            name = path.relative_to(ROOT).as_posix()
            yield Finding(name, line, " ".join(match["found"].split()), rule.instead)


def main(arguments: list[str]) -> int:
    """Checks the files that git knows; with `--all` those that wait for their turn as well, with paths only those."""
    given = yaml.safe_load(LIST.read_text())
    rules = [Rule.read(rule) for rule in given["rules"]]
    waiting = dict.fromkeys(given["waiting"], 0)
    chosen = [argument for argument in arguments if argument != "--all"]
    listed = subprocess.check_output(["git", "ls-files", "-z", "--", *chosen], cwd=ROOT, text=True)
    shown = 0
    for name in sorted(filter(None, listed.split("\0"))):
        path = ROOT / name
        if not path.is_file() or any(path.match(pattern) for pattern in given["exempt"]):
            continue
        place = next((place for place in waiting if name == place or name.startswith(f"{place}/")), None)
        for finding in findings(path, rules):
            if place and not arguments:
                waiting[place] += 1
            else:
                shown += 1
                print(finding)
    if not arguments:
        for place in (place for place, found in waiting.items() if not found):
            shown += 1
            print(f"{LIST.relative_to(ROOT)}: `{place}` keeps to the list now: remove it from `waiting`")
    return 1 if shown else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
