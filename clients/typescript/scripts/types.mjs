/**
 * Writes the types of requests and replies, from the OpenAPI document of the server. With `--check`, fails if the file is
 * not current.
 */

import { readFile, writeFile } from "node:fs/promises";

import openapiTS, { astToString } from "openapi-typescript";

const DOCUMENT = new URL("../../../docs/reference/openapi.json", import.meta.url);
const FILE = new URL("../src/schemas.ts", import.meta.url);
const HEAD = "// Made by `npm run types` from docs/reference/openapi.json. Do not edit.\n\n";

const { openapi, info, components } = JSON.parse(await readFile(DOCUMENT, "utf8"));
const schemas = Object.entries(components.schemas).map(([name, { examples, ...schema }]) => [name, schema]);
const document = { openapi, info, paths: {}, components: { schemas: Object.fromEntries(schemas) } };
const made = HEAD + astToString(await openapiTS(document, { defaultNonNullable: false }));

if (process.argv.includes("--check")) {
  if ((await readFile(FILE, "utf8")) !== made) {
    console.error("src/schemas.ts is not current. Run `npm run types` in clients/typescript.");
    process.exitCode = 1;
  }
} else {
  await writeFile(FILE, made);
}
