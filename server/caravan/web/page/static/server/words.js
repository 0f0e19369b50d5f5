// Numbers in words.

/** Seconds, shortened. @param {number} seconds */
export function time(seconds) {
  if (seconds === Infinity) return "longer";
  if (seconds < 1) return `${round(seconds * 1000)} ms`;
  if (seconds < 120) return `${round(seconds)} s`;
  if (seconds < 7200) return `${round(seconds / 60)} min`;
  return seconds < 172_800 ? `${round(seconds / 3600)} h` : `${round(seconds / 86_400)} days`;
}

/** @param {number} bytes */
export function size(bytes) {
  return bytes < 2 ** 30 ? `${round(bytes / 2 ** 20)} MiB` : `${round(bytes / 2 ** 30)} GiB`;
}

/** @param {number} share from 0 to 1 */
export function percent(share) {
  return `${Math.round(share * 100)} %`;
}

/** @param {number} count */
export function whole(count) {
  return Math.round(count).toLocaleString("en");
}

/** Two digits, or all before the point. @param {number} value */
function round(value) {
  return value >= 10 || value === 0 ? Math.round(value) : Number(value.toPrecision(2));
}
