"""Which inputs, outputs and options of ``rtstyle video`` go together."""

from __future__ import annotations

import os
from pathlib import Path

from rtstyle.errors import UsageError
from rtstyle.media import VIDEO_ENDINGS, is_picture, is_sequence, numbered_name, only_sequence


def check_pictures(
    sources: tuple[Path, ...], output: str | None, *, preview: bool, fps: bool
) -> None:
    """Refuse what numbered pictures cannot be used for."""
    numbered = [source for source in sources if is_sequence(source)]
    if len(sources) > 1 and all(is_picture(source.name) for source in sources):
        raise UsageError(
            f"{sources[0]} and {len(sources) - 1} more are pictures; name all of them at once by "
            "a pattern in quotes, such as 'shot/%06d.png', or use 'rtstyle image'"
        )
    if numbered and len(sources) > 1:
        raise UsageError(f"{numbered[0]}: numbered pictures are converted alone; name only them")
    if fps and not numbered:
        raise UsageError("--fps is for numbered pictures; a film has its own times")
    if output is None or preview:
        return
    if numbered and (output.endswith(("/", os.sep)) or os.path.isdir(output)):
        raise UsageError(f"{output}: name the video file, or pictures such as '%06d.png' in it")
    if (
        os.path.isdir(sources[0])
        and Path(output).suffix.lower() in VIDEO_ENDINGS
        and (found := only_sequence(sources[0]))
    ):
        raise UsageError(f"{sources[0]} is a folder of pictures; name them as {str(found)!r}")
    several = len(sources) > 1 or os.path.isdir(sources[0])
    if several and numbered_name(Path(output)) is not None:
        raise UsageError(f"{output}: only one film can become numbered pictures; name one")


def check_together(
    *,
    many: bool,
    preview: bool,
    container: bool,
    skip_existing: bool,
    resume: bool,
    jobs: bool,
    report: bool,
) -> None:
    """Refuse options that would have no effect."""
    if container and not (many or preview):
        raise UsageError("--container is for an output folder; a file's own ending chooses")
    if skip_existing and not many:
        raise UsageError("--skip-existing is for an output folder; leave it out")
    if resume and preview:
        raise UsageError("--preview leaves nothing to resume; leave --resume out")
    if jobs and preview:
        raise UsageError("--preview looks at one film; leave --jobs out")
    if report and preview:
        raise UsageError("--preview converts nothing to report; leave --report out")


def means_folder(sources: tuple[Path, ...], output: str) -> bool:
    """Whether ``output`` is a folder for results rather than the name of one.

    Raises UsageError where several films have one file's name for their output.
    """
    folder = Path(output)
    if output.endswith(("/", os.sep)) or os.path.isdir(folder):
        return True
    named_as_film = folder.suffix.lower() in VIDEO_ENDINGS
    if len(sources) > 1 and named_as_film:
        raise UsageError(f"{output}: several films need a folder; write {output}/ to make one")
    return len(sources) > 1 or (os.path.isdir(sources[0]) and not named_as_film)
