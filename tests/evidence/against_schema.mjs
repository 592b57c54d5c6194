// Holds JSON files against a JSON schema: node against_schema.mjs SCHEMA FILE…
// One line a file, "valid" or what is wrong; exit code 1 where any is not valid.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

const require = createRequire(join(process.env.REDRILL_NODE_MODULES, "here.js"));
const Ajv = require("ajv").default;
const formats = require("ajv-formats").default;

const [schema, ...files] = process.argv.slice(2);
const ajv = new Ajv({ allErrors: true, strict: false, unicodeRegExp: true });
formats(ajv);
const validate = ajv.compile(JSON.parse(readFileSync(schema, "utf8")));
let bad = 0;
for (const file of files) {
  if (validate(JSON.parse(readFileSync(file, "utf8")))) {
    console.log(`${file}: valid`);
  } else {
    bad = 1;
    const first = validate.errors.slice(0, 5).map((e) => `${e.instancePath} ${e.message}`);
    console.log(`${file}: ${first.join("; ")}`);
  }
}
process.exit(bad);
