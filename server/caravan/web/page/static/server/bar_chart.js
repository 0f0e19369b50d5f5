// A histogram as an SVG, with the numbers that people ask for in words.
import { html } from "../lib/preact.js";
import { bound, occupied } from "./histogram.js";
import { time, whole } from "./words.js";

const HEIGHT = 90;
const STEP = 20;

/** @param {{ title: string, about: string, histogram: import("./histogram.js").Histogram }} props */
export function BarChart({ title, about, histogram }) {
  const bars = occupied(histogram);
  const half = bound(histogram, 0.5);
  const most = bound(histogram, 0.95);
  const told =
    half === null || most === null
      ? "nothing yet"
      : `${whole(histogram.count)} counted, half within ${time(half)}, 95 of 100 within ${time(most)}`;
  return html`
    <figure class="chart">
      <figcaption class="chart-title"><span title=${about}>${title}</span></figcaption>
      ${bars.length > 0 && html`<${Bars} bars=${bars} label=${`${title}: ${told}`} />`}
      <p class="quiet chart-words">${told}</p>
    </figure>
  `;
}

/** @param {{ bars: import("./histogram.js").Bucket[], label: string }} props */
function Bars({ bars, label }) {
  const top = Math.max(...bars.map(({ count }) => count));
  const width = bars.length * STEP;
  return html`
    <svg class="chart-bars" viewBox=${`0 0 ${width} ${HEIGHT}`} preserveAspectRatio="none" role="img" aria-label=${label}>
      <path class="chart-floor" d=${`M0 ${HEIGHT - 0.5}H${width}`} />
      ${bars.map(({ upTo, count }, index) => {
        const height = (count / top) * (HEIGHT - 6);
        return html`
          <rect key=${upTo} class="chart-bar" x=${index * STEP + 1} y=${HEIGHT - height - 1} width=${STEP - 2} height=${height}>
            <title>${`up to ${time(upTo)}: ${whole(count)}`}</title>
          </rect>
        `;
      })}
    </svg>
    <div class="chart-axis quiet" aria-hidden="true">
      <span>${time(bars[0].upTo)}</span><span>${time(bars[bars.length - 1].upTo)}</span>
    </div>
  `;
}
