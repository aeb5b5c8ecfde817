"""How a command ends, where nothing but its exit code tells."""

import errno
import os

from stoker.cli.ending import EXIT_SYSTEM, answered


def test_a_broken_pipe_of_the_commands_own_is_no_good_end(capfd):
    def broken():
        reader, writer = os.pipe()
        os.close(reader)
        try:
            os.write(writer, b".")
        finally:
            os.close(writer)

    assert answered(broken) == EXIT_SYSTEM
    assert os.strerror(errno.EPIPE) in capfd.readouterr().err
