"""Training: photos and a painting, anime or a teacher in, a checkpoint and a pack out."""

from rtstyle.train.animegan import AnimeTrainer, AnimeTraining
from rtstyle.train.checkpoint import load_any, load_generator, load_net
from rtstyle.train.device import resolve_device, resolve_precision
from rtstyle.train.distil import DistilTrainer, DistilTraining
from rtstyle.train.edges import smooth_edges, smooth_folder
from rtstyle.train.finish import checkpoint_pack, exported_net
from rtstyle.train.johnson import JohnsonTrainer, JohnsonTraining
from rtstyle.train.loop import Trainer, TrainProgress
from rtstyle.train.place import PACK
from rtstyle.train.tone import Grade

__all__ = [
    "PACK",
    "AnimeTrainer",
    "AnimeTraining",
    "DistilTrainer",
    "DistilTraining",
    "Grade",
    "JohnsonTrainer",
    "JohnsonTraining",
    "TrainProgress",
    "Trainer",
    "checkpoint_pack",
    "exported_net",
    "load_any",
    "load_generator",
    "load_net",
    "resolve_device",
    "resolve_precision",
    "smooth_edges",
    "smooth_folder",
]
