"""Reading a request (service, action, parameter names, resources) and shaping an error, per AWS protocol."""

import json
import re
from urllib.parse import parse_qsl, unquote
from xml.sax.saxutils import escape, unescape

from .cbor import encode

CBOR_PATH = re.compile(r"^/service/GraniteServiceVersion20100801/operation/(\w+)$")
SCOPE = re.compile(r"Credential=([^/]+)/\d+/([^/]+)/([^/]+)/aws4_request")
READS = ("Describe", "Get", "List", "Head", "Lookup", "BatchGet", "Search", "Select", "Simulate", "Assume", "Filter")
ID = re.compile(r"^(i|subnet|vpc|rtb|rtbassoc|igw|nat|sg|vol|eni|eipalloc|ami|snap|acl)-[0-9a-f]+$|^arn:aws")
ID_PARAMETERS = (
    "DBInstanceIdentifier", "SourceDBInstanceIdentifier", "TargetDBInstanceIdentifier", "DBClusterIdentifier",
    "AutoScalingGroupName", "AlarmName",
)
SERVICES = {"monitoring": "cloudwatch", "elasticloadbalancing": "elbv2"}
CLASSIC = "2012-06-01"
QUERY_SERVICES = ("rds", "sts", "autoscaling", "elb", "elbv2", "cloudwatch", "iam", "sns", "cloudformation", "elasticache")


class Call:
    """One request, as far as the log and the faults need it."""

    def __init__(self, environ, body):
        auth = environ.get("HTTP_AUTHORIZATION", "")
        scope = SCOPE.search(auth)
        self.key_id = scope.group(1) if scope else None
        self.region = scope.group(2) if scope else None
        name = (scope.group(3) if scope else "s3").lower()
        self.service = SERVICES.get(name, name)
        self.method, self.path = environ["REQUEST_METHOD"], environ.get("PATH_INFO", "/")
        self.user_agent = environ.get("HTTP_USER_AGENT", "")
        query = dict(parse_qsl(environ.get("QUERY_STRING", ""), keep_blank_values=True))
        content = environ.get("CONTENT_TYPE", "") or ""
        target = environ.get("HTTP_X_AMZ_TARGET", "")
        self.resources = []
        cbor = CBOR_PATH.match(self.path)
        if cbor:
            self.protocol, self.service, self.action = "cbor", "cloudwatch", cbor.group(1)
            self.parameters = []
        elif target:
            self.protocol, self.action = "json", target.split(".")[-1]
            self.parameters = _json_names(body)
        elif content.startswith("application/x-www-form-urlencoded") or "Action" in query:
            form = {**query, **dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))}
            if self.service == "elbv2" and form.get("Version") == CLASSIC:
                # both sign for the same name: the version alone tells the Classic Load Balancers' API
                self.service = "elb"
            self.protocol = "ec2" if self.service == "ec2" else "query"
            self.action = form.get("Action", "?")
            self.parameters = sorted({k.split(".")[0] for k in form} - {"Action", "Version"})
            self.resources = [v for k, v in form.items() if ID.match(v) or k in ID_PARAMETERS]
        else:
            self.protocol = "s3" if self.service == "s3" else "rest-xml"
            self.action = _routed(self.service, environ, body) or f"{self.method} {self.path}"
            self.parameters = sorted(query)
            self.resources = [unquote(p) for p in [self.path.lstrip("/")] if p]
        self.mutating = not self.action.startswith(READS)


def form(environ, body):
    """The parameters of a call in the query protocol."""
    pairs = parse_qsl(environ.get("QUERY_STRING", "")) + parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True)
    return dict(pairs)


def simulation(decisions, request_id):
    """(status, headers, body) of SimulatePrincipalPolicy's answer: (action, resource, decision) each.

    One result an action: the worst decision, the form of its ARNs (not one of them), and below it each resource's own.
    """
    def element(name, value):
        return f"<{name}>{escape(value)}</{name}>"

    of_action = {}
    for action, resource, decision in decisions:
        of_action.setdefault(action, []).append((resource, decision))
    members = ""
    for action, each in of_action.items():
        everything = [resource for resource, _ in each] == ["*"]
        whole = next((d for _, d in each if d != "allowed"), "allowed")
        form = "*" if everything else "arn:${Partition}:" + action.split(":")[0] + ":${Region}:${Account}:${Resource}"
        single = "".join(
            "<member>" + element("EvalResourceName", r) + element("EvalResourceDecision", d) + "</member>" for r, d in each
        )
        members += (
            "<member>" + element("EvalActionName", action) + element("EvalResourceName", form) + element("EvalDecision", whole)
            + ("" if everything else f"<ResourceSpecificResults>{single}</ResourceSpecificResults>") + "</member>"
        )
    body = (
        '<SimulatePrincipalPolicyResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/">'
        f"<SimulatePrincipalPolicyResult><IsTruncated>false</IsTruncated><EvaluationResults>{members}</EvaluationResults>"
        f"</SimulatePrincipalPolicyResult><ResponseMetadata><RequestId>{request_id}</RequestId></ResponseMetadata>"
        "</SimulatePrincipalPolicyResponse>"
    )
    return 200, [("Content-Type", "text/xml")], body.encode()


