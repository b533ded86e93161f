"""Torch modules: the nets that are trained and the losses that train them."""

from rtstyle.nets.johnson import JohnsonNet
from rtstyle.nets.losses import ContentLoss, StyleLoss, TotalVariationLoss, gram_matrix
from rtstyle.nets.vgg import VggFeatures, load_features
from rtstyle.nets.widen import widen

__all__ = [
    "ContentLoss",
    "JohnsonNet",
    "StyleLoss",
    "TotalVariationLoss",
    "VggFeatures",
    "gram_matrix",
    "load_features",
    "widen",
]
