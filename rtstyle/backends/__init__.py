"""Runs a style on pixels: TensorRT, OpenVINO, ONNX Runtime, or a fake for tests."""

from __future__ import annotations

from rtstyle.backends.base import BackendStatus, Stylizer
from rtstyle.backends.calibrate import Calibration, calibrate
from rtstyle.backends.fake import FakeStylizer
from rtstyle.backends.processor import ProcessorFeatures, processor_features
from rtstyle.backends.select import BACKENDS, PRECISIONS, available_backends, load_stylizer

__all__ = [
    "BACKENDS",
    "PRECISIONS",
    "BackendStatus",
    "Calibration",
    "FakeStylizer",
    "ProcessorFeatures",
    "Stylizer",
    "available_backends",
    "calibrate",
    "load_stylizer",
    "processor_features",
]
