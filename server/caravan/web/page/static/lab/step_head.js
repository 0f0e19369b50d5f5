// What there is to say of one step: which token, how likely, how surprising; and the way to its neighbours.
import { html, Icon } from "../lib/preact.js";
import { ICONS } from "../lib/icons.js";
import { session } from "./session.js";
import { share, shown } from "./waterfall.js";

/** @param {{ steps: import("./branches.js").Step[], place: number }} props */
export function StepHead({ steps, place }) {
  const { token, probability, surprise, entropy, isPicked, forced } = steps[place];
  const to = (/** @type {number} */ step) => () => session.set({ step });
  return html`
    <div class="lab-step-head">
      <h2 class="lab-step-title">
        <span class="quiet">Token ${place + 1}</span> <span class="lab-chip">${shown(token.text)}</span>
      </h2>
      <div class="lab-step-moves">
        <button type="button" class="icon-button" aria-label="The token before" disabled=${place === 0} onClick=${to(place - 1)}>
          <${Icon} path=${ICONS.left} /></button>
        <button type="button" class="icon-button" aria-label="The next token" disabled=${place === steps.length - 1}
          onClick=${to(place + 1)}><${Icon} path=${ICONS.right} /></button>
      </div>
      <dl class="lab-facts">
        <${Fact} name=${isPicked ? "picked by you" : forced ? "forced" : "drawn with"} value=${share(probability)} />
        <${Fact} name="surprise" value=${`${surprise.toFixed(2)} bits`} />
        <${Fact} name="entropy" value=${`${entropy.toFixed(2)} bits`} />
      </dl>
    </div>
  `;
}

/** @param {{ name: string, value: string }} props */
function Fact({ name, value }) {
  return html`<div><dt>${name}</dt><dd>${value}</dd></div>`;
}
