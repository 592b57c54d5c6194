//! Keys of AWS KMS, without AWS: a service in memory that signs, refuses and lies.

use async_trait::async_trait;

use super::*;
use crate::cloud::CloudResult;
use crate::cloud::custody::KmsKey;

const ARN: &str = "arn:aws:kms:eu-west-1:123456789012:key/1234abcd";

/// What the service says of its key, and how it signs.
struct Memory {
    key: Result<KmsKey, CloudError>,
    signature: Vec<u8>,
}

#[async_trait]
impl Kms for Memory {
    async fn public_key(&self, key: &str) -> CloudResult<KmsKey> {
        assert_eq!(key, ARN);
        self.key.clone()
    }

    async fn sign(&self, _key: &str, digest: &[u8; 32]) -> CloudResult<Vec<u8>> {
        assert_eq!(*digest, sha256(b"message"), "the digest, and nothing else, leaves");
        Ok(self.signature.clone())
    }
}

fn described(spec: &str, usage: &str, public: &PublicKey) -> KmsKey {
    KmsKey { spec: spec.to_owned(), usage: usage.to_owned(), der: public.to_der() }
}

fn open(key: Result<KmsKey, CloudError>, signature: Vec<u8>) -> Result<Signer, CliError> {
    Signer::in_kms(Arc::new(Memory { key, signature }), ARN, runtime().unwrap())
}

#[test]
fn a_signature_of_aws_kms_is_kept_only_if_it_fits() {
    let key = PrivateKey::generate(Algorithm::P256).unwrap();
    let good = || Ok(described(SPEC, USAGE, &key.public()));
    let signature = key.sign(b"message").unwrap();
    let signer = open(good(), signature.clone()).unwrap();
    assert_eq!(signer.public(), &key.public());
    assert_eq!(signer.sign(b"message").unwrap(), signature);
    let other = PrivateKey::generate(Algorithm::P256).unwrap().sign(b"message").unwrap();
    let double = key.sign(&sha256(b"message")).unwrap();
    for (what, signature) in [("another key's", other), ("of the digest's digest", double), ("none", vec![])]
    {
        let error = open(good(), signature).unwrap().sign(b"message").unwrap_err();
        assert!(error.text().contains("does not fit key SHA256:"), "{what}: {}", error.text());
    }
}

#[test]
fn a_key_of_another_kind_is_refused_by_its_name() {
    let p256 = PrivateKey::generate(Algorithm::P256).unwrap().public();
    let ed25519 = PrivateKey::generate(Algorithm::Ed25519).unwrap().public();
    for (spec, usage, public) in [
        ("RSA_2048", USAGE, &p256),
        ("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT", &p256),
        (SPEC, "KEY_AGREEMENT", &p256),
        ("ECC_NIST_EDWARDS25519", USAGE, &ed25519),
        (SPEC, USAGE, &ed25519),
    ] {
        let error = open(Ok(described(spec, usage, public)), vec![]).err().unwrap();
        let says =
            format!("is a key {spec} for {usage}; what signs bundles is ECC_NIST_P256 for SIGN_VERIFY");
        assert!(error.exit_code() == 2 && error.text().contains(&says), "{}", error.text());
    }
}

#[test]
fn what_aws_kms_refuses_says_what_to_type() {
    let failed = |kind, code: &str| {
        let error = CloudError::new("kms:GetPublicKey", kind, "no").code(code);
        let error = open(Err(error), vec![]).err().unwrap();
        (error.exit_code(), error.text())
    };
    for (kind, code, exit, says) in [
        (ErrorKind::Denied, "AccessDeniedException", 5, "allow kms:GetPublicKey and kms:Sign"),
        (ErrorKind::NotFound, "NotFoundException", 2, "there is no key arn:aws:kms:eu-west-1:"),
        (ErrorKind::Other, "DisabledException", 5, "aws kms enable-key --key-id arn:aws:kms:eu-west-1:"),
        (ErrorKind::Other, "KMSInvalidStateException", 5, "aws kms describe-key"),
        (ErrorKind::State, "UnsupportedOperationException", 2, "--key-spec ECC_NIST_P256"),
    ] {
        let (code, text) = failed(kind, code);
        assert!(code == exit && text.contains(says), "{code}: {text}");
    }
}

#[test]
fn an_arn_names_a_key_or_an_alias() {
    let read = |text: &str| KeyName::read(text);
    assert!(matches!(read(ARN), Ok(KeyName::Kms(a)) if a.region == "eu-west-1" && a.text == ARN));
    assert!(matches!(read("arn:aws-cn:kms:cn-north-1:123456789012:alias/drills"), Ok(KeyName::Kms(_))));
    assert!(matches!(read("keys/a.pem"), Ok(KeyName::File(_))));
    for wrong in [
        "arn:aws:kms:eu-west-1:123456789012:key/",
        "arn:aws:kms::123456789012:key/k",
        "arn:aws:kms:eu-west-1:123456789012:k",
        "arn:aws:s3:::bucket/key",
        "arn:aws:kms:eu-west-1:12345:key/k",
    ] {
        assert!(read(wrong).is_err_and(|e| e.exit_code() == 2), "{wrong}");
    }
}
