"""What keeps evidence: S3 Object Lock and checksums, and signing keys of KMS."""

import base64
import hashlib
import json
from datetime import datetime, timezone

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from moto.core.exceptions import JsonRESTError
from moto.kms.models import KmsBackend
from moto.kms.responses import KmsResponse
from moto.kms.utils import ECDSAPrivateKey
from moto.s3.exceptions import (
    AccessDeniedByLock, InvalidArgumentError, InvalidBucketState, S3AccessDeniedError, S3ClientError,
)
from moto.s3.models import S3Backend
from moto.s3.responses import S3Response

HASHES = {"ECDSA_SHA_256": hashes.SHA256(), "ECDSA_SHA_384": hashes.SHA384(), "ECDSA_SHA_512": hashes.SHA512()}


def moment(text):
    """A retain-until date as a time; None where there is none."""
    return datetime.fromisoformat(text.replace("Z", "+00:00")) if text else None


def patch_s3():
    """Checksums are compared, locks in compliance mode hold, and a bucket belongs to its owner."""
    cls, backend = S3Response, S3Backend
    put, on_bucket, on_key = cls.put_object, cls._bucket_response, cls._key_response
    retain, set_versioning = backend.put_object_retention, backend.put_bucket_versioning

    def owned(self, request, full_url):
        owner = request.headers.get("x-amz-expected-bucket-owner")
        name = self.parse_bucket_name_from_url(request, full_url)
        if owner and name and self.backend.get_bucket(name).account_id != owner:
            raise S3AccessDeniedError()

    def bucket_response(self, request, full_url):
        owned(self, request, full_url)
        return on_bucket(self, request, full_url)

    def key_response(self, request, full_url):
        owned(self, request, full_url)
        return on_key(self, request, full_url)

    def put_object(self):
        claimed = self.headers.get("x-amz-checksum-sha256")
        body = self.body.encode() if isinstance(self.body, str) else self.body or b""
        if claimed and claimed != base64.b64encode(hashlib.sha256(body).digest()).decode():
            raise S3ClientError("BadDigest", "The SHA256 you specified did not match the calculated checksum.")
        until = self.headers.get("x-amz-object-lock-retain-until-date")
        if until and moment(until) <= datetime.now(timezone.utc):
            name = "x-amz-object-lock-retain-until-date"
            raise InvalidArgumentError("The retain until date must be in the future!", name, until)
        return put(self)

    def put_object_retention(self, bucket_name, key_name, version_id, retention):
        key = self.get_object(bucket_name, key_name, version_id=version_id)
        if key is not None and key.lock_mode == "COMPLIANCE" and moment(key.lock_until) > datetime.now(timezone.utc):
            mode, until = retention
            if mode != "COMPLIANCE" or not until or moment(until) < moment(key.lock_until):
                raise AccessDeniedByLock
        return retain(self, bucket_name, key_name, version_id=version_id, retention=retention)

    def put_bucket_versioning(self, bucket_name, status):
        if status != "Enabled" and self.get_bucket(bucket_name).object_lock_enabled:
            raise InvalidBucketState(
                "An Object Lock configuration is present on this bucket, so the versioning state cannot be changed."
            )
        return set_versioning(self, bucket_name, status)

    cls.put_object, cls._bucket_response, cls._key_response = put_object, bucket_response, key_response
    backend.put_object_retention, backend.put_bucket_versioning = put_object_retention, put_bucket_versioning


def patch_kms():
    """A digest is signed as it is, and only an enabled key of the right kind signs."""
    cls, backend = KmsResponse, KmsBackend
    sign_call, verify_call, key_call = cls.sign, cls.verify, cls.get_public_key
    sign_key, verify_key = ECDSAPrivateKey.sign, ECDSAPrivateKey.verify
    sign, public, disable, enable = backend.sign, backend.get_public_key, backend.disable_key, backend.enable_key
    # calls come one at a time: the emulator holds its lock
    digest = {"given": False}

    def with_digest(call):
        def answer(self):
            digest["given"] = self._get_param("MessageType") == "DIGEST"
            try:
                return call(self)
            finally:
                digest["given"] = False

        return answer

    def algorithm(message, name):
        if len(message) != HASHES[name].digest_size:
            raise JsonRESTError("ValidationException", f"Digest is invalid length for algorithm {name}.")
        return ec.ECDSA(Prehashed(HASHES[name]))

    def sign_with(self, message, signing_algorithm):
        if not digest["given"] or signing_algorithm not in self.valid_signing_algorithms:
            return sign_key(self, message, signing_algorithm)
        return self.private_key.sign(message, algorithm(message, signing_algorithm))

    def verify_with(self, message, signature, signing_algorithm):
        if not digest["given"] or signing_algorithm not in self.valid_signing_algorithms:
            return verify_key(self, message, signature, signing_algorithm)
        try:
            self.private_key.public_key().verify(signature, message, algorithm(message, signing_algorithm))
            return True
        except Exception:  # cryptography has one kind only for "does not fit"
            return False

    def usable(self, key_id):
        key = self.describe_key(key_id)
        if key.key_state == "Disabled":
            raise JsonRESTError("DisabledException", f"{key.arn} is disabled.")
        if key.key_state != "Enabled":
            raise JsonRESTError("KMSInvalidStateException", f"{key.arn} is pending deletion.")
        return key

    def sign_if(self, key_id, message, signing_algorithm):
        usable(self, key_id)
        return sign(self, key_id, message, signing_algorithm)

    def public_if(self, key_id):
        if usable(self, key_id).key_spec == "SYMMETRIC_DEFAULT":
            raise JsonRESTError("UnsupportedOperationException", "A symmetric key has no public half.")
        return public(self, key_id)

    def get_public_key(self):
        answer = json.loads(key_call(self))
        answer["KeyId"] = self.kms_backend.describe_key(self._get_param("KeyId")).arn
        return json.dumps({**answer, "KeySpec": answer["CustomerMasterKeySpec"]})

    cls.sign, cls.verify, cls.get_public_key = with_digest(sign_call), with_digest(verify_call), get_public_key
    ECDSAPrivateKey.sign, ECDSAPrivateKey.verify = sign_with, verify_with
    backend.sign, backend.get_public_key = sign_if, public_if
    # with an ARN, as everywhere else
    backend.disable_key = lambda self, key_id: disable(self, self.get_key_id(key_id))
    backend.enable_key = lambda self, key_id: enable(self, self.get_key_id(key_id))


def patch(_pace):
    """Applies all of it."""
    patch_s3()
    patch_kms()
