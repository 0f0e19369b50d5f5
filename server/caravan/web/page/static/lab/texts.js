// The texts of a step's tokens, by their ids.

/** @param {import("./branches.js").Step} step @returns {Map<number, string>} */
export function textsOf(step) {
  /** @type {Map<number, string>} */
  const texts = new Map([[step.token.id, step.token.text]]);
  for (const { candidates } of step.stages) {
    for (const { id, text } of candidates) if (text !== undefined) texts.set(id, text);
  }
  return texts;
}
