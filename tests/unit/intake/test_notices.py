"""Whether the kernel gives notices."""

import os
import resource

from stoker.intake.notices import refusal


def test_a_folder_that_can_be_watched_is_not_refused(tmp_path):
    assert refusal(tmp_path) is None


def test_it_is_said_why_the_kernel_gives_no_notices(tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    next_free = os.dup(0)
    os.close(next_free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (next_free, hard))
    try:
        assert refusal(tmp_path) == "Too many open files"
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
