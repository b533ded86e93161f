"""Torch modules: the nets that are trained and the losses that train them."""

from rtstyle.nets.anime_fast import FastAnimeGenerator
from rtstyle.nets.animegan import AnimeDiscriminator, AnimeGenerator
from rtstyle.nets.cartoongan import CartoonGenerator, load_cartoongan
from rtstyle.nets.johnson import JohnsonNet
from rtstyle.nets.losses import ContentLoss, StyleLoss, TotalVariationLoss, gram_matrix
from rtstyle.nets.state import read_state
from rtstyle.nets.vgg import VggFeatures, load_features
from rtstyle.nets.widen import widen

__all__ = [
    "AnimeDiscriminator",
    "AnimeGenerator",
    "CartoonGenerator",
    "ContentLoss",
    "FastAnimeGenerator",
    "JohnsonNet",
    "StyleLoss",
    "TotalVariationLoss",
    "VggFeatures",
    "gram_matrix",
    "load_cartoongan",
    "load_features",
    "read_state",
    "widen",
]
