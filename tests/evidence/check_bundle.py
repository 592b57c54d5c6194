"""Checks evidence bundles with tools that redrill did not write.

Takes folders of bundles. The signature by securesystemslib and by openssl, the statement by
in-toto-attestation, the journal's root by pymerkle, the checkpoint's signature by cryptography, the
timestamp by rfc3161-client, openssl and (where REDRILL_NODE_MODULES names its packages) sigstore-js.
Beside a folder with a timestamp lie the certificates of its authority, FOLDER.root.pem and
FOLDER.tsa.pem. Each check is also shown something that differs, and must refuse it.
"""

import base64
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from cryptography.x509 import load_pem_x509_certificate
from google.protobuf.json_format import ParseDict
from in_toto_attestation.predicates.test_result.v0 import test_result_pb2
from in_toto_attestation.v1.statement import Statement
from pymerkle import InmemoryTree
from rfc3161_client import VerificationError as NotStamped
from rfc3161_client import VerifierBuilder, decode_timestamp_response
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import SSlibKey

BUNDLES = os.environ["BUNDLES"].split(os.pathsep)
ENVELOPE = "attestation.dsse.json"
SIGSTORE = "attestation.sigstore.json"
TIMESTAMP, SEAL = "timestamp.tsr", "seal.dsse.json"
STAMPED = [folder for folder in BUNDLES if os.path.exists(os.path.join(folder, TIMESTAMP))]
HERE = Path(__file__).parent


def read(folder, name):
    with open(os.path.join(folder, name), "rb") as f:
        return f.read()


def envelope(folder):
    return Envelope.from_dict(json.loads(read(folder, ENVELOPE)))


def key(folder):
    raw = json.loads(read(folder, ENVELOPE))
    return SSlibKey.from_crypto(load_pem_public_key(read(folder, "signing.pub")), keyid=raw["signatures"][0]["keyid"])


def signature(folder):
    return base64.b64decode(json.loads(read(folder, ENVELOPE))["signatures"][0]["sig"])


def pae(kind, body):
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(body), body)


