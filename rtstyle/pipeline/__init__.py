"""The jobs: what a caller asks for, done with media, styles and backends."""

from rtstyle.pipeline.brush import Style, open_stylizer
from rtstyle.pipeline.convert import ConversionStats, convert
from rtstyle.pipeline.image import can_write, stylize_image
from rtstyle.pipeline.run import stylize_video
from rtstyle.pipeline.stage import Prefetch, prefetch
from rtstyle.pipeline.stats import Latencies, Progress, ProgressMeter, StageStats

__all__ = [
    "ConversionStats",
    "Latencies",
    "Prefetch",
    "Progress",
    "ProgressMeter",
    "StageStats",
    "Style",
    "can_write",
    "convert",
    "open_stylizer",
    "prefetch",
    "stylize_image",
    "stylize_video",
]
