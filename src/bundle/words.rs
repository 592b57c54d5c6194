//! `VERIFY.md`: how to check a bundle with tools that are not redrill. Pure.

use crate::evidence::Record;
use crate::evidence::checkpoint::{origin, verifier_key};
use crate::evidence::keys::{Algorithm, PublicKey};
use crate::evidence::statement::TEST_RESULT;
use crate::report::{clean, world_line};

/// The page.
pub(super) fn verify_md(record: &Record, key: &PublicKey, checkpoints: Option<&PublicKey>) -> String {
    let run = clean(record.identity.run.as_str());
    let world = world_line(record.scope.world, record.scope.endpoint_doubt.as_deref())
        .map(|w| format!("\n**{w}**\n"))
        .unwrap_or_default();
    let checkpoints = match checkpoints {
        None => "There are none: no checkpoint was taken while the run went on.".to_owned(),
        Some(key) => format!(
            "`checkpoints.txt` holds signed notes (C2SP `tlog-checkpoint`) that were taken while the run went on;
`checkpoint.txt` is the last. Each gives the number of journal lines and their RFC 6962 root; the key is
in `checkpoint.pub`. A verifier of signed notes wants it in this form:

```
{}
```",
            verifier_key(&origin(&run), key)
        ),
    };
    let proven = record.integrity.reconciliation.as_ref().is_some_and(|r| r["standing"] == "proven");
    let trail = if proven { include_str!("trail_check/VERIFY.md") } else { "" };
    let openssl = match key.algorithm() {
        Algorithm::Ed25519 => {
            "pkeyutl -verify -pubin -inkey signing.pub -rawin -in \"$CHECK/pae\" -sigfile \"$CHECK/sig\""
        }
        Algorithm::P256 => "dgst -sha256 -verify signing.pub -signature \"$CHECK/sig\" \"$CHECK/pae\"",
    };
    let authority = record.integrity.timestamp_authority.as_deref();
    let timestamp = authority.map(|url| timestamp(&clean(url), openssl)).unwrap_or_default();
    let late = if authority.is_some() { ", 'timestamp.tsr', 'seal.dsse.json'" } else { "" };
    let subjects = if authority.is_some() {
        "every other file but `timestamp.tsr` and `seal.dsse.json`"
    } else {
        "every other file"
    };
    format!(
        "# How to check this bundle

Run `{run}`, drill `{drill}`.
{world}
The statement in `attestation.dsse.json` names {subjects} with its SHA-256 and is signed by the
key in `signing.pub`, fingerprint `{fingerprint}`.
Compare the fingerprint with one that you got another way: the key beside a signature shows that nothing
was changed since signing, not who signed.

Run these commands inside this folder. None of them needs redrill.

## The signature, with openssl (3.0 or later)

```sh
export CHECK=\"${{CHECK:-$(mktemp -d)}}\"
python3 - <<'END'
import base64, json, os
e = json.load(open('attestation.dsse.json'))
assert json.load(open('attestation.sigstore.json'))['dsseEnvelope'] == e, 'two envelopes'
body, kind = base64.b64decode(e['payload']), e['payloadType'].encode()
open(os.environ['CHECK'] + '/pae', 'wb').write(b'DSSEv1 %d %s %d %s' % (len(kind), kind, len(body), body))
open(os.environ['CHECK'] + '/sig', 'wb').write(base64.b64decode(e['signatures'][0]['sig']))
END
openssl {openssl}
```
{timestamp}
## The files, with python

```sh
python3 - <<'END'
import base64, hashlib, json, os
e = json.load(open('attestation.dsse.json'))
statement = json.loads(base64.b64decode(e['payload']))
named = {{s['name']: s['digest']['sha256'] for s in statement['subject']}}
here = set(os.listdir('.')) - {{'attestation.dsse.json', 'attestation.sigstore.json'{late}}}
assert here == set(named), here ^ set(named)
for name, want in named.items():
    assert hashlib.sha256(open(name, 'rb').read()).hexdigest() == want, name
print(len(named), 'files as signed:', statement['predicate']['result'])
END
```

## Signature and one file, with cosign

```sh
cosign verify-blob-attestation --key signing.pub --bundle attestation.sigstore.json \\
  --type {TEST_RESULT} --insecure-ignore-tlog report.json
```

## The journal's chain, with python

Each line of `journal.jsonl` carries the SHA-256 of the line before it.

```sh
python3 - <<'END'
import hashlib, json
prev = '0' * 64
for number, line in enumerate(open('journal.jsonl', 'rb').read().splitlines()):
    entry = json.loads(line)
    assert entry['seq'] == number and entry['prev'] == prev, number
    prev = hashlib.sha256(line).hexdigest()
print(number + 1, 'lines in an unbroken chain')
END
```

## The checkpoints

{checkpoints}
{trail}
## All of it, with redrill

```sh
redrill verify .
```

With `--fingerprint` it also checks who signed: give the fingerprint that you got from the signer.
",
        drill = clean(&record.identity.drill),
        fingerprint = key.fingerprint(),
    )
}

/// How to check the timestamp, and the seal over it.
fn timestamp(url: &str, openssl: &str) -> String {
    format!(
        "
## The time, with openssl

`timestamp.tsr` is the answer (RFC 3161) of the timestamp authority {url} to the signature. Get the
certificate that it is issued under from the authority itself, and name its file (PEM) in `AUTHORITY`.
This takes the signature from the folder `$CHECK`, where the commands above put it.

```sh
openssl ts -verify -in timestamp.tsr -data \"$CHECK/sig\" -CAfile \"$AUTHORITY\"
openssl ts -reply -in timestamp.tsr -text | grep 'Time stamp'
```

`seal.dsse.json` is a second statement by the same key. It names the bytes of `timestamp.tsr` and of the
signed statement, so that neither can be exchanged.

```sh
python3 - <<'END'
import base64, hashlib, json, os
e = json.load(open('seal.dsse.json'))
body, kind = base64.b64decode(e['payload']), e['payloadType'].encode()
open(os.environ['CHECK'] + '/pae', 'wb').write(b'DSSEv1 %d %s %d %s' % (len(kind), kind, len(body), body))
open(os.environ['CHECK'] + '/sig', 'wb').write(base64.b64decode(e['signatures'][0]['sig']))
named = {{s['name']: s['digest']['sha256'] for s in json.loads(body)['subject']}}
assert set(named) == {{'attestation.dsse.json', 'timestamp.tsr'}}, named
for name, want in named.items():
    assert hashlib.sha256(open(name, 'rb').read()).hexdigest() == want, name
END
openssl {openssl}
```
"
    )
}
