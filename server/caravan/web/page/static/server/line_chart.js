// Lines over the last two minutes, as an SVG. What they show is also told in words.
import { html } from "../lib/preact.js";

const WIDTH = 300;
const HEIGHT = 72;
const SPAN = 120;

/**
 * @typedef {{ name: string, kind: "first" | "second", values: number[], shown: string }} Line
 * @param {{ title: string, times: number[], lines: Line[], most?: number }} props
 */
export function LineChart({ title, times, lines, most = 0 }) {
  const top = Math.max(most, 1e-9, ...lines.flatMap(({ values }) => values));
  const told = lines.map(({ name, shown }) => `${name} ${shown}`).join(", ");
  return html`
    <figure class="chart">
      <figcaption class="chart-title">
        <span>${title}</span>
        <span class="chart-keys">
          ${lines.map(
            ({ name, kind, shown }) => html`
              <span key=${name} class=${`chart-key is-${kind}`}>${name} <b>${shown}</b></span>
            `,
          )}
        </span>
      </figcaption>
      <svg class="chart-lines" viewBox=${`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none" role="img"
        aria-label=${`${title}: ${told}`}>
        <path class="chart-floor" d=${`M0 ${HEIGHT - 1}H${WIDTH}`} />
        ${lines.map(
          ({ name, kind, values }) => html`
            <path key=${name} class=${`chart-line is-${kind}`} d=${path(times, values, top)} />
          `,
        )}
      </svg>
    </figure>
  `;
}

/** @param {number[]} times @param {number[]} values @param {number} top */
function path(times, values, top) {
  const last = times.at(-1) ?? 0;
  return values
    .map((value, index) => {
      const x = WIDTH * (1 - (last - times[index]) / SPAN);
      const y = HEIGHT - 2 - (value / top) * (HEIGHT - 6);
      return `${index ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`;
    })
    .join("");
}
