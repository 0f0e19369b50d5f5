// How surprising a token was, as one of a few steps: the stylesheet has a colour for each, and words say it, too.

// Bits of surprise from which on the next step begins. A token that comes every second time has 1 bit.
const BOUNDS = [0.5, 1, 2, 3.5, 5, 7, 10];

const WORDS = ["expected", "expected", "likely", "open", "open", "surprising", "surprising", "very surprising"];

/** The step, 0 to 7. @param {number} surprise in bits */
export function tint(surprise) {
  const step = BOUNDS.findIndex((bound) => surprise < bound);
  return step < 0 ? BOUNDS.length : step;
}

/** @param {number} surprise in bits */
export function tintWord(surprise) {
  return WORDS[tint(surprise)];
}

/** What each step stands for, for a key to the colours. @returns {{step: number, label: string}[]} */
export function tintKey() {
  return [0, ...BOUNDS].map((from, step) => ({ step, label: step === 0 ? "0" : `${from}` }));
}
