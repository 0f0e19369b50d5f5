// A text and the others that leave it: a tree of branches, each with the steps that are its own.

/**
 * A step as the server tells it; `isPicked` where a person chose the token.
 * @typedef {object} Step
 * @property {number} position
 * @property {{id: number, text: string, bytes?: number[]}} token
 * @property {number} probability
 * @property {number} logprob
 * @property {number} surprise
 * @property {number} entropy
 * @property {boolean} forced
 * @property {(import("./waterfall.js").Stage & {entropy: number, log_sum_exp: number, deviation?: number | null})[]} stages
 * @property {boolean} [isPicked]
 */

/**
 * A branch leaves the line of its parent before the step `at`; its first step may be one that a person picked.
 * @typedef {object} Branch
 * @property {number} id
 * @property {number | null} parent
 * @property {number} at
 * @property {string} label
 * @property {import("./rank.js").Parameters} changes beside the parameters of the form
 * @property {import("./rank.js").Parameters} parameters in force, as the server told them
 * @property {Step[]} steps
 * @property {string | null} finish_reason
 */

/** @typedef {readonly Branch[]} Tree */

/** The steps of a branch from the very first on. @param {Tree} tree @param {number} id @returns {Step[]} */
export function line(tree, id) {
  const branch = find(tree, id);
  if (branch.parent === null) return branch.steps;
  return [...line(tree, branch.parent).slice(0, branch.at), ...branch.steps];
}

/** @param {Tree} tree @param {number} id @returns {Branch} */
export function find(tree, id) {
  const branch = tree.find((one) => one.id === id);
  if (!branch) throw new Error(`there is no branch ${id}`);
  return branch;
}

/** The token ids before a step, for `continue_from`. @param {readonly Step[]} steps @param {number} before */
export function prefix(steps, before) {
  return steps.slice(0, before).map(({ token }) => token.id);
}

/**
 * The step with another token, as a person picked it.
 * @param {Step} step
 * @param {{id: number, text: string}} token
 * @returns {Step}
 */
export function picked(step, token) {
  const raw = step.stages[0];
  const logit = raw.candidates.find(({ id }) => id === token.id)?.logit;
  const logprob = logit === undefined ? step.logprob : logit - raw.log_sum_exp;
  const last = step.stages[step.stages.length - 1].candidates.find(({ id }) => id === token.id);
  return {
    ...step, token, logprob, surprise: -logprob / Math.LN2, probability: last?.probability ?? 0, forced: false, isPicked: true,
  };
}

/** @param {Tree} tree @returns {number} */
export function nextId(tree) {
  return Math.max(0, ...tree.map(({ id }) => id)) + 1;
}

/** How deep a branch hangs in the tree. @param {Tree} tree @param {number} id @returns {number} */
export function depth(tree, id) {
  const { parent } = find(tree, id);
  return parent === null ? 0 : depth(tree, parent) + 1;
}
