/**
 * Writes the types of requests and replies, from the OpenAPI document of the server. The query parameters of a route become
 * a type named after its operation, such as `ListMessagesQuery`. With `--check`, fails if the file is not current.
 */

import { readFile, writeFile } from "node:fs/promises";

import openapiTS, { astToString } from "openapi-typescript";

const DOCUMENT = new URL("../../../docs/reference/openapi.json", import.meta.url);
const FILE = new URL("../src/schemas.ts", import.meta.url);
const HEAD = "// Made by `npm run types` from docs/reference/openapi.json. Do not edit.\n\n";

/** Return the query parameters of an operation as a schema, beside its name. Nothing for an operation without any. */
function queryOf({ operationId = "", parameters = [] }) {
  const given = parameters.filter((each) => each.in === "query");
  if (given.length === 0) return [];
  const properties = Object.fromEntries(given.map(({ name, schema }) => [name, schema]));
  const required = given.filter((each) => each.required).map(({ name }) => name);
  return [[`${operationId[0].toUpperCase()}${operationId.slice(1)}Query`, { type: "object", properties, required }]];
}

const { openapi, info, paths, components } = JSON.parse(await readFile(DOCUMENT, "utf8"));
const schemas = Object.entries(components.schemas).map(([name, { examples, ...schema }]) => [name, schema]);
const queries = Object.values(paths).flatMap((path) => Object.values(path).flatMap(queryOf));
const document = { openapi, info, paths: {}, components: { schemas: Object.fromEntries([...schemas, ...queries]) } };
const made = HEAD + astToString(await openapiTS(document, { defaultNonNullable: false }));

if (process.argv.includes("--check")) {
  if ((await readFile(FILE, "utf8")) !== made) {
    console.error("src/schemas.ts is not current. Run `npm run types` in clients/typescript.");
    process.exitCode = 1;
  }
} else {
  await writeFile(FILE, made);
}
