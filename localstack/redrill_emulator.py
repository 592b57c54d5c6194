"""Starts moto in this process with delays, corrections, faults, a call log and a health service.

Prints one line of JSON on standard output when both ports answer. Everything is in memory and on 127.0.0.1 only.
See README.md.
"""

import argparse
import hmac
import json
import os
import secrets
import signal
import sys
import threading
import time
import warnings
from datetime import datetime, timezone
from pathlib import Path

sys.dont_write_bytecode = True
warnings.simplefilter("ignore")  # moto warns where a corrected error code is not in its service model
# moto lets real AWS settings of the caller leak in; none of them has business here
for _name in [n for n in os.environ if n.startswith("AWS_")]:
    del os.environ[_name]
os.environ["AWS_ACCESS_KEY_ID"] = os.environ["AWS_SECRET_ACCESS_KEY"] = "emulator"
os.environ["AWS_EC2_METADATA_DISABLED"] = "true"

from emulator.faults import Rules, Stale, Unseen  # noqa: E402
from emulator.pace import PACES, Pace  # noqa: E402
from emulator.policy import Policy  # noqa: E402
from emulator.wire import Log, Wire  # noqa: E402

HERE = Path(__file__).resolve().parent


class Emulator:
    """What the AWS port, the control pages and the health service share."""

    def __init__(self, options):
        self.lock = threading.RLock()  # moto is not made for several threads at once
        self.plain = options.plain
        self.pace = Pace("none" if options.plain else options.pace, options.delays)
        self.estate = json.loads(Path(options.seed or HERE / "estate.json").read_text(encoding="utf-8"))
        self.rules, self.unseen, self.stale, self.log = Rules(), Unseen(), Stale(), Log(options.log)
        self.policy = Policy(self.estate)
        self.endpoint = self.health = None
        self.token = secrets.token_urlsafe(32)  # who started us reads it, or the record, and nobody else
        self.seeded = False
        self.last_call = time.monotonic()
        if not self.plain:
            from emulator import custody, ec2, interfaces, others, rds

            for part in (ec2, interfaces, rds, others, custody):
                part.patch(self.pace)

    def knows(self, token):
        """Whether it is the token of this process."""
        return hmac.compare_digest((token or "").encode(), self.token.encode())

    def settle(self):
        """Lets go of what is over. Called with the lock held, before anything is looked at."""
        if not self.plain:
            from emulator.rds import purge

            purge()

    def seed(self):
        """Forgets everything and seeds the estate; returns name → id."""
        from emulator import seed

        with self.lock:
            seed.reset()
            found = seed.seed(self.estate, self.pace)
            self.log.clear()
            self.rules.clear()
            self.unseen.clear()
            self.stale.clear()
            self.policy.put(None)
            self.seeded = True
            return found

    @staticmethod
    def complain(text):
        """Something unexpected inside moto: for the person who reads standard error."""
        sys.stderr.write(text)
        sys.stderr.flush()


def arguments(argv=None):
    """The command line."""
    p = argparse.ArgumentParser(prog="redrill_emulator", description=__doc__.splitlines()[0])
    p.add_argument("--host", default="127.0.0.1", help="only 127.0.0.1 is accepted")
    p.add_argument("--port", type=int, default=0, help="AWS port; 0 takes a free one")
    p.add_argument("--health-port", type=int, default=0, help="port of the health service; 0 takes a free one")
    p.add_argument("--log", metavar="FILE", help="append every AWS call to FILE, one JSON object a line")
    p.add_argument("--seed", metavar="FILE", help="seed this estate before the ready line")
    p.add_argument("--pace", choices=sorted(PACES), default="fast", help="how long things take (default: fast)")
    p.add_argument("--delays", default="", metavar="NAME=S,…", help="override single delays, in seconds")
    p.add_argument("--plain", action="store_true", help="moto as it is: no delays, no corrections, no CBOR")
    p.add_argument("--exit-with-stdin", action="store_true", help="exit when standard input closes")
    p.add_argument("--record", metavar="FILE", help="write where we are to FILE, and exit when it is gone")
    p.add_argument("--idle-exit", type=float, metavar="S", help="exit after S seconds without a call")
    p.add_argument("--new-session", action="store_true", help="leave the terminal: its signals no longer reach us")
    options = p.parse_args(argv)
    if options.host != "127.0.0.1":
        p.error("the emulator has no authentication: it binds to 127.0.0.1 only")
    return options


def serve(host, port, app):
    """A threaded server; bound when this returns."""
    from moto.moto_server.werkzeug_app import MotoRequestHandler
    from werkzeug.serving import make_server

    class Handler(MotoRequestHandler):
        """Quiet: the call log is elsewhere."""

        def log(self, *_args, **_kwargs):
            """Nothing."""

        def date_time_string(self, timestamp=None):
            """The `Date` of an answer: ours, or that of a service whose clock is off."""
            return getattr(self, "environ", {}).get("redrill.date") or super().date_time_string(timestamp)

    server = make_server(host, port, app, threaded=True, request_handler=Handler)
    server.daemon_threads = True
    server.block_on_close = False
    return server


def watch(emulator, options):
    """Ends the process when nobody needs it any more."""
    while True:
        time.sleep(1.0)
        if options.record and not recorded(options.record):
            os._exit(0)
        if options.idle_exit and time.monotonic() - emulator.last_call > options.idle_exit:
            os._exit(0)


def record(path, line):
    """Writes the record in one step, so that a reader never sees half of it."""
    started = datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    draft = f"{path}.{os.getpid()}"
    text = json.dumps({**line, "started": started}, separators=(",", ":")) + "\n"
    with open(draft, "w", encoding="utf-8", opener=lambda name, flags: os.open(name, flags | os.O_EXCL, 0o600)) as file:
        file.write(text)
    os.replace(draft, path)


def recorded(path):
    """Whether the record is still there, and ours."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8")).get("pid") == os.getpid()
    except (OSError, ValueError):
        return False


def watch_stdin():
    """Ends the process with its parent: a killed parent closes the pipe too."""
    while os.read(0, 4096):
        pass
    os._exit(0)


def main():
    """Starts both ports and waits."""
    options = arguments()
    if options.new_session:
        os.setsid()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: os._exit(0))
    if options.exit_with_stdin:
        threading.Thread(target=watch_stdin, daemon=True).start()
    ready, sys.stdout = sys.stdout, sys.stderr  # moto prints now and then; the ready line stays alone
    from emulator.health import app as health_app
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

    emulator = Emulator(options)
    moto = DomainDispatcherApplication(create_backend_app)
    try:
        aws = serve(options.host, options.port, Wire(emulator, moto))
        health = serve(options.host, options.health_port, health_app(emulator))
    except (OSError, SystemExit) as error:
        sys.stderr.write(f"cannot listen on 127.0.0.1: {error}\n")
        os._exit(4)
    emulator.endpoint = f"http://127.0.0.1:{aws.port}"
    emulator.health = f"http://127.0.0.1:{health.port}"
    if options.seed:
        emulator.seed()
    line = {"endpoint": emulator.endpoint, "health": emulator.health, "pid": os.getpid(), "token": emulator.token}
    if options.record:
        record(options.record, line)
    threads = [threading.Thread(target=s.serve_forever, daemon=True) for s in (aws, health)]
    if options.record or options.idle_exit:
        threads.append(threading.Thread(target=watch, args=(emulator, options), daemon=True))
    for thread in threads:
        thread.start()
    ready.write(json.dumps({"ready": True, **line}, separators=(",", ":")) + "\n")
    ready.flush()
    while True:
        signal.pause()


if __name__ == "__main__":
    main()
