"""What keeps evidence: Object Lock, checksums, KMS. Each correction has a test, over the wire with boto3."""

import base64
import hashlib
import unittest
from datetime import datetime, timezone

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_public_key
from test_support import Case

BUCKET, KEY, BODY = "evidence-123456789012", "run/report.json", b'{"a":1}'
UNTIL, EARLIER = datetime(2099, 1, 1, tzinfo=timezone.utc), datetime(2098, 1, 1, tzinfo=timezone.utc)


def sha256(body):
    """As S3 writes it."""
    return base64.b64encode(hashlib.sha256(body).digest()).decode()


class Locks(Case):
    """S3 Object Lock in compliance mode."""

    def setUp(self):
        super().setUp()
        self.s3.create_bucket(Bucket=BUCKET, ObjectLockEnabledForBucket=True)
        self.version = self.put()["VersionId"]

    def put(self, until=UNTIL, checksum=None, bucket=BUCKET):
        """A locked object."""
        return self.s3.put_object(
            Bucket=bucket, Key=KEY, Body=BODY, ChecksumAlgorithm="SHA256", ChecksumSHA256=checksum or sha256(BODY),
            ObjectLockMode="COMPLIANCE", ObjectLockRetainUntilDate=until)

    def test_what_is_locked_is_told(self):
        found = self.s3.head_object(Bucket=BUCKET, Key=KEY, VersionId=self.version, ChecksumMode="ENABLED")
        self.assertEqual((found["ObjectLockMode"], found["ObjectLockRetainUntilDate"]), ("COMPLIANCE", UNTIL))
        self.assertEqual((found["ChecksumSHA256"], found["VersionId"]), (sha256(BODY), self.version))

    def test_a_body_with_another_checksum_is_refused(self):
        self.refused("BadDigest", self.put, checksum=sha256(b"other"))
        self.assertEqual(len(self.s3.list_object_versions(Bucket=BUCKET)["Versions"]), 1)

    def test_a_locked_version_stays(self):
        for bypass in (False, True):
            self.refused("AccessDenied", self.s3.delete_object, Bucket=BUCKET, Key=KEY, VersionId=self.version,
                         BypassGovernanceRetention=bypass)
        self.s3.delete_object(Bucket=BUCKET, Key=KEY)  # only a marker on top
        self.s3.head_object(Bucket=BUCKET, Key=KEY, VersionId=self.version)

    def test_a_lock_is_only_ever_made_longer(self):
        def retain(mode, until):
            self.s3.put_object_retention(Bucket=BUCKET, Key=KEY, VersionId=self.version,
                                         Retention={"Mode": mode, "RetainUntilDate": until})

        self.refused("AccessDenied", retain, mode="COMPLIANCE", until=EARLIER)
        self.refused("AccessDenied", retain, mode="GOVERNANCE", until=UNTIL)
        retain("COMPLIANCE", datetime(2100, 1, 1, tzinfo=timezone.utc))

    def test_what_cannot_be_locked_is_refused(self):
        self.refused("InvalidArgument", self.put, until=datetime(2020, 1, 1, tzinfo=timezone.utc))
        self.refused("InvalidRequest", self.put, bucket="shop-assets-123456789012")
        self.refused("InvalidBucketState", self.s3.put_bucket_versioning, Bucket=BUCKET,
                     VersioningConfiguration={"Status": "Suspended"})

    def test_a_bucket_belongs_to_its_owner(self):
        for call, more in ((self.s3.get_bucket_versioning, {}), (self.s3.list_object_versions, {}),
                           (self.s3.put_object, {"Key": KEY, "Body": BODY})):
            call(Bucket=BUCKET, ExpectedBucketOwner="123456789012", **more)
            self.refused("AccessDenied", call, Bucket=BUCKET, ExpectedBucketOwner="999999999999", **more)


class Keys(Case):
    """Asymmetric keys of KMS."""

    def setUp(self):
        super().setUp()
        self.kms = self.emulator.client("kms")
        self.key = self.made("ECC_NIST_P256")

    def made(self, spec, usage="SIGN_VERIFY"):
        """A new key's ARN."""
        return self.kms.create_key(KeySpec=spec, KeyUsage=usage)["KeyMetadata"]["Arn"]

    def sign(self, message, kind, key=None):
        """A signature."""
        return self.kms.sign(KeyId=key or self.key, Message=message, MessageType=kind,
                             SigningAlgorithm="ECDSA_SHA_256")["Signature"]

    def test_a_digest_is_signed_as_it_is(self):
        public = load_der_public_key(self.kms.get_public_key(KeyId=self.key)["PublicKey"])
        digest = hashlib.sha256(BODY).digest()
        for signature in (self.sign(digest, "DIGEST"), self.sign(BODY, "RAW")):
            public.verify(signature, BODY, ec.ECDSA(hashes.SHA256()))
            for message, kind in ((digest, "DIGEST"), (BODY, "RAW")):
                answer = self.kms.verify(KeyId=self.key, Message=message, MessageType=kind, Signature=signature,
                                         SigningAlgorithm="ECDSA_SHA_256")
                self.assertTrue(answer["SignatureValid"])
        with self.assertRaises(InvalidSignature):
            public.verify(self.sign(digest, "RAW"), BODY, ec.ECDSA(hashes.SHA256()))
        self.refused("ValidationException", self.sign, message=b"short", kind="DIGEST")

    def test_a_public_key_says_what_it_is_of(self):
        found = self.kms.get_public_key(KeyId=self.key)
        self.assertEqual((found["KeyId"], found["KeySpec"], found["KeyUsage"]),
                         (self.key, "ECC_NIST_P256", "SIGN_VERIFY"))
        self.refused("UnsupportedOperationException", self.kms.get_public_key,
                     KeyId=self.made("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT"))
        self.refused("NotFoundException", self.kms.get_public_key,
                     KeyId="arn:aws:kms:us-east-1:123456789012:key/00000000-0000-0000-0000-000000000000")

    def test_a_disabled_key_does_nothing(self):
        self.kms.disable_key(KeyId=self.key)
        self.refused("DisabledException", self.kms.get_public_key, KeyId=self.key)
        self.refused("DisabledException", self.sign, message=bytes(32), kind="DIGEST")
        self.kms.enable_key(KeyId=self.key)
        self.sign(bytes(32), "DIGEST")
        self.kms.schedule_key_deletion(KeyId=self.key.rsplit("/", 1)[1], PendingWindowInDays=7)
        self.refused("KMSInvalidStateException", self.sign, message=bytes(32), kind="DIGEST")


if __name__ == "__main__":
    unittest.main()
