"""The world around redrill: an emulator of its own, a proxy in front of it, and how two states are compared.

The world is only ever looked at through the emulator's own control pages, never through redrill.
"""

import contextlib
import copy
import hashlib
import json
import os
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import urllib.parse
import urllib.request
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
LAUNCHER = REPOSITORY / "localstack" / "redrill_emulator.py"
ESTATE = REPOSITORY / "localstack" / "estate.json"
REQUIREMENTS = REPOSITORY / "localstack" / "requirements.txt"
# long enough for a disturbance to fall into, short enough for hundreds of rounds
DELAYS = {
    "pending": 0.6, "stopping": 0.5, "shutting-down": 0.5, "create": 1, "restore": 1.5, "backing-up": 0.3,
    "modify": 0.3, "reboot": 0.8, "failover": 0.8, "delete": 0.8, "invalidation": 1, "distribution": 0.5,
}
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def private_python():
    """The emulator's private environment, the one that its own tests use; made where it is missing."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "redrill"
    venv, want = cache / "tests-venv", hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()[:16]
    mark, python = venv / ".complete", venv / "bin" / "python"
    if not (mark.exists() and mark.read_text().strip() == want):
        shutil.rmtree(venv, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", venv], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes",
                        "-r", REQUIREMENTS], check=True)
        mark.write_text(want + "\n")
    return python


def binary(named):
    """The binary under test; built where it is not named."""
    if named:
        return Path(named).resolve()
    subprocess.run(["cargo", "build", "--quiet", "--bin", "redrill"], cwd=REPOSITORY, check=True)
    told = subprocess.run(["cargo", "metadata", "--no-deps", "--format-version", "1"], cwd=REPOSITORY, check=True,
                          capture_output=True, text=True)
    return Path(json.loads(told.stdout)["target_directory"]) / "debug" / "redrill"


class Emulator:
    """An emulator that ends with this process."""

    def __init__(self, python, **other_delays):
        delays = ",".join(f"{name}={seconds}" for name, seconds in {**DELAYS, **other_delays}.items())
        self.process = subprocess.Popen(
            [python, LAUNCHER, "--seed", ESTATE, "--pace", "none", "--delays", delays, "--exit-with-stdin"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        ready = json.loads(self.process.stdout.readline() or "{}")
        if not ready.get("ready"):
            raise RuntimeError("the emulator does not start")
        self.endpoint, self.health, self.token = ready["endpoint"], ready["health"], ready["token"]
        self.proxy = Proxy(urllib.parse.urlsplit(self.endpoint).port)

    def control(self, method, page, body=None):
        """A control page, past the proxy."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.endpoint}/_redrill/{page}", data=data, method=method,
                                         headers={"X-Redrill-Token": self.token})
        with DIRECT.open(request, timeout=30) as answer:
            return json.load(answer)

    def state(self):
        """The estate."""
        return self.control("GET", "state")

    def calls(self):
        """The calls that change something."""
        return self.control("GET", "calls?mutating=true")

    def alarm(self, name, value):
        """Sets the state of an alarm, as a monitoring system would."""
        form = {"Action": "SetAlarmState", "Version": "2010-08-01", "AlarmName": name, "StateValue": value,
                "StateReason": "soak"}
        scope = "Credential=soak/20260101/us-east-1/monitoring/aws4_request"
        request = urllib.request.Request(self.endpoint, data=urllib.parse.urlencode(form).encode(), headers={
            "Authorization": f"AWS4-HMAC-SHA256 {scope}, SignedHeaders=host, Signature=0"})
        DIRECT.open(request, timeout=30).read()

    def pause(self, seconds):
        """Stops the emulator's process for a while: nobody answers, connections stay open."""
        os.kill(self.process.pid, signal.SIGSTOP)
        try:
            time.sleep(seconds)
        finally:
            os.kill(self.process.pid, signal.SIGCONT)

    def close(self):
        """Ends both."""
        self.proxy.close()
        self.process.stdin.close()
        self.process.wait(timeout=20)


