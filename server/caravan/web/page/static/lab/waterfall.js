// The picture of one step as data: for each stage how much probability is left and how much it cut, and for each
// candidate how likely it was there, or which stage cut it.

/**
 * A stage as it is drawn, told by the server or ranked anew. `most` and `doubt` are there where not all is known.
 * @typedef {object} Stage
 * @property {string} name
 * @property {number} left
 * @property {number} cut
 * @property {number} cut_probability
 * @property {number | null} entropy
 * @property {{id: number, text?: string, logit: number, probability: number, probability_most?: number}[]} candidates
 * @property {number} [most]
 * @property {string | null} [doubt]
 * @property {{before: number, after: number}} [mu]
 */

/**
 * `from` and `to` are shares of the probability that the first stage had: the bar stands from 0 to `to`, and the part
 * between `to` and `from` went at this stage.
 * @typedef {{name: string, left: number, most: number, cut: number, from: number, to: number, doubt: string | null}} Column
 */

/** What there is to say of a candidate at a stage. @typedef {"left" | "cut" | "gone" | "unlisted"} CellKind */
/** @typedef {{kind: CellKind, probability: number, most: number}} Cell */
/**
 * `skipped` tokens of the first stage stand between the row before and this one.
 * @typedef {{id: number, text: string, cells: Cell[], cutBy: string | null, isDrawn: boolean, skipped: number}} CandidateRow
 */

// These change logits and leave out few tokens or none, so what is not listed after them has merely sunk.
const CHANGING = new Set(["raw", "bias", "penalties", "dry", "temperature"]);

/** @param {readonly Stage[]} stages @returns {Column[]} */
export function columns(stages) {
  let to = 1;
  return stages.map(({ name, left, most, cut, cut_probability: share, doubt }) => {
    const from = to;
    to = from * (1 - Math.min(Math.max(share, 0), 1));
    return { name, left, most: most ?? left, cut, from, to, doubt: doubt ?? null };
  });
}

// Of what a stage has cut, so many of the likeliest are shown.
const SHOWN_CUT = 2;

/**
 * The likeliest candidates, the one drawn, and the likeliest that each stage has cut, in the order of the first stage.
 * @param {readonly Stage[]} stages
 * @param {number | null} drawnId
 * @param {number} count
 * @param {(id: number) => string} textOf for stages that were ranked anew and have no texts
 * @returns {{rows: CandidateRow[], below: number}} and how many tokens come after the last row
 */
export function candidateRows(stages, drawnId, count, textOf) {
  const listed = stages.map((stage) => new Map(stage.candidates.map((candidate) => [candidate.id, candidate])));
  const all = stages[0].candidates.map(({ id }) => id);
  const others = [drawnId, ...stages[stages.length - 1].candidates.map(({ id }) => id)];
  const late = [...new Set(others)].filter((id) => id !== null && !listed[0].has(id));
  const known = [...all, .../** @type {number[]} */ (late)].map((id, place) => {
    /** @type {Cell[]} */
    const cells = [];
    for (const at of stages.keys()) cells.push(cell(stages, listed, at, id, cells[at - 1]));
    const cutAt = cells.findIndex(({ kind }) => kind === "cut");
    return { id, text: textOf(id), cells, cutBy: cutAt < 0 ? null : stages[cutAt].name, isDrawn: id === drawnId, place };
  });
  const last = new Set(stages[stages.length - 1].candidates.slice(0, count).map(({ id }) => id));
  const cuts = stages.flatMap(({ name }) => known.filter(({ cutBy }) => cutBy === name).slice(0, SHOWN_CUT));
  const rows = known.filter((row) => row.place < count || row.isDrawn || last.has(row.id) || cuts.includes(row));
  const end = rows.length ? rows[rows.length - 1].place + 1 : 0;
  return {
    rows: rows.map(({ place, ...row }, at) => ({ ...row, skipped: place - (at ? rows[at - 1].place + 1 : 0) })),
    below: Math.max(stages[0].left - end, 0),
  };
}

/**
 * @param {readonly Stage[]} stages
 * @param {Map<number, Stage["candidates"][number]>[]} listed
 * @param {number} place
 * @param {number} id
 * @param {Cell | undefined} before
 * @returns {Cell}
 */
function cell(stages, listed, place, id, before) {
  const found = listed[place].get(id);
  if (found) return { kind: "left", probability: found.probability, most: found.probability_most ?? found.probability };
  /** @param {CellKind} kind */
  const absent = (kind) => ({ kind, probability: 0, most: 0 });
  if (before && before.kind !== "left" && before.kind !== "unlisted") return absent("gone");
  const stage = stages[place];
  if ((stage.most ?? stage.left) <= stage.candidates.length) return absent(stage.cut > 0 ? "cut" : "unlisted");
  const earlier = listed[place - 1]?.get(id);
  if (!earlier || CHANGING.has(stage.name) || stage.cut === 0) return absent("unlisted");
  // Truncation keeps the order, so one that was likelier than a listed one and is not listed was cut.
  const isPassed = stage.candidates.some((candidate) => (listed[place - 1].get(candidate.id)?.logit ?? Infinity) < earlier.logit);
  return absent(isPassed ? "cut" : "unlisted");
}

/** A share in words: whole and tenths of per cent, and powers of ten below. @param {number} share */
export function share(share) {
  if (share >= 0.9995) return "100 %";
  if (share >= 0.1) return `${(share * 100).toFixed(1)} %`;
  if (share >= 0.0001) return `${(share * 100).toPrecision(2)} %`;
  return share <= 0 ? "0 %" : "< 0.01 %";
}

/** A count with its thousands parted. @param {number} value */
export function count(value) {
  return String(Math.round(value)).replace(/\B(?=(\d{3})+$)/g, "\u202f");
}

/** A token as it is shown: white space can be seen, and what is empty, too. @param {string} text */
export function shown(text) {
  if (text === "") return "∅";
  return text.replace(/ /g, "␣").replace(/\n/g, "⏎").replace(/\t/g, "⇥").replace(/\r/g, "␍");
}
