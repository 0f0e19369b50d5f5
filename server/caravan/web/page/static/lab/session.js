// The text that the Tokens and What if views look at: a prompt, how the model goes on with it, and its branches.
import { requestJson } from "../api/client.js";
import { announce } from "../lib/announce.js";
import { createStore } from "../lib/store.js";
import { settings } from "../params/settings.js";
import { find, line, nextId, picked, prefix } from "./branches.js";
import { drawn } from "./drawn.js";
import { ranOut } from "./words.js";

/**
 * @typedef {import("./branches.js").Branch} Branch
 * @typedef {import("./branches.js").Step} Step
 * @typedef {import("./rank.js").Parameters} Parameters
 * @typedef {{ kind: "text" | "message" | "chat", text: string }} Prompt
 * @typedef {{ message: string, param: string | null }} Fault
 * `asked` is the prompt that the tree's steps follow, `base` what was set when it was begun: branches keep to both.
 * @typedef {{
 *   prompt: Prompt, steps: number, asked: Record<string, unknown> | null, base: Record<string, unknown>,
 *   tree: Branch[], branch: number, step: number, isBusy: boolean, fault: Fault | null,
 * }} Session
 */

// As many as the route tells, so that a step can be ranked anew.
const CANDIDATES = 200;

/** @type {Session} */
const EMPTY = {
  prompt: { kind: "text", text: "Once upon a time, there was a" },
  steps: 24,
  asked: null,
  base: {},
  tree: [],
  branch: 0,
  step: 0,
  isBusy: false,
  fault: null,
};

export const session = createStore(EMPTY);

/** @type {AbortController | null} */
let running = null;

/** Go on with the prompt, as a new text. @param {Record<string, unknown>} asked its `prompt` or `messages` */
export async function begin(asked) {
  const base = drawn(settings.get());
  const told = await explain({}, [], { base, asked });
  if (!told) return;
  /** @type {Branch} */
  const first = { id: 1, parent: null, at: 0, label: "first", changes: {}, ...of(told) };
  session.set({ asked, base, tree: [first], branch: 1, step: 0 });
  announce(`${first.steps.length} tokens: ${written(first.steps)}`);
}

/** Have a step say another token, and the text go on from there. @param {{ id: number, text: string }} token */
export async function pick(token) {
  const { branch, step } = session.get();
  const steps = current();
  const chosen = picked(steps[step], token);
  const { changes } = find(session.get().tree, branch);
  const told = await explain(changes, [...prefix(steps, step), token.id]);
  if (told) add({ parent: branch, at: step, label: `“${token.text}”`, changes, ...of(told) }, chosen);
}

/** Go on from the chosen step, which is drawn anew, with other parameters. @param {Parameters} changes */
export async function runFromHere(changes) {
  const { branch, step } = session.get();
  const all = { ...find(session.get().tree, branch).changes, ...changes };
  const told = await explain(all, prefix(current(), step));
  if (told) add({ parent: branch, at: step, label: ranOut(changes), changes: all, ...of(told) }, null);
}

/** Go on where the text was cut off. */
export async function goOn() {
  const { branch } = session.get();
  const steps = current();
  const { changes } = find(session.get().tree, branch);
  const told = await explain(changes, prefix(steps, steps.length));
  if (!told) return;
  const { steps: more, finish_reason } = of(told);
  session.set(({ tree }) => ({
    tree: tree.map((one) => (one.id === branch ? { ...one, steps: [...one.steps, ...more], finish_reason } : one)),
  }));
  // Another branch may have been shown meanwhile.
  if (session.get().branch === branch) show(branch, steps.length);
  announce(written(more));
}

/** The steps of the branch that is shown. @returns {Step[]} */
export function current() {
  return lineOf(session.get());
}

/** @param {Session} state @returns {Step[]} */
export function lineOf({ tree, branch }) {
  return tree.length ? line(tree, branch) : [];
}

/** Show a branch, at a step if it has so many. @param {number} branch @param {number} [step] */
export function show(branch, step = session.get().step) {
  const { length } = line(session.get().tree, branch);
  session.set({ branch, step: Math.max(Math.min(step, length - 1), 0) });
}

export function stop() {
  running?.abort();
}

/** The token ids of the prompt, as the server makes them: penalties look at them. */
export async function promptIds() {
  const { asked, base } = session.get();
  if (!asked) return [];
  const { prompt, messages, tools, chat_template_kwargs } = asked;
  const body = { model: base.model, prompt, messages, tools, chat_template_kwargs };
  const { tokens } = await requestJson("tokenize", { body });
  return tokens;
}

/**
 * @param {Parameters} changes
 * @param {number[]} continued
 * @param {{ base: Record<string, unknown>, asked: Record<string, unknown> | null }} [from]
 */
async function explain(changes, continued, { base, asked } = session.get()) {
  running?.abort();
  running = new AbortController();
  const { signal } = running;
  const { steps } = session.get();
  session.set({ isBusy: true, fault: null });
  const body = {
    ...base, ...changes, ...asked, steps, candidates: CANDIDATES,
    ...(continued.length ? { continue_from: continued } : {}),
  };
  try {
    return await requestJson("v1/decoding/explain", { body, signal });
  } catch (error) {
    if (!signal.aborted) session.set({ fault: faultOf(error) });
    return null;
  } finally {
    if (running.signal === signal) session.set({ isBusy: false });
  }
}

/** @param {any} told as the route's schema says it @returns {Pick<Branch, "steps" | "finish_reason" | "parameters">} */
function of({ variants: [{ steps, finish_reason, parameters }] }) {
  return { steps, finish_reason, parameters };
}

/**
 * @param {Omit<Branch, "id">} branch
 * @param {Step | null} first a step that was picked, before those that followed
 */
function add(branch, first) {
  const { tree } = session.get();
  const id = nextId(tree);
  const steps = first ? [first, ...branch.steps] : branch.steps;
  session.set({ tree: [...tree, { ...branch, id, steps }] });
  show(id, branch.at);
  announce(`Branch ${id}: ${written(steps)}`);
}

/** @param {Step[]} steps */
function written(steps) {
  return steps.map(({ token }) => token.text).join("");
}

/** @param {unknown} error @returns {Fault} */
export function faultOf(error) {
  const { message, param = null } = /** @type {Error & { param?: string | null }} */ (error);
  return { message, param };
}
