// Repeat, presence and frequency penalty, on what is stored of a row.

import { weights } from "./row.js";

/** @typedef {import("./row.js").Row} Row */
/** @typedef {{repeat: number, presence: number, frequency: number, window: number}} Strengths */

/** @param {Strengths} strengths */
export function isOn({ repeat, presence, frequency, window }) {
  return window !== 0 && (repeat !== 1 || presence !== 0 || frequency !== 0);
}

/**
 * The row after its penalties. Tokens that fall below what is stored join the rest.
 * @param {Row} row
 * @param {readonly number[]} context prompt and answer so far
 * @param {Strengths} strengths
 * @returns {import("./stages.js").Cut}
 */
export function penalised(row, context, strengths) {
  const counts = counted(strengths.window < 0 ? context : context.slice(-strengths.window));
  const known = row.ids.map((id, place) => ({ id, logit: lowered(row.logits[place], counts.get(id) ?? 0, strengths) }));
  known.sort((one, other) => other.logit - one.logit || one.id - other.id);
  const after = { ...row, ids: known.map(({ id }) => id), logits: known.map(({ logit }) => logit) };
  if (!row.rest) return { row: after, doubt: null };
  const stored = new Set(row.ids);
  const unseen = [...counts.keys()].filter((id) => !stored.has(id)).length;
  const mayRise = unseen > 0 && (strengths.repeat < 1 || strengths.presence + strengths.frequency < 0 || strengths.frequency < 0);
  if (mayRise) {
    return { row: { ...after, isSure: false }, doubt: `${unseen} tokens that are not stored become likelier by it` };
  }
  return { row: sunk(row, after, unseen), doubt: null };
}

/**
 * @param {number} logit
 * @param {number} count
 * @param {Strengths} strengths
 */
function lowered(logit, count, { repeat, presence, frequency }) {
  if (count === 0) return logit;
  const factor = Math.fround(repeat);
  const scaled = Math.fround(logit <= 0 ? logit * factor : logit / factor);
  const less = Math.fround(Math.fround(count * Math.fround(frequency)) + Math.fround(presence));
  return Math.fround(scaled - less);
}

/** @param {readonly number[]} ids @returns {Map<number, number>} */
function counted(ids) {
  /** @type {Map<number, number>} */
  const counts = new Map();
  for (const id of ids) counts.set(id, (counts.get(id) ?? 0) + 1);
  return counts;
}

/**
 * The row with its rest by the weights of the new likeliest token, and with the known ones in it that fell below
 * its bound; `unseen` tokens of the rest, none heavier than the bound, may have lost all their weight.
 * @param {Row} before
 * @param {Row} after
 * @param {number} unseen
 * @returns {Row}
 */
function sunk(before, after, unseen) {
  const { rest } = before;
  if (!rest) return after;
  const count = Math.max(after.logits.filter((logit) => logit >= rest.bound).length, 1);
  const lift = Math.exp(before.logits[0] - after.logits[0]);
  const fallen = weights(after).slice(count).reduce((total, weight) => total + weight, 0);
  const heavy = Math.exp(rest.bound - before.logits[0]);
  const lost = Math.min(unseen * heavy, rest.mass[0]);
  const num = after.ids.length - count;
  return {
    ...after,
    ids: after.ids.slice(0, count),
    logits: after.logits.slice(0, count),
    rest: {
      count: [rest.count[0] + num, rest.count[1] + num],
      mass: [(rest.mass[0] - lost) * lift + fallen, rest.mass[1] * lift + fallen],
      bound: Math.max(rest.bound, after.logits[count] ?? rest.bound),
      moment: null,
      deviation: null,
    },
    isSure: after.isSure && after.logits[0] >= rest.bound,
  };
}
