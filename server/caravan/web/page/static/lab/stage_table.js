// The waterfall of one step: a column for each stage, a row for each candidate, and above them the probability that
// is left. A table, so that it can be read without seeing it.
import { classes, html, useState } from "../lib/preact.js";
import { candidateRows, columns, count, share, shown } from "./waterfall.js";
import { MEANINGS, stageTitle, stageValue } from "./words.js";

// Sizes of the drawings, in their own units; the stylesheet stretches them.
const WIDTH = 100;
const MASS_HEIGHT = 64;
const FEW = 10;

/**
 * @typedef {{
 *   stages: import("./waterfall.js").Stage[], parameters: Record<string, any>, drawnId: number | null,
 *   textOf: (id: number) => string, caption: string, verb?: string,
 *   onPick?: (token: { id: number, text: string }) => void, isBusy?: boolean,
 * }} TableProps
 */

/** @param {TableProps} props */
export function StageTable({ stages, parameters, drawnId, textOf, caption, onPick, isBusy = false }) {
  const [most, setMost] = useState(FEW);
  const cols = columns(stages);
  const { rows, below } = candidateRows(stages, drawnId, most, textOf);
  const top = Math.max(...stages.flatMap(({ candidates }) => candidates.slice(0, 1).map(({ probability }) => probability)));
  const isMore = stages[0].candidates.length > most;
  return html`
    <div class="lab-scroll" role="region" aria-label=${caption} tabindex="0">
      <table class="lab-table">
        <caption class="heard-only">${caption}</caption>
        <thead>
          <tr>
            <td class="lab-corner"></td>
            ${cols.map(({ name }) => html`<${Heading} key=${name} name=${name} parameters=${parameters} />`)}
          </tr>
          <tr class="lab-mass">
            <th scope="row" class="lab-name">probability left</th>
            ${cols.map((column, place) => html`<${Mass} key=${column.name} column=${column} isLast=${place === cols.length - 1} />`)}
          </tr>
          <tr class="lab-counts">
            <th scope="row" class="lab-name">tokens left</th>
            ${cols.map((column) => html`<${Counts} key=${column.name} column=${column} />`)}
          </tr>
        </thead>
        <tbody>
          ${rows.map((row) => html`
            ${row.skipped > 0 && html`<${Gap} key=${`before-${row.id}`} skipped=${row.skipped} span=${cols.length} />`}
            <${Candidate} key=${row.id} row=${row} stages=${stages} top=${top} onPick=${onPick} isBusy=${isBusy} />
          `)}
          ${below > 0 && html`<${Gap} key="below" skipped=${below} span=${cols.length} />`}
        </tbody>
      </table>
    </div>
    ${isMore && html`
      <button type="button" class="button is-quiet lab-more" onClick=${() => setMost(most * 3)}>
        More candidates
      </button>
    `}
  `;
}

/** @param {{ name: string, parameters: Record<string, any> }} props */
function Heading({ name, parameters }) {
  const value = stageValue(name, parameters);
  return html`
    <th scope="col" class="lab-stage" title=${MEANINGS[name]}>
      <span class="lab-stage-name">${stageTitle(name)}</span>
      <span class="lab-stage-value">${value}</span>
    </th>
  `;
}

/** A bar of the waterfall: what is left stands, what went here hangs above it. @param {{ column: import("./waterfall.js").Column, isLast: boolean }} props */
function Mass({ column, isLast }) {
  const { name, from, to, doubt } = column;
  const y = (/** @type {number} */ part) => MASS_HEIGHT * (1 - part);
  return html`
    <td class="lab-mass-cell">
      <svg class="lab-mass-drawing" viewBox=${`0 0 ${WIDTH} ${MASS_HEIGHT}`} preserveAspectRatio="none" aria-hidden="true">
        <rect class="lab-left" x="8" width="76" y=${y(to)} height=${MASS_HEIGHT * to} />
        ${from - to > 0.0005 && html`<rect class="lab-cut" x="8" width="76" y=${y(from)} height=${MASS_HEIGHT * (from - to)} />`}
        ${!isLast && html`<path class="lab-level" d=${`M84 ${y(to)}H${WIDTH}`} />`}
        ${name !== "raw" && html`<path class="lab-level" d=${`M0 ${y(from)}H8`} />`}
      </svg>
      <span class="lab-mass-text">
        ${doubt ? "≈ " : ""}${share(to)}
        ${from - to > 0.00005 && html`<span class="lab-less">−${share(from - to)}</span>`}
      </span>
    </td>
  `;
}

/** @param {{ column: import("./waterfall.js").Column }} props */
function Counts({ column: { left, most, cut } }) {
  return html`
    <td class="lab-count">
      ${most > left ? `${count(left)} to ${count(most)}` : count(left)}
      ${cut > 0 && html`<span class="lab-less">−${count(cut)}</span>`}
    </td>
  `;
}

/**
 * @param {{
 *   row: import("./waterfall.js").CandidateRow, stages: import("./waterfall.js").Stage[], top: number,
 *   onPick: TableProps["onPick"], isBusy: boolean,
 * }} props
 */
function Candidate({ row, stages, top, onPick, isBusy }) {
  const { id, text, cells, cutBy, isDrawn } = row;
  const name = shown(text);
  const marks = classes("lab-candidate", isDrawn && "is-drawn", cutBy !== null && "is-cut");
  return html`
    <tr class=${marks}>
      <th scope="row" class="lab-name">
        ${onPick && !isDrawn
          ? html`<button type="button" class="lab-pick" disabled=${isBusy} onClick=${() => onPick({ id, text })}
              aria-label=${`Go on with ${name}`} title="Go on from here with this token">${name}</button>`
          : html`<span class="lab-pick is-still">${name}</span>`}
        ${isDrawn && html`<span class="lab-drawn">drawn</span>`}
      </th>
      ${cells.map((cell, place) => html`<${Cell} key=${place} cell=${cell} name=${stages[place].name} top=${top} />`)}
    </tr>
  `;
}

/** Candidates that have no row. @param {{ skipped: number, span: number }} props */
function Gap({ skipped, span }) {
  return html`<tr class="lab-gap"><th scope="row" class="lab-name">⋮ ${count(skipped)} more</th><td colspan=${span}></td></tr>`;
}

/** @param {{ cell: import("./waterfall.js").Cell, name: string, top: number }} props */
function Cell({ cell: { kind, probability, most }, name, top }) {
  if (kind === "cut") {
    return html`<td class="lab-cell is-cut"><span class="lab-cutmark">cut<span class="heard-only"> by ${stageTitle(name)}</span></span></td>`;
  }
  if (kind === "gone") return html`<td class="lab-cell is-gone"><span class="heard-only">gone</span></td>`;
  if (kind === "unlisted") return html`<td class="lab-cell is-unlisted"><span aria-label="not listed">…</span></td>`;
  const isOpen = most - probability > 0.0005;
  return html`
    <td class="lab-cell"><div class="lab-cell-parts">
      <svg class="lab-bar" viewBox=${`0 0 ${WIDTH} 10`} preserveAspectRatio="none" aria-hidden="true">
        ${isOpen && html`<rect class="lab-bar-open" width=${(WIDTH * most) / top} height="10" />`}
        <rect class="lab-bar-full" width=${(WIDTH * probability) / top} height="10" />
      </svg>
      <span class="lab-number">${isOpen ? `${share(probability)} to ${share(most)}` : share(probability)}</span>
    </div></td>
  `;
}