def flipped(text):
    """The same base64 with one bit of what it encodes changed."""
    raw = bytearray(base64.b64decode(text))
    raw[len(raw) // 2] ^= 1
    return base64.b64encode(bytes(raw)).decode()


def flipped_end(data):
    """The same bytes with one bit changed near their end, where a response has its signature."""
    return data[:-3] + bytes([data[-3] ^ 1]) + data[-2:]


class Bundles(unittest.TestCase):
    def test_the_signature_by_securesystemslib(self):
        for folder in BUNDLES:
            with self.subTest(folder):
                envelope(folder).verify([key(folder)], 1)
                raw = json.loads(read(folder, ENVELOPE))
                for change in ("payload", "sig"):
                    other = json.loads(json.dumps(raw))
                    place = other if change == "payload" else other["signatures"][0]
                    place[change] = flipped(place[change])
                    with self.assertRaises(VerificationError):
                        Envelope.from_dict(other).verify([key(folder)], 1)

    def openssl(self, folder, body, signature):
        public = load_pem_public_key(read(folder, "signing.pub"))
        with tempfile.TemporaryDirectory() as place:
            for name, data in (("pae", body), ("sig", signature)):
                with open(os.path.join(place, name), "wb") as f:
                    f.write(data)
            pub = os.path.join(os.path.abspath(folder), "signing.pub")
            if isinstance(public, Ed25519PublicKey):
                command = ["pkeyutl", "-verify", "-pubin", "-inkey", pub, "-rawin", "-in", "pae", "-sigfile", "sig"]
            else:
                command = ["dgst", "-sha256", "-verify", pub, "-signature", "sig", "pae"]
            return subprocess.run(["openssl", *command], cwd=place, capture_output=True).returncode

    def test_the_signature_by_openssl(self):
        for folder in BUNDLES:
            with self.subTest(folder):
                raw = json.loads(read(folder, ENVELOPE))
                body = pae(raw["payloadType"].encode(), base64.b64decode(raw["payload"]))
                signature = base64.b64decode(raw["signatures"][0]["sig"])
                self.assertEqual(self.openssl(folder, body, signature), 0)
                self.assertNotEqual(self.openssl(folder, body + b" ", signature), 0)

    def test_the_statement_by_in_toto_attestation(self):
        for folder in BUNDLES:
            with self.subTest(folder):
                said = json.loads(envelope(folder).payload)
                statement = Statement.copy_from_pb(ParseDict(said, Statement([], "x", {}).pb.__class__()))
                statement.validate()
                result = ParseDict(said["predicate"], test_result_pb2.TestResult())
                self.assertIn(result.result, ("PASSED", "WARNED", "FAILED"))
                self.assertTrue(result.configuration)
                here = set(os.listdir(folder)) - {ENVELOPE, SIGSTORE, TIMESTAMP, SEAL}
                self.assertEqual(here, {s["name"] for s in said["subject"]})
                for subject in said["subject"]:
                    digest = hashlib.sha256(read(folder, subject["name"])).hexdigest()
                    self.assertEqual(digest, subject["digest"]["sha256"], subject["name"])

    def test_the_journals_root_by_pymerkle_and_the_notes_signature(self):
        for folder in BUNDLES:
            with self.subTest(folder):
                note = read(folder, "checkpoint.txt").decode()
                body, _, signature = note.partition("\n\n")
                origin, size, root = body.split("\n")[:3]
                lines = read(folder, "journal.jsonl").splitlines()
                self.assertEqual(int(size), len(lines))
                tree = InmemoryTree(algorithm="sha256")
                for line in lines:
                    tree.append_entry(line)
                self.assertEqual(base64.b64encode(tree.get_root()).decode(), root)
                blob = base64.b64decode(signature.split(" ")[2])
                public = load_pem_public_key(read(folder, "checkpoint.pub"))
                name = hashlib.sha256(origin.encode() + b"\n\x01" + public.public_bytes_raw()).digest()[:4]
                self.assertEqual(blob[:4], name)
                public.verify(blob[4:], body.encode() + b"\n")
                with self.assertRaises(InvalidSignature):
                    public.verify(blob[4:], body.encode())

    def test_the_timestamp_by_rfc3161_client(self):
        for folder in STAMPED:
            with self.subTest(folder):
                answer = decode_timestamp_response(read(folder, TIMESTAMP))

                def verify(certificates, message):
                    roots = load_pem_x509_certificate(Path(certificates + ".root.pem").read_bytes())
                    return VerifierBuilder().add_root_certificate(roots).build().verify_message(answer, message)

                self.assertTrue(verify(folder, signature(folder)))
                with self.assertRaises(NotStamped):
                    verify(folder, signature(folder) + b" ")
                for other in STAMPED:
                    if other != folder:
                        with self.assertRaises(NotStamped):
                            verify(other, signature(folder))

    def test_the_timestamp_by_openssl(self):
        for folder in STAMPED:
            with self.subTest(folder), tempfile.TemporaryDirectory() as place:

                def verify(message, certificates=folder, answer=read(folder, TIMESTAMP)):
                    for name, data in (("sig", message), ("tsr", answer)):
                        Path(place, name).write_bytes(data)
                    root = os.path.abspath(certificates + ".root.pem")
                    command = ["openssl", "ts", "-verify", "-in", "tsr", "-data", "sig", "-CAfile", root]
                    return subprocess.run(command, cwd=place, capture_output=True).returncode

                self.assertEqual(verify(signature(folder)), 0)
                self.assertNotEqual(verify(signature(folder) + b" "), 0)
                self.assertNotEqual(verify(signature(folder), answer=flipped_end(read(folder, TIMESTAMP))), 0)
                for other in STAMPED:
                    if other != folder:
                        self.assertNotEqual(verify(signature(folder), certificates=other), 0)

    @unittest.skipUnless("REDRILL_NODE_MODULES" in os.environ, "no sigstore-js")
    def test_the_sigstore_bundle_by_sigstore_js(self):
        # sigstore-js knows authorities with ECDSA keys only
        for folder in [f for f in STAMPED if "rsa" not in os.path.basename(f)]:
            with self.subTest(folder), tempfile.TemporaryDirectory() as place:

                def verify(bundle, key=folder, certificates=folder):
                    changed = os.path.join(place, "bundle.json")
                    Path(changed).write_text(json.dumps(bundle))
                    trusted = [f"{certificates}.tsa.pem", f"{certificates}.root.pem"]
                    command = ["node", HERE / "sigstore_bundle.mjs", changed, f"{key}/signing.pub", *trusted]
                    done = subprocess.run(command, capture_output=True, text=True)
                    return done.returncode, done.stdout.strip()

                good = json.loads(read(folder, SIGSTORE))
                self.assertEqual(verify(good), (0, "https://in-toto.io/attestation/test-result/v0.1"))
                others = [other for other in STAMPED if other != folder]
                other = json.loads(read(others[0], SIGSTORE))["verificationMaterial"]
                bare = json.loads(json.dumps(good))
                del bare["verificationMaterial"]["timestampVerificationData"]
                payload = json.loads(json.dumps(good))
                payload["dsseEnvelope"]["payload"] = flipped(payload["dsseEnvelope"]["payload"])
                for changed, why in (
                    (good | {"verificationMaterial": other}, "TIMESTAMP_ERROR"),
                    (bare, "TIMESTAMP_ERROR"),
                    (payload, "SIGNATURE_ERROR"),
                ):
                    code, said = verify(changed)
                    self.assertEqual(code, 1, said)
                    self.assertIn(why, said)
                self.assertIn("TIMESTAMP_ERROR", verify(good, certificates=others[0])[1])
                self.assertIn("SIGNATURE_ERROR", verify(good, key=others[0])[1])

    def test_the_commands_of_verify_md(self):
        """Every shell block of VERIFY.md but those of tools that may not be here."""
        for folder in BUNDLES:
            with self.subTest(folder), tempfile.TemporaryDirectory() as place:
                copy = os.path.join(place, "bundle")
                shutil.copytree(folder, copy)
                page = read(copy, "VERIFY.md").decode()
                blocks = [b.split("```")[0] for b in page.split("```sh\n")[1:]]
                blocks = [b for b in blocks if not b.startswith(("cosign", "redrill"))]
                stamped = folder in STAMPED
                self.assertEqual(len(blocks), 5 if stamped else 3)

                def run(block, authority=folder):
                    environ = os.environ | {"AUTHORITY": os.path.abspath(f"{authority}.root.pem"), "CHECK": place}
                    command = ["sh", "-e", "-c", block]
                    return subprocess.run(command, cwd=copy, env=environ, capture_output=True, text=True)

                for block in blocks:
                    done = run(block)
                    self.assertEqual(done.returncode, 0, block + done.stderr)
                # the same commands refuse what differs
                with open(os.path.join(copy, "drill.yaml"), "ab") as f:
                    f.write(b"#")
                files = next(b for b in blocks if "files as signed" in b)
                self.assertNotEqual(run(files).returncode, 0)
                if stamped:
                    (signed, time, seal) = blocks[:3]
                    self.assertEqual(run(signed).returncode, 0)
                    self.assertIn("Time stamp: ", run(time).stdout)
                    other = next(other for other in STAMPED if other != folder)
                    self.assertNotEqual(run(time, authority=other).returncode, 0)
                    shutil.copy(os.path.join(other, TIMESTAMP), copy)
                    self.assertNotEqual(run(time).returncode, 0)
                    self.assertNotEqual(run(seal).returncode, 0)


if __name__ == "__main__":
    if "REDRILL_NODE_MODULES" not in os.environ:
        print("SKIPPED: no npm packages: no Sigstore bundle was checked by sigstore-js", flush=True)
    unittest.main(argv=sys.argv[:1])
