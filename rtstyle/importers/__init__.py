"""Style nets of others made into packs of the user's folder; only checkpoints need torch."""

from rtstyle.importers.hints import Hints
from rtstyle.importers.run import Imported, import_style

__all__ = ["Hints", "Imported", "import_style"]
