// What each decoding parameter is, as the server's schema says it.
import { createStore } from "../lib/store.js";
import { requestJson } from "../api/client.js";

/**
 * @typedef {{
 *   name: string, stage: string, source: string, default: unknown, neutral: unknown,
 *   aliases: string[], description: string, schema: Record<string, any>,
 * }} Spec
 */

export const specStore = createStore(/** @type {{ specs: Spec[], error: string }} */ ({ specs: [], error: "" }));

export async function loadSpecs() {
  try {
    const { parameters } = await requestJson("page/parameters.json");
    specStore.set({ specs: parameters, error: "" });
  } catch (error) {
    specStore.set({ error: error instanceof Error ? error.message : String(error) });
  }
}

/**
 * What holds for a parameter that the request does not set: the preset's value, the model's, the server's.
 * @param {Spec} spec
 * @param {{ preset: string }} chosen
 * @param {import("../api/models.js").Details | null} details
 */
export function effectiveDefault(spec, { preset }, details) {
  return details?.presets[preset]?.[spec.name] ?? details?.defaults[spec.name]?.value ?? spec.default;
}

/** The first sentence of a description. @param {string} text */
export function meaning(text) {
  return /^.*?\.(?=\s|$)/s.exec(text)?.[0] ?? text;
}

/** @typedef {"number" | "boolean" | "choice" | "texts" | "numbers" | "json"} Kind */

/** How a parameter is written. @param {Spec["schema"]} schema @returns {Kind} */
export function kindOf(schema) {
  if (schema.enum) return "choice";
  if (schema.type === "boolean") return "boolean";
  if (schema.type === "number" || schema.type === "integer") return "number";
  const lists = [schema, ...(schema.anyOf ?? []), ...(schema.oneOf ?? [])].filter(({ type }) => type === "array");
  const kinds = lists.map(({ items }) => items?.type);
  if (schema.type === "array" || lists.length === (schema.oneOf ?? schema.anyOf)?.length - 1) {
    if (kinds[0] === "string") return "texts";
    if (kinds[0] === "integer") return "numbers";
  }
  return "json";
}

/** The range as the schema has it, in words; empty where it says none. @param {Spec["schema"]} schema */
export function rangeOf(schema) {
  const { minimum, exclusiveMinimum, maximum, exclusiveMaximum } = schema;
  const low = minimum ?? (exclusiveMinimum === undefined ? "" : `over ${exclusiveMinimum}`);
  const high = maximum ?? (exclusiveMaximum === undefined ? "" : `under ${exclusiveMaximum}`);
  if (typeof maximum === "number" && maximum >= 2 ** 31 - 1) return low === "" ? "" : `${low} or more`;
  return low === "" && high === "" ? "" : `${low} to ${high}`;
}

// Where sliders end: the schema's ranges are what works, these are where people move.
/** @type {Record<string, [number, number, number]>} */
const SPANS = {
  temperature: [0, 2, 0.05],
  dynatemp_range: [0, 2, 0.05],
  dynatemp_exponent: [0.1, 4, 0.1],
  top_k: [0, 200, 1],
  top_n_sigma: [-1, 5, 0.1],
  repeat_penalty: [0.5, 2, 0.01],
  repeat_last_n: [-1, 512, 1],
  dry_multiplier: [0, 4, 0.1],
  dry_base: [1, 4, 0.05],
  dry_allowed_length: [0, 20, 1],
  mirostat_tau: [0.5, 10, 0.1],
  min_keep: [0, 50, 1],
};

/**
 * From where to where a slider goes, and in which steps; null where a slider is of no use.
 * @param {Spec} spec
 * @returns {[number, number, number] | null}
 */
export function spanOf({ name, schema }) {
  if (SPANS[name]) return SPANS[name];
  const low = schema.minimum ?? schema.exclusiveMinimum;
  const high = schema.maximum ?? schema.exclusiveMaximum;
  if (typeof low !== "number" || typeof high !== "number" || high - low > 4) return null;
  return schema.type === "integer" ? [low, high, 1] : [low, high, 0.01];
}
