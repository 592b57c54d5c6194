"""The wire: every AWS call passes here on its way to moto. Log, faults, request ids, CBOR, and the control pages."""

import io
import json
import re
import socket
import threading
import time
import traceback
import uuid
from contextlib import nullcontext
from datetime import datetime, timezone
from http import HTTPStatus

from . import cbor, faults, protocol, strict
from .others import elsewhere
from .policy import REFUSED

REQUEST_ID = re.compile(rb"<(RequestId|requestId|RequestID)>[^<]*</")
ERROR_CODE = re.compile(rb"<Code>([^<]*)</Code>")
OWN_HOST = re.compile(r"(127\.0\.0\.1|localhost)(:\d{1,5})?", re.IGNORECASE)
ID_HEADERS = ("x-amzn-requestid", "x-amz-request-id", "x-amz-id-2", "x-amzn-request-id")


def stranger(environ, own_page=False):
    """Why a request does not come from a client of ours, if it does not.

    Every page that a browser of this machine shows may send requests here: what tells them is what the browser
    adds and a page cannot take away. `Host` tells a name that was made to point here (DNS rebinding) from this
    machine's own; the port may be that of a proxy in front. No client of AWS sends `Origin`, `Referer` or
    `Sec-Fetch-Site`; a person who looks at a page of ours (`own_page`) sends the last as `none`.
    """
    host = environ.get("HTTP_HOST", "")
    if not OWN_HOST.fullmatch(host):
        return f"the host {host!r} is not this machine's own"
    if environ.get("HTTP_SEC_FETCH_SITE", "none") not in (("none", "same-origin") if own_page else ("none",)):
        return "it comes from a web page"
    if "HTTP_ORIGIN" in environ or "HTTP_REFERER" in environ and not own_page:
        return "it comes from a web page"
    return None


def refused(environ, start_response, why):
    """The answer to a stranger; nothing has been looked at."""
    body = f"403: {why}; the emulator answers clients of AWS on this machine only\n".encode()
    headers = [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(body)))]
    start_response("403 Forbidden", headers)
    return [b"" if environ["REQUEST_METHOD"] == "HEAD" else body]


class Dropped(ConnectionResetError):
    """The connection is broken on purpose; the server takes it for a client that left."""


class Log:
    """One line a call, in memory and on request in a file."""

    def __init__(self, path=None):
        self.lock = threading.Lock()
        self.lines = []
        self.file = open(path, "a", encoding="utf-8") if path else None

    def add(self, entry):
        """Appends an entry."""
        with self.lock:
            self.lines.append(entry)
            if self.file:
                self.file.write(json.dumps(entry, separators=(",", ":")) + "\n")
                self.file.flush()

    def all(self):
        """Every entry so far."""
        with self.lock:
            return list(self.lines)

    def clear(self):
        """Empties the memory; the file keeps its lines."""
        with self.lock:
            self.lines = []


def read_body(environ):
    """The whole request body, put back for whoever reads it next."""
    stream = environ["wsgi.input"]
    if environ.get("wsgi.input_terminated"):
        body = stream.read()
        environ.pop("HTTP_TRANSFER_ENCODING", None)
    else:
        body = stream.read(int(environ.get("CONTENT_LENGTH") or 0))
    put_body(environ, body)
    return body


def put_body(environ, body):
    """Gives the request another body."""
    environ["wsgi.input"], environ["CONTENT_LENGTH"] = io.BytesIO(body), str(len(body))


def drop(environ):
    """Breaks the connection without an answer."""
    sock = environ.get("werkzeug.socket")
    if sock is not None:
        # the server would go on to read a next request from a connection that it takes for kept alive
        sock.shutdown(socket.SHUT_RDWR)
    raise Dropped("broken on purpose")


