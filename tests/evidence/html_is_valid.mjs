// Every report.html in the folders below the one that is named, read by html-validate.
//
//   REDRILL_NODE_MODULES=… node html_is_valid.mjs FOLDER
//
// The packages of package.json lie in the folder that REDRILL_NODE_MODULES names. Before anything else the
// checker is shown pages that it must refuse.
import { readFileSync, readdirSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

const require = createRequire(join(process.env.REDRILL_NODE_MODULES, "package.json"));
const { HtmlValidate } = require("html-validate");

const checker = new HtmlValidate({
  root: true,
  extends: ["html-validate:recommended", "html-validate:document"],
  rules: {
    // the page is one file and carries its style
    "require-csp-nonce": "off",
    // `role=group` on the frame of a wide table, so that a keyboard can scroll it
    "prefer-native-element": ["error", { exclude: ["group"] }],
    "long-title": "off",
  },
});

async function problems(html) {
  const report = await checker.validateString(html);
  return report.results.flatMap((r) => r.messages).map((m) => `${m.line}:${m.column} ${m.ruleId}: ${m.message}`);
}

let passed = 0;
let failed = 0;
function check(name, found) {
  if (found.length === 0) {
    passed += 1;
  } else {
    failed += 1;
    console.log(`FAIL ${name}`);
    for (const line of found.slice(0, 20)) console.log(`  ${line}`);
  }
}

const page = (body, head = "<title>t</title>") => `<!DOCTYPE html>\n<html lang="en">\n<head>\n${head}\n</head>\n<body>\n${body}\n</body>\n</html>\n`;
check("a good page", await problems(page("<h1>fine</h1>")));
const bad = {
  "an element that is never closed": page("<h1>one</h1><div><p>two</div>"),
  "an id twice": page('<h1 id="a">one</h1><p id="a">two</p>'),
  "no title": page("<h1>one</h1>", ""),
  "a table row outside a table": page("<h1>one</h1><tr><td>two</td></tr>"),
  "a label for nothing": page('<h1>one</h1><table aria-labelledby="nothing"><tr><td>x</td></tr></table>'),
  "text that became markup": page("<h1>one</h1><p>a < b & <evil x=1></p>"),
};
for (const [name, html] of Object.entries(bad)) {
  check(`refuses ${name}`, (await problems(html)).length > 0 ? [] : ["it goes unnoticed"]);
}

const folder = process.argv[2];
const reports = readdirSync(folder).sort().map((name) => join(folder, name, "report.html"));
check("there are reports", reports.length >= 10 ? [] : [`${reports.length} in ${folder}`]);
for (const file of reports) check(file, await problems(readFileSync(file, "utf8")));
console.log(`test result: ${failed ? "FAILED" : "ok"}. ${passed} passed; ${failed} failed;`);
process.exit(failed ? 1 : 0);
