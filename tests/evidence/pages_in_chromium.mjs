// Every report.html in the folders below the one that is named, opened in a headless Chromium without a
// network: nothing is asked for, nothing fails, nothing is wider than a phone or a screen, light or dark;
// axe finds nothing; printed, it has a sane number of pages. Screenshots go to the second folder.
//
//   REDRILL_NODE_MODULES=… node pages_in_chromium.mjs FOLDER SCREENSHOTS
//
// CHROMIUM names the browser (`chromium` if left out). Before anything else the browser is shown pages
// with exactly these faults, each of which must be noticed.
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const require = createRequire(join(process.env.REDRILL_NODE_MODULES, "package.json"));
const puppeteer = require("puppeteer-core");
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

const [folder, shots] = process.argv.slice(2);
const WIDTHS = [375, 1280];
const SCHEMES = ["light", "dark"];

const scratch = mkdtempSync(join(tmpdir(), "redrill-pages-"));
const browser = await puppeteer.launch({
  executablePath: process.env.CHROMIUM || "/usr/bin/chromium",
  userDataDir: join(scratch, "profile"),
  // the root of a container has no sandbox of its own; what is opened is our own page
  args: ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--host-resolver-rules=MAP * ~NOTFOUND"],
});

// What is wrong with a page, a sentence each.
async function faults(file, name) {
  const found = [];
  const url = pathToFileURL(file).href;
  for (const scheme of SCHEMES) {
    for (const width of WIDTHS) {
      const at = `${width} px, ${scheme}`;
      const page = await browser.newPage();
      page.on("console", (m) => found.push(`${at}: console ${m.type()}: ${m.text()}`));
      page.on("pageerror", (e) => found.push(`${at}: script error: ${e.message}`));
      page.on("request", (r) => {
        if (r.url() !== url && !r.url().startsWith("data:")) found.push(`${at}: asks for ${r.url()}`);
      });
      page.on("requestfailed", (r) => found.push(`${at}: failed: ${r.url()}`));
      await page.setViewport({ width, height: 900 });
      await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: scheme }]);
      await page.goto(url, { waitUntil: "load" });
      const wide = await page.evaluate(() => {
        const root = document.documentElement;
        return root.scrollWidth > root.clientWidth ? root.scrollWidth : 0;
      });
      if (wide) found.push(`${at}: ${wide} px wide`);
      if (shots && name) await page.screenshot({ path: join(shots, `${name}-${width}-${scheme}.png`) });
      await page.evaluate(axe);
      const report = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ["violations"] }));
      for (const v of report.violations) {
        const where = v.nodes.slice(0, 3).map((n) => n.target.join(" ")).join("; ");
        found.push(`${at}: axe: ${v.id}: ${v.help}: ${where}`);
      }
      if (shots && name && scheme === "light") {
        await page.screenshot({ path: join(shots, `${name}-${width}-whole.png`), fullPage: true });
      }
      await page.close();
    }
  }
  return found;
}

async function printed(file, name) {
  const page = await browser.newPage();
  await page.goto(pathToFileURL(file).href, { waitUntil: "load" });
  const pdf = Buffer.from(await page.pdf({ preferCSSPageSize: true, printBackground: false }));
  await page.close();
  if (shots && name) writeFileSync(join(shots, `${name}-printed.pdf`), pdf);
  return (pdf.toString("latin1").match(/\/Type\s*\/Page\b/g) || []).length;
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

const whole = (body, head = "") => `<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>t</title>${head}</head><body><main><h1>one</h1>${body}</main></body></html>`;
const bad = [
  ["a good page", whole("<p>two</p>"), null],
  ["a picture from elsewhere", whole('<img alt="x" src="https://example.com/x.png">'), "asks for"],
  ["a style from elsewhere", whole("", '<link rel="stylesheet" href="https://example.com/x.css">'), "asks for"],
  ["a file beside it", whole('<img alt="x" src="x.png">'), "asks for"],
  ["a script that fails", whole("<script>nothing()</script>"), "script error"],
  ["a script that the page's own policy refuses", whole("<script>1</script>", "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'\">"), "console"],
  ["something wider than a phone", whole('<div style="width:600px">x</div>'), "375 px, light: "],
  ["letters that nobody can read", whole('<p style="color:#ccc;background:#fff">two</p>'), "color-contrast"],
  ["a picture without words", whole('<img src="data:image/gif;base64,R0lGODlhAQABAAAAACw=">'), "image-alt"],
];
for (const [name, html, fault] of bad) {
  const file = join(scratch, "bad.html");
  writeFileSync(file, html);
  const found = await faults(file);
  if (fault === null) check(name, found);
  else check(`refuses ${name}`, found.some((f) => f.includes(fault)) ? [] : ["it goes unnoticed", ...found]);
}

if (shots) mkdirSync(shots, { recursive: true });
const names = readdirSync(folder).sort();
check("there are reports", names.length >= 10 ? [] : [`${names.length} in ${folder}`]);
for (const name of names) {
  const file = join(folder, name, "report.html");
  check(file, await faults(file, name));
  const pages = await printed(file, name);
  check(`${name} printed`, pages >= 4 && pages <= 40 ? [] : [`${pages} pages`]);
  console.log(`COUNT: ${name} prints on ${pages} pages`);
}
await browser.close();
rmSync(scratch, { recursive: true, force: true });
console.log(`test result: ${failed ? "FAILED" : "ok"}. ${passed} passed; ${failed} failed;`);
process.exit(failed ? 1 : 0);
