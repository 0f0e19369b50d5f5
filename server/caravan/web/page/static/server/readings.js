// What the server says of itself, asked for again and again while the view is shown.
import { ApiError, keyStore, request, requestJson } from "../api/client.js";
import { createStore } from "../lib/store.js";
import { parseMetrics, total } from "./metrics.js";

/**
 * @typedef {{
 *   id: string, status: string, context_size?: number, running?: number, waiting?: number, cells?: number,
 *   cells_used?: number, prompt_tokens?: number, cached_tokens?: number, generated_tokens?: number,
 *   restarts?: number, memory_bytes?: number,
 * }} ModelStatus
 * @typedef {{ version: string, uptime_seconds: number, memory_bytes: number, models: ModelStatus[] }} Status
 * @typedef {{
 *   at: number, running: number, waiting: number, cells: number, used: number, prompt: number, cached: number,
 *   generated: number,
 * }} Sample counters and numbers of one moment, of all models together
 * @typedef {{ at: number, running: number, waiting: number, share: number, written: number, read: number }} Point
 * @typedef {{
 *   status: Status | null, refusal: string, error: string,
 *   series: import("./metrics.js").Series | null, first: import("./metrics.js").Series | null,
 *   sample: Sample | null, points: Point[],
 * }} Readings
 */

const PAUSE = 1000;
// Two minutes.
const KEPT = 120;

/** @type {Readings} */
const NOTHING = {
  status: null,
  refusal: "",
  error: "",
  series: null,
  first: null,
  sample: null,
  points: [],
};
export const readings = createStore(NOTHING);

/** Ask until the returned function is called; not while the page is hidden, nor again for a key that was not given. */
export function follow() {
  const ended = new AbortController();
  const run = async () => {
    let mayAsk = true;
    while (!ended.signal.aborted) {
      if (!document.hidden && (mayAsk || keyStore.get().key)) mayAsk = await read(ended.signal);
      await new Promise((resolve) => setTimeout(resolve, PAUSE));
    }
  };
  run();
  return () => ended.abort();
}

/**
 * Ask once.
 * @param {AbortSignal} [signal]
 * @returns {Promise<boolean>} false: only with a key
 */
export async function read(signal) {
  try {
    const text = await (await request("metrics", { signal, bySelf: true })).text();
    await readStatus(signal);
    add(parseMetrics(text));
    readings.set({ error: "" });
    return true;
  } catch (error) {
    if (!signal?.aborted) readings.set({ error: String(error instanceof Error ? error.message : error) });
    return !(error instanceof ApiError && error.status === 401);
  }
}

/** Only administrators may; for others the metrics of their models are left. @param {AbortSignal} [signal] */
async function readStatus(signal) {
  try {
    readings.set({ status: await requestJson("status", { signal, bySelf: true }), refusal: "" });
  } catch (error) {
    if (!(error instanceof ApiError) || error.status !== 403) throw error;
    readings.set({ status: null, refusal: error.message });
  }
}

/** @param {import("./metrics.js").Series} series */
function add(series) {
  const sample = {
    at: performance.now() / 1000,
    running: total(series, "caravan_num_requests_running"),
    waiting: total(series, "caravan_num_requests_waiting"),
    cells: total(series, "caravan_kv_cells"),
    used: total(series, "caravan_kv_cells_used"),
    prompt: total(series, "caravan_prompt_tokens_total"),
    cached: total(series, "caravan_cached_tokens_total"),
    generated: total(series, "caravan_generation_tokens_total"),
  };
  readings.set(({ sample: before, points, first }) => ({
    series,
    first: first ?? series,
    sample,
    points: [...points, point(sample, before)].slice(-KEPT),
  }));
}

/**
 * @param {Sample} now
 * @param {Sample | null} before
 * @returns {Point}
 */
function point(now, before) {
  const { at, running, waiting } = now;
  const seconds = before ? at - before.at : 0;
  // Counters of a model that was unloaded, or of an engine that was started again, begin anew.
  const rate = (/** @type {number} */ more) => (seconds > 0 ? Math.max(0, more) / seconds : 0);
  return {
    at,
    running,
    waiting,
    share: now.cells ? now.used / now.cells : 0,
    written: rate(now.generated - (before?.generated ?? 0)),
    read: rate(now.prompt - now.cached - (before ? before.prompt - before.cached : 0)),
  };
}
