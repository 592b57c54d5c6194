// Holds a bundle's Sigstore file against its key and a timestamp authority, with the library of
// sigstore-js: node sigstore_bundle.mjs BUNDLE.json KEY.pub AUTHORITY.pem ROOT.pem
// Prints the statement's kind; exit code 1 where anything does not hold.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

const require = createRequire(join(process.env.REDRILL_NODE_MODULES, "here.js"));
const { bundleFromJSON } = require("@sigstore/bundle");
const { X509Certificate, crypto } = require("@sigstore/core");
const { Verifier, toSignedEntity } = require("@sigstore/verify");

const [file, key, ...certificates] = process.argv.slice(2);
try {
  const bundle = bundleFromJSON(JSON.parse(readFileSync(file, "utf8")));
  const always = { start: new Date(0), end: new Date(8640000000000000) };
  const certChain = certificates.map((c) => X509Certificate.parse(readFileSync(c, "utf8")));
  const trust = {
    certificateAuthorities: [],
    ctlogs: [],
    tlogs: [],
    timestampAuthorities: [{ certChain, validFor: always }],
    publicKey: () => ({ publicKey: crypto.createPublicKey(readFileSync(key, "utf8")), validFor: () => true }),
  };
  const verifier = new Verifier(trust, { ctlogThreshold: 0, tlogThreshold: 0, timestampThreshold: 1 });
  verifier.verify(toSignedEntity(bundle));
  console.log(JSON.parse(bundle.content.dsseEnvelope.payload.toString()).predicateType);
} catch (error) {
  console.log(`${error.code ?? error.name}: ${error.message}`);
  process.exit(1);
}
