"""Which options of ``rtstyle video`` go together."""

from __future__ import annotations

from rtstyle.errors import UsageError


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
