"""A health page for the drills, on this machine: it answers 200 while the estate, as AWS shows it, is whole.

The servers of the estate serve nothing, so this stands in for a client. What it says is as old as AWS's own answers
are, so that a recovery time measured with it holds AWS's eventual consistency, too. Not for: measuring the service.
"""

import http.server
import json
import threading
import time

from botocore.exceptions import BotoCoreError, ClientError


class Health:
    """The page, until it is closed."""

    def __init__(self, account, estate):
        self.account, self.estate, self.known, self.lock = account, estate, (0.0, 503, {}), threading.Lock()
        page = self

        class Handler(http.server.BaseHTTPRequestHandler):
            """One request."""

            def do_GET(self):  # noqa: N802 (the name is http.server's)
                status, checks = page.answer()
                body = json.dumps(checks).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                """Nothing."""

        class Server(http.server.ThreadingHTTPServer):
            """Many at once."""

            def handle_error(self, *_):
                """A probe that has hung up: nothing to say."""

        self.server = Server(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/health"

    def answer(self):
        """Status and checks; asked of AWS at most every other second."""
        with self.lock:
            if time.monotonic() - self.known[0] > (0.3 if self.account.emulated else 2.0):
                try:
                    checks = {"servers": self.servers(), "network": self.network(), "catalogue": self.catalogue()}
                    status = 200 if all(checks.values()) else 503
                except (ClientError, BotoCoreError) as error:
                    status, checks = 500, {"error": str(error)}
                self.known = (time.monotonic(), status, checks)
            return self.known[1:]

    def servers(self):
        """Two servers run."""
        filters = self.account.mine(role="web") + [{"Name": "instance-state-name", "Values": ["running"]}]
        found = self.account.client("ec2").describe_instances(Filters=filters)["Reservations"]
        return sum(len(r["Instances"]) for r in found) >= 2

    def network(self):
        """Each subnet has an active way out."""
        found = self.account.client("ec2").describe_route_tables(
            Filters=[{"Name": "association.subnet-id", "Values": self.estate.subnets}])["RouteTables"]
        served = {a["SubnetId"] for t in found for a in t["Associations"] if a.get("SubnetId")
                  for r in t["Routes"] if r.get("DestinationCidrBlock") == "0.0.0.0/0" and r["State"] == "active"}
        return set(self.estate.subnets) <= served

    def catalogue(self):
        """The catalogue is in the bucket."""
        try:
            self.account.client("s3").head_object(Bucket=self.estate.bucket, Key="catalogue/items.json")
        except ClientError as error:
            if error.response["Error"]["Code"] in ("404", "NoSuchKey"):
                return False
            raise
        return True

    def close(self):
        """For good."""
        self.server.shutdown()
        self.server.server_close()
