"""How long things take: named delays, and the transitional states seen while they run.

The real state lives in moto and changes at once; what a reader sees is a view: an object holds a list of
(state, until) steps, and until a step is over its name is shown instead of the real state. So nothing runs in
the background, and a pace of `none` is simply an empty list
(apart from the lag of restorable times, which is no waiting).
"""

import time

NAMES = (
    "pending", "stopping", "shutting-down",
    "create", "restore", "backing-up", "modify", "reboot", "failover", "delete", "db-stop", "db-start",
    "invalidation", "distribution", "restorable",
)
# how far the latest restorable time lags: AWS's own, whatever the pace
RESTORABLE = 300

PACES = {
    "none": {**dict.fromkeys(NAMES, 0.0), "restorable": RESTORABLE},
    "fast": {
        "pending": 2, "stopping": 2, "shutting-down": 2,
        "create": 6, "restore": 12, "backing-up": 1, "modify": 2, "reboot": 3, "failover": 3, "delete": 3,
        "db-stop": 3, "db-start": 3, "invalidation": 6, "distribution": 4,
        "restorable": RESTORABLE,
    },
    "real": {
        "pending": 25, "stopping": 40, "shutting-down": 45,
        "create": 480, "restore": 1500, "backing-up": 120, "modify": 60, "reboot": 60, "failover": 90,
        "delete": 240, "db-stop": 240, "db-start": 300, "invalidation": 240, "distribution": 300,
        "restorable": RESTORABLE,
    },
}


class Pace:
    """The delays in force, in seconds."""

    def __init__(self, name="fast", overrides=""):
        if name not in PACES:
            raise ValueError(f"unknown pace `{name}`; choose from {', '.join(PACES)}")
        self.name = name
        self.seconds = {k: float(v) for k, v in PACES[name].items()}
        self.muted = False
        for item in filter(None, (part.strip() for part in overrides.split(","))):
            key, eq, value = item.partition("=")
            if not eq or key not in NAMES:
                raise ValueError(f"`{item}` is not a delay; write name=seconds with a name of: {', '.join(NAMES)}")
            self.seconds[key] = float(value)

    def __getitem__(self, name):
        return 0.0 if self.muted else self.seconds[name]


def begin(obj, *steps):
    """Shows each (state, seconds) of `steps` in turn, then the real state. Replaces steps still running."""
    until = time.monotonic()
    shown = []
    for state, seconds in steps:
        until += seconds
        if seconds > 0:
            shown.append((state, until))
    obj.__dict__["_redrill_steps"] = shown


def view(obj, real):
    """The state that a reader sees."""
    now = time.monotonic()
    for state, until in obj.__dict__.get("_redrill_steps", ()):
        if now < until:
            return state
    return real
