"""What holds a process up from outside: a disk, a resolver, a terminal, a reader; and a clock that is set.

The disk, the resolver and the clock are those of `slow.c`, which is put before the C library.
"""

import contextlib
import fcntl
import mmap
import os
import re
import struct
import subprocess
import termios
import threading
from pathlib import Path

SOURCE = Path(__file__).resolve().parent / "slow.c"
CLOCK, DISK, RESOLVER = range(3)
F_SETPIPE_SZ = 1031
CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def library(folder):
    """`slow.c`, compiled; None where that cannot be done."""
    out = Path(folder) / "slow.so"
    try:
        subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", out, SOURCE, "-ldl"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return out


class Slow:
    """The three numbers that the processes of one round look at."""

    def __init__(self, home, shared):
        self.path = Path(home) / "slow"
        self.path.write_bytes(struct.pack("3q", 0, 0, 0))
        self.environment = {"LD_PRELOAD": str(shared), "SOAK_SLOW": str(self.path)} if shared else {}
        with self.path.open("r+b") as file:
            self.page = mmap.mmap(file.fileno(), 24)

    def set(self, which, value):
        """At once, for all of them."""
        self.page[which * 8:which * 8 + 8] = struct.pack("q", value)

    def add(self, which, value):
        """More or less of it."""
        self.set(which, struct.unpack("3q", self.page[:])[which] + value)

    @contextlib.contextmanager
    def doing(self, which, value):
        """For as long as the block runs."""
        self.set(which, value)
        try:
            yield
        finally:
            self.set(which, 0)


class Terminal:
    """What a command writes its messages to, and what a person stops with Ctrl-S."""

    def __init__(self):
        self.person, self.end = os.openpty()
        fcntl.ioctl(self.end, termios.TIOCSWINSZ, struct.pack("4H", 24, 80, 0, 0))
        self.shown = b""
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        """Until nobody has the other end."""
        with contextlib.suppress(OSError):
            while piece := os.read(self.person, 65536):
                self.shown += piece

    def flow(self, on):
        """Ctrl-Q, or Ctrl-S."""
        termios.tcflow(self.end, termios.TCOON if on else termios.TCOOFF)

    def text(self):
        """Everything that was shown; the terminal is gone then."""
        os.close(self.end)
        self.reader.join(timeout=10)
        os.close(self.person)
        return CONTROL.sub("", self.shown.decode(errors="replace")).replace("\r", "\n")


def hold_little(pipe):
    """A pipe that is full soon."""
    with contextlib.suppress(OSError):
        fcntl.fcntl(pipe.fileno(), F_SETPIPE_SZ, 4096)


def stopped(pid):
    """Whether job control has stopped it."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
    return False
