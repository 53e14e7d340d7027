"""The mends know the MiniStack that they mend."""

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
launcher.mend(None)
print(json.dumps(launcher.pin.REPLACED, indent=2))
"""


def test_what_is_mended_is_what_was_read() -> None:
    """A difference names the function of MiniStack that changed: read it again, then its mend, then record it."""
    words = [sys.executable, "-c", PRINT]
    answer = subprocess.run(words, capture_output=True, text=True, check=True, cwd=RECORDED.parents[3])
    assert json.loads(answer.stdout) == json.loads(RECORDED.read_text())


def test_a_missing_place_is_named() -> None:
    with pytest.raises(pin.Unmendable, match=r"no thing\.gone"):
        pin.replace(SimpleNamespace(__name__="thing"), "gone", None)


def test_another_version_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pin, "version", lambda _: "2.0.0")
    with pytest.raises(pin.Unmendable, match=r"2\.0\.0 is installed"):
        pin.check_version()
