// Which models there are, which one is chosen, and what holds for it where a request says nothing.
import { createStore } from "../lib/store.js";
import { settings } from "../params/settings.js";
import { requestJson } from "./client.js";

/**
 * @typedef {{ id: string, status: string, capabilities: string[], context_length: number | null }} Model
 * @typedef {{ value: unknown, source: string }} Default
 * @typedef {{
 *   id: string,
 *   defaults: Record<string, Default>,
 *   presets: Record<string, Record<string, unknown>>,
 *   capabilities: string[],
 * }} Details
 * `fault` is why there are no details of the model that is chosen.
 * @typedef {{ models: Model[], details: Details | null, error: string, fault: string }} ModelState
 */

export const modelStore = createStore(/** @type {ModelState} */ ({ models: [], details: null, error: "", fault: "" }));

/** Ask for the models, and choose the first that can chat if none, or one that is gone, was chosen. */
export async function loadModels() {
  try {
    const { data } = await requestJson("v1/models");
    modelStore.set({ models: data, error: "" });
    const { model } = settings.get();
    const isThere = data.some((/** @type {Model} */ { id }) => id === model);
    await chooseModel(isThere ? model : (usable(data)[0]?.id ?? ""));
  } catch (error) {
    modelStore.set({ error: error instanceof Error ? error.message : String(error) });
  }
}

/** Those that write text. @param {Model[]} models */
export function usable(models) {
  const writing = models.filter(({ capabilities }) => capabilities.includes("completion"));
  return writing.length ? writing : models;
}

/** @param {string} id */
export async function chooseModel(id) {
  settings.set({ model: id });
  modelStore.set({ details: null, fault: "" });
  if (!id) return;
  try {
    const details = await requestJson(`v1/models/${pathPart(id)}`);
    if (settings.get().model === id) modelStore.set({ details });
  } catch (error) {
    const fault = error instanceof Error ? error.message : String(error);
    if (settings.get().model === id) modelStore.set({ fault });
  }
}

/** A model's name within a path. @param {string} id */
export function pathPart(id) {
  return id.split("/").map(encodeURIComponent).join("/");
}
