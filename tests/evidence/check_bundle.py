"""Checks evidence bundles with tools that redrill did not write.

Takes folders of bundles. The signature by securesystemslib and by openssl, the statement by
in-toto-attestation, the journal's root by pymerkle, the checkpoint's signature by cryptography.
Each check is also shown a bundle in which one byte differs, and must refuse it.
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

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from google.protobuf.json_format import ParseDict
from in_toto_attestation.predicates.test_result.v0 import test_result_pb2
from in_toto_attestation.v1.statement import Statement
from pymerkle import InmemoryTree
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import SSlibKey

BUNDLES = os.environ["BUNDLES"].split(os.pathsep)
ENVELOPE = "attestation.dsse.json"


def read(folder, name):
    with open(os.path.join(folder, name), "rb") as f:
        return f.read()


def envelope(folder):
    return Envelope.from_dict(json.loads(read(folder, ENVELOPE)))


def key(folder):
    raw = json.loads(read(folder, ENVELOPE))
    return SSlibKey.from_crypto(load_pem_public_key(read(folder, "signing.pub")), keyid=raw["signatures"][0]["keyid"])


def pae(kind, body):
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(body), body)


def flipped(text):
    """The same base64 with one bit of what it encodes changed."""
    raw = bytearray(base64.b64decode(text))
    raw[len(raw) // 2] ^= 1
    return base64.b64encode(bytes(raw)).decode()


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
                here = set(os.listdir(folder)) - {ENVELOPE, "attestation.sigstore.json"}
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

    def test_the_commands_of_verify_md(self):
        """Every shell block of VERIFY.md but those of tools that may not be here."""
        for folder in BUNDLES:
            with self.subTest(folder), tempfile.TemporaryDirectory() as place:
                copy = os.path.join(place, "bundle")
                shutil.copytree(folder, copy)
                page = read(copy, "VERIFY.md").decode()
                blocks = [b.split("```")[0] for b in page.split("```sh\n")[1:]]
                ran = 0
                for block in blocks:
                    if block.startswith(("cosign", "redrill")):
                        continue
                    done = subprocess.run(["sh", "-e", "-c", block], cwd=copy, capture_output=True, text=True)
                    self.assertEqual(done.returncode, 0, block + done.stderr)
                    ran += 1
                self.assertEqual(ran, 3)
                # the same commands refuse a file that differs
                with open(os.path.join(copy, "drill.yaml"), "ab") as f:
                    f.write(b"#")
                done = subprocess.run(["sh", "-e", "-c", blocks[1]], cwd=copy, capture_output=True)
                self.assertNotEqual(done.returncode, 0)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
