// The columns that are compared: their models and parameters, and the answers that they give to one prompt.
import { announce } from "../lib/announce.js";
import { perFrame } from "../lib/per_frame.js";
import { createKeptStore, createStore } from "../lib/store.js";
import { settings } from "../params/settings.js";
import { newAnswer, runColumn } from "./column_run.js";
import { drawn } from "./drawn.js";
import { faultOf } from "./session.js";

/**
 * `model` is empty where the one chosen above holds; `changes` are parameters beside those of the settings.
 * @typedef {{ id: number, model: string, changes: Record<string, unknown> }} Column
 * @typedef {{ answer: import("./column_run.js").Answer, isRunning: boolean, fault: import("./session.js").Fault | null }} Outcome
 */

export const FEWEST = 2;
export const MOST = 4;

/** @type {{ columns: Column[], maxTokens: number, isInTurn: boolean }} */
const BEGINNING = {
  columns: [
    { id: 1, model: "", changes: { temperature: 0.2 } },
    { id: 2, model: "", changes: { temperature: 1.2 } },
  ],
  maxTokens: 96,
  isInTurn: false,
};

export const comparison = createKeptStore("comparison", BEGINNING);

export const outcomes = createStore(/** @type {{ outcomes: Record<number, Outcome>, seed: number | null }} */ ({ outcomes: {}, seed: null }));

/** @type {AbortController | null} */
let running = null;

/** Add a column that is like the last. */
export function addColumn() {
  comparison.set(({ columns }) => {
    const last = columns[columns.length - 1];
    return { columns: [...columns, { ...last, id: Math.max(...columns.map(({ id }) => id)) + 1 }] };
  });
}

/** @param {number} id */
export function removeColumn(id) {
  comparison.set(({ columns }) => ({ columns: columns.filter((column) => column.id !== id) }));
}

/** @param {number} id @param {Partial<Column>} part */
export function changeColumn(id, part) {
  comparison.set(({ columns }) => ({ columns: columns.map((column) => (column.id === id ? { ...column, ...part } : column)) }));
}

/** Have all columns answer, side by side or in turn; each has the same seed. @param {Record<string, unknown>} asked */
export async function compare(asked) {
  stopComparison();
  running = new AbortController();
  const { signal } = running;
  const { columns, isInTurn } = comparison.get();
  const seed = seedOf();
  outcomes.set({ seed, outcomes: Object.fromEntries(columns.map(({ id }) => [id, { answer: newAnswer(), isRunning: true, fault: null }])) });
  const runs = columns.map((column) => () => run(column, asked, seed, signal));
  if (isInTurn) for (const each of runs) await each();
  else await Promise.all(runs.map((each) => each()));
  if (!signal.aborted) announce(`All ${columns.length} columns have answered.`);
}

export function stopComparison() {
  running?.abort();
}

/** The seed of the settings, or one that all share. */
export function seedOf() {
  const { seed } = settings.get().parameters;
  return typeof seed === "number" ? seed : Math.floor(Math.random() * 100_000);
}

/**
 * @param {Column} column
 * @param {Record<string, unknown>} asked
 * @param {number} seed
 * @param {AbortSignal} signal
 */
async function run({ id, model, changes }, asked, seed, signal) {
  const { maxTokens } = comparison.get();
  const body = { ...drawn(settings.get()), seed, ...changes, ...asked, max_tokens: maxTokens, ...(model ? { model } : {}) };
  const draw = perFrame((/** @type {import("./column_run.js").Answer} */ answer) => note(id, { answer }, signal));
  try {
    if (!signal.aborted) await runColumn(body, signal, draw.next);
  } catch (error) {
    if (!signal.aborted) note(id, { fault: faultOf(error) }, signal);
  } finally {
    draw.end();
    note(id, { isRunning: false }, signal);
  }
}

/** @param {number} id @param {Partial<Outcome>} part @param {AbortSignal} signal of the comparison, which may be over */
function note(id, part, signal) {
  if (running?.signal !== signal) return;
  outcomes.set(({ outcomes: all }) => (all[id] ? { outcomes: { ...all, [id]: { ...all[id], ...part } } } : {}));
}