def _json_names(body):
    try:
        return sorted(json.loads(body or b"{}"))
    except (ValueError, TypeError):
        return []


def _routed(service, environ, body):
    """The operation that a REST request names, by the service's own model."""
    import io

    from moto.core.request import Request
    from moto.core.routing import get_service_router

    try:
        copy = {**environ, "wsgi.input": io.BytesIO(body)}
        operation, _ = get_service_router(service).match(Request(copy))
        return operation.name
    except Exception:  # any failure only means a less telling line in the log
        return None


CODES = {
    # fault: protocol → (code, status); "*" for the rest
    "throttle": {"ec2": ("RequestLimitExceeded", 503), "s3": ("SlowDown", 503), "json": ("ThrottlingException", 400),
                 "cbor": ("Throttling", 400), "*": ("Throttling", 400)},
    "error500": {"ec2": ("InternalError", 500), "s3": ("InternalError", 500), "*": ("InternalFailure", 500)},
    "error503": {"ec2": ("Unavailable", 503), "s3": ("ServiceUnavailable", 503), "*": ("ServiceUnavailable", 503)},
    "deny": {"ec2": ("UnauthorizedOperation", 403), "json": ("AccessDeniedException", 400), "*": ("AccessDenied", 403)},
    "expired": {"ec2": ("RequestExpired", 400), "s3": ("ExpiredToken", 400), "json": ("ExpiredTokenException", 400),
                "*": ("ExpiredToken", 403)},
}
MESSAGES = {
    "throttle": "Rate exceeded", "error500": "An internal error has occurred", "error503": "The service is unavailable",
    "deny": "You are not authorized to perform this operation.",
    "expired": "The security token included in the request is expired",
}


def tag(text, name):
    """What stands between the first <name> and its end, in some XML."""
    found = re.search(rf"<{name}>(.*?)</{name}>".encode(), text, re.S)
    return unescape(found.group(1).decode()) if found else ""


def error(call, code, message, status, request_id):
    """(status, headers, body) of an error in the request's own protocol."""
    head = '<?xml version="1.0" encoding="UTF-8"?>\n'
    core = f"<Code>{escape(code)}</Code><Message>{escape(message)}</Message>"
    kind = "application/xml"
    headers = []
    if call.protocol == "cbor":
        body = encode({"__type": "com.amazonaws.cloudwatch#" + code, "message": message, "Message": message})
        kind = "application/cbor"
        headers = [("smithy-protocol", "rpc-v2-cbor"), ("x-amzn-query-error", f"{code};Sender")]
    elif call.protocol == "json":
        body = json.dumps({"__type": code, "message": message}).encode()
        kind = "application/x-amz-json-1.1"
        headers = [("x-amzn-ErrorType", code)]
    elif call.protocol == "ec2":
        body = f"{head}<Response><Errors><Error>{core}</Error></Errors><RequestID>{request_id}</RequestID></Response>".encode()
    elif call.protocol == "s3":
        body = f"{head}<Error>{core}<RequestId>{request_id}</RequestId><HostId>emulator</HostId></Error>".encode()
    else:
        side = "Sender" if status < 500 else "Receiver"
        body = (f"{head}<ErrorResponse><Error><Type>{side}</Type>{core}</Error>"
                f"<RequestId>{request_id}</RequestId></ErrorResponse>").encode()
    if call.method == "HEAD":
        body = b""
    return status, [("Content-Type", kind), *headers], body


def fault_error(call, fault, request_id):
    """The error that a fault rule stands for."""
    table = CODES[fault]
    code, status = table.get(call.protocol, table["*"])
    return (*error(call, code, MESSAGES[fault], status, request_id), code)