def run(app, environ):
    """(status, headers, body) of a WSGI application."""
    kept = {}

    def start_response(status, headers, exc_info=None):
        kept["status"], kept["headers"] = int(status.split()[0]), list(headers)

    parts = app(environ, start_response)
    try:
        body = b"".join(parts)
    finally:
        if hasattr(parts, "close"):
            parts.close()
    return kept["status"], kept["headers"], body


class Wire:
    """The WSGI application of the AWS port."""

    def __init__(self, emulator, moto):
        self.emulator, self.moto = emulator, moto

    def __call__(self, environ, start_response):
        path = environ.get("PATH_INFO", "")
        why = stranger(environ)
        if why is None and "moto-api" in path.split("/"):
            why = "moto's own pages are closed"  # its recorder writes files
        if why is None and path.startswith("/_redrill/") and not self.emulator.knows(environ.get("HTTP_X_REDRILL_TOKEN")):
            why = "the token of the control pages is missing or wrong"
        if why:
            return refused(environ, start_response, why)
        self.emulator.last_call = time.monotonic()
        if path.startswith("/_redrill/"):
            from .control import control

            status, headers, body = control(self.emulator, environ)
        else:
            status, headers, body = self.aws(environ)
        headers = [(k, v) for k, v in headers if not k.lower().startswith("access-control-")]
        if environ["REQUEST_METHOD"] != "HEAD" and status not in (204, 304):
            headers = [(k, v) for k, v in headers if k.lower() != "content-length"]
            headers.append(("Content-Length", str(len(body))))
        start_response(f"{status} {HTTPStatus(status).phrase}", headers)
        return [body]

    def aws(self, environ):
        """One AWS call: log it, fault it, answer it."""
        body = read_body(environ)
        call = protocol.Call(environ, body)
        request_id = str(uuid.uuid4())
        entry = {
            "time": datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "service": call.service, "action": call.action, "region": call.region, "parameters": call.parameters,
            "resources": call.resources, "mutating": call.mutating, "request_id": request_id,
            "access_key": call.key_id, "user_agent": call.user_agent, "status": None, "error": None, "fault": None,
        }
        began = time.monotonic()
        wait, rule = self.emulator.rules.take(call)
        if wait:
            time.sleep(wait)
        fault = rule["fault"] if rule else None
        entry["fault"] = fault or ("latency" if wait else None)
        refused = None
        try:
            if fault == "reset":
                drop(environ)
            if fault == "skewed":
                environ["redrill.date"], refused = faults.skewed(call, environ, rule["seconds"])
                entry["fault"] = "skewed" if refused else None
            if fault == "protected":
                with self.emulator.lock:
                    faults.protect(call, self.emulator.estate)
            if fault in protocol.CODES:
                status, headers, answer, entry["error"] = protocol.fault_error(call, fault, request_id)
            elif refused:
                status, headers, answer = protocol.error(call, *refused, request_id)
                entry["error"] = refused[0]
            elif fault == "partial":
                status, headers, answer = faults.partial(self, environ, body, call, request_id)
            elif fault == "stale" and (before := self.emulator.stale.before(call, body)):
                status, headers, answer = before
            else:
                status, headers, answer = self.real(environ, body, call, request_id, absent=fault == "absent")
                if fault != "absent":
                    self.emulator.stale.keep(call, body, (status, headers, answer))
                if status >= 400:
                    code = ERROR_CODE.search(answer)
                    entry["error"] = code.group(1).decode() if code else call.__dict__.get("error")
                elif fault in ("unseen", "untagged"):
                    self.emulator.unseen.add(fault, rule["reads"], answer)
            entry["status"] = status
            if fault == "lose_answer" or rule and rule["lost"]:
                drop(environ)
        finally:
            entry["ms"] = round((time.monotonic() - began) * 1000)
            self.emulator.log.add(entry)
        if fault == "slow_answer":
            time.sleep(rule["seconds"])
        headers = [(k, v) for k, v in headers if k.lower() not in (*ID_HEADERS, "date")]
        headers += [("x-amzn-RequestId", request_id), ("x-amz-request-id", request_id)]
        if b"<" in answer[:200] and (call.service != "s3" or status >= 400):
            answer = REQUEST_ID.sub(rb"<\1>" + request_id.encode() + b"</", answer)
        return status, headers, answer

    def real(self, environ, body, call, request_id, absent=False):
        """Lets moto answer, one call at a time; `absent`: from a world without what it asks for."""
        with self.emulator.lock:
            why = self.emulator.policy.denies(call, environ, body)
        if why:
            call.error, status = REFUSED.get(call.protocol, REFUSED["*"])
            return protocol.error(call, call.error, why, status, request_id)
        if (call.service, call.action) == ("iam", "SimulatePrincipalPolicy") and self.emulator.policy.document is not None:
            # moto does not simulate; there is something to say only while a policy is in force
            return protocol.simulation(self.emulator.policy.simulated(protocol.form(environ, body)), request_id)
        if not self.emulator.plain and (found := strict.refuses(call, environ, body)):
            call.error = found[0]
            return protocol.error(call, *found, 400, request_id)
        if call.service == "s3" and not self.emulator.plain and (region := elsewhere(call, environ)):
            status, headers, answer = protocol.error(
                call, "PermanentRedirect", "The bucket you are attempting to access must be addressed using the specified "
                "endpoint.", 301, request_id)
            return status, [*headers, ("x-amz-bucket-region", region)], answer
        if call.protocol == "cbor" and not self.emulator.plain:
            return self.translated(environ, body, call, request_id)
        try:
            with self.emulator.lock:
                self.emulator.settle()
                missed = faults.absent(call, self.emulator.estate) if absent else nullcontext()
                with self.emulator.unseen.during(call, self.emulator.estate), missed:
                    status, headers, answer = run(self.moto, environ)
        except NotImplementedError as error:
            return protocol.error(call, "NotImplemented", str(error), 501, request_id)
        except Exception as error:
            self.emulator.complain(traceback.format_exc())
            return protocol.error(call, "InternalFailure", f"{type(error).__name__}: {error}", 500, request_id)
        return status, headers, answer

    def translated(self, environ, body, call, request_id):
        """CloudWatch: CBOR in, JSON to moto, CBOR out."""
        try:
            asked = cbor.decode(body) if body else {}
            cbor.model().operation_model(call.action)
        except Exception as error:
            return protocol.error(call, "SerializationException", str(error), 400, request_id)
        call.parameters = sorted(asked)
        put_body(environ, json.dumps(asked).encode())
        environ["PATH_INFO"] = environ["RAW_URI"] = environ["REQUEST_URI"] = "/"
        environ["CONTENT_TYPE"] = "application/x-amz-json-1.0"
        environ["HTTP_X_AMZ_TARGET"] = "GraniteServiceVersion20100801." + call.action
        for name in ("HTTP_ACCEPT", "HTTP_SMITHY_PROTOCOL"):
            environ.pop(name, None)
        status, headers, answer = self.real_json(environ, call)
        parsed = json.loads(answer or b"{}")
        if status >= 400:
            call.error = str(parsed.get("__type", "InternalFailure")).split("#")[-1]
            extra = [("x-amzn-query-error", f"{call.error};Sender")]
        else:
            extra = []
        return status, [("Content-Type", "application/cbor"), ("smithy-protocol", "rpc-v2-cbor"), *extra], \
            cbor.answer(call.action, status, parsed)

    def real_json(self, environ, call):
        """As `real`, with failures as JSON."""
        try:
            with self.emulator.lock:
                self.emulator.settle()
                return run(self.moto, environ)
        except Exception as error:
            self.emulator.complain(traceback.format_exc())
            kind = "NotImplemented" if isinstance(error, NotImplementedError) else "InternalFailure"
            return 501 if kind == "NotImplemented" else 500, [], json.dumps({"__type": kind, "message": str(error)}).encode()