class Proxy:
    """A TCP proxy that can refuse, reset, delay, or lose what the emulator answers."""

    def __init__(self, upstream):
        self.upstream, self.mode = upstream, "pass"
        self.open, self.lock = set(), threading.Lock()
        self.listener = self.listen(0)
        self.port = self.listener.getsockname()[1]
        self.endpoint = f"http://127.0.0.1:{self.port}"
        self.closed = False
        threading.Thread(target=self.accept, daemon=True).start()

    @staticmethod
    def listen(port):
        """Bound and listening."""
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen(64)
        return listener

    @contextlib.contextmanager
    def doing(self, mode):
        """In this mode for as long as the block runs."""
        self.mode = mode
        if mode == "refuse":
            # nobody listens: the shutdown wakes the thread that accepts
            with contextlib.suppress(OSError):
                self.listener.shutdown(socket.SHUT_RDWR)
            self.listener.close()
        if mode in ("refuse", "reset"):
            self.break_all()
        try:
            yield
        finally:
            if mode == "refuse":
                self.listener = self.listen(self.port)
            self.mode = "pass"

    def break_all(self):
        """Breaks every open connection, the hard way."""
        with self.lock:
            for end in self.open:
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

    def accept(self):
        """Takes connections while there is somebody listening."""
        while not self.closed:
            try:
                client, _ = self.listener.accept()
            except OSError:
                time.sleep(0.01)
                continue
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client):
        """One connection, both ways, until one end closes it."""
        try:
            if self.mode == "reset":
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                return
            with socket.create_connection(("127.0.0.1", self.upstream), timeout=60) as server:
                with self.lock:
                    self.open |= {client, server}
                try:
                    self.pump(client, server)
                finally:
                    with self.lock:
                        self.open -= {client, server}
        except OSError:
            pass
        finally:
            client.close()

    def pump(self, client, server):
        """Hands bytes over; what the mode says happens to them."""
        while True:
            for end in select.select([client, server], [], [], 60)[0]:
                data = end.recv(65536)
                if not data:
                    return
                mode = self.mode
                if mode == "delay":
                    time.sleep(0.4)
                if end is server and mode == "drop":
                    # the change is made; its answer never arrives
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    return
                (server if end is client else client).sendall(data)

    def close(self):
        """For good."""
        self.closed = True
        self.listener.close()
        self.break_all()


def with_replacements(state):
    """The estate with each kept replacement in the place of what it replaces; and how many there are."""
    state = copy.deepcopy(state)
    original = {}
    for instance in state["instances"]:
        tags = instance["tags"]
        if tags.get("redrill:kept") and tags.get("redrill:replaces"):
            original[instance["id"]] = tags["redrill:replaces"]
            instance["id"] = tags["redrill:replaces"]
            # it says who made it; nothing else may carry anything of ours
            instance["tags"] = {k: v for k, v in tags.items() if not k.startswith("redrill:") or k == "redrill:held"}
    state["instances"].sort(key=lambda i: i["id"])
    for name, members in state["target_groups"].items():
        state["target_groups"][name] = sorted(original.get(i, i) for i in members)
    return state, original


def differences(before, after, lost, unregistered):
    """What is not as it was, as sentences.

    `lost`: instances that may be gone without a replacement; `unregistered`: those that may be out of their groups.
    """
    before = copy.deepcopy(before)
    before["instances"] = [i for i in before["instances"] if i["id"] not in lost]
    for state in (before, after):
        for name, members in state["target_groups"].items():
            state["target_groups"][name] = [i for i in members if i not in unregistered]
    return list(compare("", before, after))


def compare(path, a, b):
    """Walks two values of JSON."""
    if isinstance(a, dict) and isinstance(b, dict):
        for key in sorted(set(a) | set(b)):
            yield from compare(f"{path}.{key}", a.get(key), b.get(key))
    elif isinstance(a, list) and isinstance(b, list) and all(isinstance(i, dict) for i in a + b):
        name = lambda i: i.get("id") or i.get("identifier") or i.get("destination") or json.dumps(i)
        left, right = {name(i): i for i in a}, {name(i): i for i in b}
        if len(left) != len(a) or len(right) != len(b):
            yield f"{path}: {a} became {b}"
        for key in sorted(set(left) | set(right)):
            yield from compare(f"{path}[{key}]", left.get(key), right.get(key))
    elif a != b:
        yield f"{path}: {json.dumps(a)} became {json.dumps(b)}"
