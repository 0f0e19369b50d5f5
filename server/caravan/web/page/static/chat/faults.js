// What the server, or the page itself, has refused in a request, by the field that it is about.
import { createStore } from "../lib/store.js";

export const faults = createStore(/** @type {{ byField: Record<string, string> }} */ ({ byField: {} }));

// By which names errors speak of what one editor sets.
const CONSTRAINTS = ["response_format", "grammar", "regex", "structured_outputs", "json_schema", "constraint"];
const TOOLS = ["tools", "tool_choice"];

/** Which editor a field of the request belongs to. @param {string} field */
export function editorOf(field) {
  const first = field.split(/[.[]/)[0];
  if (CONSTRAINTS.includes(first)) return "constraint";
  return TOOLS.includes(first) ? "tools" : first;
}

/** @param {{ field: string, message: string }[]} found */
export function showFaults(found) {
  faults.set({ byField: Object.fromEntries(found.map(({ field, message }) => [editorOf(field), message])) });
}

export function clearFaults() {
  if (Object.keys(faults.get().byField).length) faults.set({ byField: {} });
}
