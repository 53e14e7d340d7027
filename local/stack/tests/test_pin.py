"""The patches match the installed MiniStack."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from local.stack.patches import pin

RECORDED = Path(__file__).parent / "patched.json"
PRINT = """
import json
from local.stack import launcher
launcher.patch(None)
print(json.dumps(launcher.pin.REPLACED, indent=2))
"""


def test_replaced_functions_match_the_recorded_digests() -> None:
    """A difference names the changed function of MiniStack: review it and its patch, then record the new digest."""
    words = [sys.executable, "-c", PRINT]
    result = subprocess.run(words, capture_output=True, text=True, check=True, cwd=RECORDED.parents[3])
    assert json.loads(result.stdout) == json.loads(RECORDED.read_text())


def test_a_missing_function_is_reported() -> None:
    with pytest.raises(pin.UnknownMiniStack, match=r"no thing\.gone"):
        pin.replace(SimpleNamespace(__name__="thing"), "gone", None)


def test_another_version_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pin, "version", lambda _: "2.0.0")
    with pytest.raises(pin.UnknownMiniStack, match=r"2\.0\.0 is installed"):
        pin.check_version()
