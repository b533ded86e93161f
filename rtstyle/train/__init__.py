"""Training: photos and a painting in, a checkpoint and a pack out."""

from rtstyle.train.checkpoint import load_net
from rtstyle.train.device import resolve_device, resolve_precision
from rtstyle.train.finish import johnson_pack
from rtstyle.train.johnson import JohnsonTrainer, JohnsonTraining, TrainProgress

__all__ = [
    "JohnsonTrainer",
    "JohnsonTraining",
    "TrainProgress",
    "johnson_pack",
    "load_net",
    "resolve_device",
    "resolve_precision",
]
