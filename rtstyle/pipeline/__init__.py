"""The jobs: what a caller asks for, done with media, styles and backends."""

from rtstyle.pipeline.batch import CONTAINERS, BatchPlan, Job, make_place, plan_batch
from rtstyle.pipeline.brush import Style, open_stylizer
from rtstyle.pipeline.calibrate import calibrate_pack
from rtstyle.pipeline.convert import ConversionStats, convert
from rtstyle.pipeline.image import PictureReport, stylize_image
from rtstyle.pipeline.interrupt import stop_on_interrupt
from rtstyle.pipeline.preview import Estimate, Moment, Preview, preview_video
from rtstyle.pipeline.run import checked_range, stylize_video
from rtstyle.pipeline.side import Begun, Event, Fewer, SideBySide
from rtstyle.pipeline.stage import Background, Prefetch, prefetch
from rtstyle.pipeline.stats import Latencies, Progress, ProgressMeter, StageStats
from rtstyle.pipeline.worker import Failed, Finished, Loaded, NotLoaded, Stopped

__all__ = [
    "CONTAINERS",
    "Background",
    "BatchPlan",
    "Begun",
    "ConversionStats",
    "Estimate",
    "Event",
    "Failed",
    "Fewer",
    "Finished",
    "Job",
    "Latencies",
    "Loaded",
    "Moment",
    "NotLoaded",
    "PictureReport",
    "Prefetch",
    "Preview",
    "Progress",
    "ProgressMeter",
    "SideBySide",
    "StageStats",
    "Stopped",
    "Style",
    "calibrate_pack",
    "checked_range",
    "convert",
    "make_place",
    "open_stylizer",
    "plan_batch",
    "prefetch",
    "preview_video",
    "stop_on_interrupt",
    "stylize_image",
    "stylize_video",
]
