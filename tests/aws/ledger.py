"""What redrill assumes of AWS, what was observed, and whether the two are the same.

The assumed durations are read from the simulator's own sources, so that they cannot say something else here. Where an
emulator answers, what only AWS can show is recorded as `emulator` and counts for nothing. Not for: observing.
"""

import json
import re
import textwrap
import threading
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
PACE = REPOSITORY / "src" / "sim" / "pace.rs"
SETTLE = REPOSITORY / "src" / "drill" / "schema.rs"
UNITS = {"secs": 1, "mins": 60, "hours": 3600}
# an observed duration is as assumed where it is neither longer nor shorter than by this factor
FACTOR = 3
DENIED = ("UnauthorizedOperation", "AccessDenied", "AccessDeniedException", "403")


def durations():
    """The simulator's durations of AWS, in seconds."""
    body = PACE.read_text().split("impl Default for Pace", 1)[1].split("\n}\n", 1)[0]
    return {name: int(n) * UNITS[unit] for name, unit, n in re.findall(r"(\w+): Dur::(\w+)\((\d+)\)", body)}


def settle():
    """How long redrill looks again before it believes that something is absent, in seconds."""
    unit, n = re.search(r"fn default_settle\(\) -> Dur \{\s*Dur::(\w+)\((\d+)\)", SETTLE.read_text()).groups()
    return int(n) * UNITS[unit]


def spoken(seconds):
    """A duration for people."""
    if seconds < 120:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


class Ledger:
    """The rows, in the order of their observation. Of several threads."""

    def __init__(self, emulated, say=print):
        self.emulated, self.say, self.rows, self.lock = emulated, say, [], threading.Lock()
        self.paces = durations()

    def row(self, assumption, source, assumed, observed, same):
        """One more; `same` is true, false, `emulator`, or null where it was not observed."""
        found = {"assumption": assumption, "source": source, "assumed": assumed, "observed": observed, "same": same}
        with self.lock:
            self.rows.append(found)
        mark = {True: "as assumed", False: "DIFFERS", None: "not observed"}.get(same, same)
        self.say(f"      {mark}: {assumption}: {shown(observed)}" + ("" if same is True else f" (assumed: {shown(assumed)})"))
        return same

    def equal(self, assumption, source, assumed, observed, aws_only=False):
        """A value. `aws_only`: the emulator cannot show it."""
        same = "emulator" if aws_only and self.emulated else assumed == observed
        return self.row(assumption, source, assumed, observed, same)

    def code(self, assumption, source, assumed, observed, aws_only=False):
        """An error code. A permission that is missing says nothing about what AWS would have answered."""
        if observed in DENIED:
            return self.unseen(assumption, source, assumed, f"not permitted ({observed})")
        return self.equal(assumption, source, assumed, observed, aws_only)

    def steps(self, assumption, source, assumed, observed):
        """Statuses on the way. The emulator's are so short that looks may miss some."""
        rest = iter(assumed)
        missed = observed != assumed and all(status in rest for status in observed)
        return self.row(assumption, source, assumed, observed,
                        "emulator" if self.emulated and missed else assumed == observed)

    def lasts(self, assumption, name, seconds):
        """A duration of the simulator, by its name in `src/sim/pace.rs`; only AWS can show it."""
        assumed = self.paces[name]
        if seconds is None:
            return self.unseen(assumption, f"src/sim/pace.rs {name}", spoken(assumed), "its begin or its end was not seen")
        same = assumed / FACTOR <= seconds <= assumed * FACTOR
        return self.row(assumption, f"src/sim/pace.rs {name}", spoken(assumed), spoken(seconds),
                        "emulator" if self.emulated else same)

    def within(self, assumption, source, limit, seconds):
        """A duration that must not be longer."""
        return self.row(assumption, source, f"at most {spoken(limit)}", spoken(seconds), seconds <= limit)

    def unseen(self, assumption, source, assumed, why):
        """Something that could not be observed, and why."""
        return self.row(assumption, source, assumed, f"not observed: {why}", "emulator" if self.emulated else None)

    def counts(self):
        """How many are as assumed, differ, were shown by an emulator only, were not observed."""
        values = [r["same"] for r in self.rows]
        return tuple(sum(1 for v in values if v is wanted or v == wanted and isinstance(v, str))
                     for wanted in (True, False, "emulator", None))

    def write(self, path):
        """`observed.json`."""
        Path(path).write_text(json.dumps(self.rows, indent=1) + "\n")

    def table(self):
        """The table for people: assumed beside observed."""
        out = [f"{'assumption':<52}  {'assumed':<30}  {'observed':<30}  same"]
        for r in self.rows:
            same = {True: "yes", False: "NO", None: "-"}.get(r["same"], r["same"])
            cells = [textwrap.wrap(shown(r[k]), width) or [""] for k, width in
                     (("assumption", 52), ("assumed", 30), ("observed", 30))]
            for n in range(max(map(len, cells))):
                a, b, c = (cell[n] if n < len(cell) else "" for cell in cells)
                out.append(f"{a:<52}  {b:<30}  {c:<30}  {same if n == 0 else ''}".rstrip())
        return "\n".join(out)


def shown(value):
    """A value of a row as text."""
    if isinstance(value, list):
        return " → ".join(map(str, value)) or "none"
    return {True: "yes", False: "no"}.get(value, str(value)) if isinstance(value, bool) else str(value)
