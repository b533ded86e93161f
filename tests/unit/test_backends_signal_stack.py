"""A signal after a net has run and gone must not end the process."""

from __future__ import annotations

import subprocess
import sys

import pytest

_SIGNALS_AFTER = """
import signal
import sys

import numpy as np

from rtstyle import open_stylizer

signal.signal(signal.SIGTERM, lambda *_: print("handled", flush=True))
opened = [open_stylizer("great-wave", backend="openvino", precision="fp32") for _ in range(2)]
for stylizer in opened if sys.argv[1] == "first-first" else reversed(opened):
    stylizer(np.zeros((1, 32, 32, 3), np.uint8))
    stylizer.close()
    del stylizer
opened.clear()
signal.raise_signal(signal.SIGTERM)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="signal stacks as Linux has them")
@pytest.mark.parametrize("order", ["first-first", "last-first"])
def test_a_signal_is_handled_after_two_nets_were_closed(order: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _SIGNALS_AFTER, order], capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stdout) == (0, "handled\n"), done.stderr
