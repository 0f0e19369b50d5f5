// What the reader has set for requests; it stays in the browser.
import { createKeptStore } from "../lib/store.js";

/**
 * `constraint` is what the answer keeps to; `thinking` is "" where the model's own way holds.
 * @typedef {{
 *   model: string,
 *   preset: string,
 *   parameters: Record<string, unknown>,
 *   thinking: "" | "on" | "off",
 *   constraint: { kind: string, text: string },
 *   tools: string,
 *   toolChoice: string,
 * }} Settings
 */

/** @type {Settings} */
const NONE = {
  model: "",
  preset: "",
  parameters: {},
  thinking: "",
  constraint: { kind: "", text: "" },
  tools: "",
  toolChoice: "",
};

export const settings = createKeptStore("settings", NONE);

/** Set a parameter; undefined leaves it to its default. @param {string} name @param {unknown} value */
export function setParameter(name, value) {
  settings.set(({ parameters }) => {
    const { [name]: _, ...others } = parameters;
    return { parameters: value === undefined ? others : { ...parameters, [name]: value } };
  });
}
