// What came of a sweep: for each value a small picture of the surprise of its tokens, all by one scale, and a table.
import { html } from "../lib/preact.js";
import { measure } from "./measures.js";
import { tint } from "./tint.js";
import { brief } from "./words.js";

/** @typedef {import("./sweep.js").Trial} Trial */

const WIDTH = 240;
const HEIGHT = 56;
// Less is never worth a picture of its own.
const LEAST_TOP = 4;

/** @param {{ name: string, trials: Trial[] }} props */
export function SweepChart({ name, trials }) {
  const most = Math.max(...trials.map(({ steps }) => steps.length), 1);
  const top = Math.max(...trials.flatMap(({ steps }) => steps.map(({ surprise }) => surprise)), LEAST_TOP);
  return html`
    <div class="lab-multiples">
      ${trials.map((trial) => html`<${Multiple} key=${trial.value} name=${name} trial=${trial} most=${most} top=${top} />`)}
    </div>
    <p class="lab-hint">Each bar is a token; its height is the surprise, up to ${top.toFixed(1)} bits in all pictures.</p>
    <${Table} name=${name} trials=${trials} />
  `;
}

/** @param {{ name: string, trial: Trial, most: number, top: number }} props */
function Multiple({ name, trial, most, top }) {
  const { value, steps, surprise } = trial;
  const step = WIDTH / most;
  return html`
    <figure class="lab-multiple">
      <figcaption><span>${name}</span> <strong>${brief(value)}</strong></figcaption>
      <svg viewBox=${`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none" role="img"
        aria-label=${`Surprise of ${steps.length} tokens, ${measure(surprise, 2)} bits in the mean`}>
        ${steps.map((one, place) => {
          const height = Math.max((HEIGHT * Math.min(one.surprise, top)) / top, 0.75);
          return html`<rect key=${place} class=${`lab-spark spark-${tint(one.surprise)}`} x=${place * step + step * 0.1}
            width=${step * 0.8} y=${HEIGHT - height} height=${height} />`;
        })}
        ${surprise !== null && html`<path class="lab-mean" d=${`M0 ${HEIGHT * (1 - Math.min(surprise / top, 1))}H${WIDTH}`} />`}
      </svg>
      <p class="lab-multiple-text">
        ${steps.map((one, place) => html`<span key=${place} class=${`tint-${tint(one.surprise)}`}>${one.token.text}</span>`)}
      </p>
    </figure>
  `;
}

/** @param {{ name: string, trials: Trial[] }} props */
function Table({ name, trials }) {
  return html`
    <div class="lab-scroll" role="region" aria-label="The sweep in numbers" tabindex="0">
      <table class="lab-numbers">
        <caption class="heard-only">The sweep in numbers</caption>
        <thead>
          <tr>
            <th scope="col">${name}</th><th scope="col">mean surprise</th><th scope="col">mean entropy</th>
            <th scope="col">distinct-2</th><th scope="col">tokens left at the draw</th><th scope="col">tokens</th>
          </tr>
        </thead>
        <tbody>
          ${trials.map(({ value, surprise, entropy, distinct, left, steps, finish }) => html`
            <tr key=${value}>
              <th scope="row">${brief(value)}</th>
              <td>${measure(surprise, 2, "bits")}</td><td>${measure(entropy, 2, "bits")}</td>
              <td>${measure(distinct, 2)}</td><td>${measure(left, 1)}</td>
              <td>${steps.length}${finish === "stop" ? ", ended" : ""}</td>
            </tr>`)}
        </tbody>
      </table>
    </div>
  `;
}
