// Makes the document's examples work on this very server: with its models, and at the address that it has.

const SHIPPED = "caravan-resident";
/** Which routes need a model that can do more than write. @type {[RegExp, string][]} */
const NEEDS = [
  [/embed/, "embedding"],
  [/rerank|score/, "rerank"],
  [/infill/, "insert"],
];

/**
 * @param {Record<string, any>} spec the OpenAPI document, which is changed
 * @param {{ id: string, capabilities: string[] }[]} models
 * @param {string} base the path of the server behind a proxy, or `/`
 */
export function fitted(spec, models, base) {
  spec.servers = [{ url: base.replace(/\/$/, "") || "/" }];
  for (const [path, operations] of Object.entries(spec.paths)) {
    const model = chosen(path, models);
    for (const operation of model ? Object.values(operations) : []) fit(operation, model);
  }
  return spec;
}

/** @param {string} path @param {{ id: string, capabilities: string[] }[]} models */
function chosen(path, models) {
  const need = NEEDS.find(([pattern]) => pattern.test(path))?.[1] ?? "completion";
  return (models.find(({ capabilities }) => capabilities?.includes(need)) ?? models[0])?.id;
}

/** @param {any} operation @param {string} model */
function fit(operation, model) {
  const body = operation.requestBody?.content["application/json"];
  if (body?.example?.model === SHIPPED) body.example = { ...body.example, model };
  for (const parameter of operation.parameters ?? []) {
    if (parameter.example === SHIPPED) parameter.example = model;
  }
}
