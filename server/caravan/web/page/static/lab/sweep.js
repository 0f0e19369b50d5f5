// A sweep: one prompt and one parameter, with several values; the server computes the prompt once for all.
import { requestJson } from "../api/client.js";
import { announce } from "../lib/announce.js";
import { createStore } from "../lib/store.js";
import { settings } from "../params/settings.js";
import { seedOf } from "./comparison.js";
import { drawn } from "./drawn.js";
import { distinct, mean } from "./measures.js";
import { faultOf } from "./session.js";

/**
 * What came of one value.
 * @typedef {{
 *   value: number, steps: import("./branches.js").Step[], finish: string | null, surprise: number | null,
 *   entropy: number | null, distinct: number | null, left: number | null,
 * }} Trial
 */

/** The most that one request takes: its own parameters, and so many variants. */
export const MOST = 9;
export const MOST_STEPS = 64;

/**
 * @type {{
 *   name: string, values: string, steps: number, swept: string, trials: Trial[], isBusy: boolean,
 *   fault: import("./session.js").Fault | null,
 * }}
 */
const BEGINNING = {
  name: "temperature",
  values: "0, 0.3, 0.6, 0.9, 1.2, 1.5",
  steps: 32,
  swept: "",
  trials: [],
  isBusy: false,
  fault: null,
};

export const sweep = createStore(BEGINNING);

/** @type {AbortController | null} */
let running = null;

/** Numbers with commas or spaces between them; null where that is not what is written. @param {string} text */
export function numbers(text) {
  const parts = text.split(/[\s,;]+/).filter(Boolean);
  const found = [...new Set(parts.map(Number))];
  return parts.length && found.every(Number.isFinite) && found.length <= MOST ? found : null;
}

/** @param {Record<string, unknown>} asked the prompt @param {number[]} values */
export async function runSweep(asked, values) {
  running?.abort();
  running = new AbortController();
  const { signal } = running;
  const { name, steps } = sweep.get();
  const [first, ...others] = values.map((value) => ({ [name]: value }));
  const body = { ...drawn(settings.get()), seed: seedOf(), ...asked, ...first, variants: others, steps, candidates: 1 };
  sweep.set({ isBusy: true, fault: null });
  try {
    const { variants } = await requestJson("v1/decoding/explain", { body, signal });
    sweep.set({ swept: name, trials: variants.map((/** @type {any} */ one, /** @type {number} */ place) => trial(values[place], one)) });
    announce(`The sweep of ${name} is done: ${values.length} texts.`);
  } catch (error) {
    if (!signal.aborted) sweep.set({ fault: faultOf(error) });
  } finally {
    if (running.signal === signal) sweep.set({ isBusy: false });
  }
}

export function stopSweep() {
  running?.abort();
}

/** @param {number} value @param {{ steps: import("./branches.js").Step[], finish_reason: string | null }} told @returns {Trial} */
function trial(value, { steps, finish_reason: finish }) {
  return {
    value,
    steps,
    finish,
    surprise: mean(steps.map(({ surprise }) => surprise)),
    entropy: mean(steps.map(({ entropy }) => entropy)),
    distinct: distinct(steps.map(({ token }) => token.id), 2),
    left: mean(steps.map(({ stages }) => stages[stages.length - 1].left)),
  };
}
