"""The two runtimes, imported so that they stay quiet: both report to a server on import.

Everything in rtstyle that needs one imports it from here.
"""

from __future__ import annotations

import importlib
import os
import sys
from types import ModuleType


def import_onnxruntime() -> ModuleType:
    """The package onnxruntime with its telemetry off; raises ImportError as any import does.

    From 1.29 on importing it stores a device id in the home folder and reports sessions to a
    server, on every system; only this variable, set before the import, stops that. It stays set,
    for child processes too.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    return importlib.import_module("onnxruntime")


def import_openvino() -> ModuleType:
    """The package openvino without the telemetry; raises ImportError as any import does.

    Importing it stores a client id in the home folder and reports to a server unless the package
    openvino_telemetry is missing; so for the while of the import it is.
    """
    name = "openvino_telemetry"
    if "openvino" in sys.modules or name in sys.modules:
        return importlib.import_module("openvino")
    sys.modules[name] = None  # type: ignore[assignment]
    try:
        return importlib.import_module("openvino")
    finally:
        sys.modules.pop(name, None)
